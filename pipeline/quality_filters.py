"""Reject crops by their quality metrics, which `pipeline.quality_metrics` measures.

Metrics are stored for accepted crops too, so a later selection can filter again without reading pixels.
"""

import dataclasses
from collections.abc import Callable, Mapping
from operator import gt, lt

from data.records import RejectionReason


@dataclasses.dataclass(frozen=True)
class QualityThresholds:
    """Thresholds in the units of the metrics; 0 turns a filter off."""

    min_contrast: float = 0.0
    """Levels, from 0 to 255."""
    min_sharpness: float = 0.0
    """Levels, from 0 to 255."""
    max_underexposed: float = 0.0
    """Fraction of the pixels, from 0 to 1."""
    max_overexposed: float = 0.0
    """Fraction of the pixels, from 0 to 1."""
    max_blockiness: float = 0.0
    """Ratio to the mean step between neighboring pixels."""
    max_noise: float = 0.0
    """Levels, from 0 to 255."""
    max_border_px: float = 0.0


_FILTERS: tuple[tuple[RejectionReason, str, str, Callable[[float, float], bool]], ...] = (
    (RejectionReason.UNDEREXPOSED, "underexposed", "max_underexposed", gt),
    (RejectionReason.OVEREXPOSED, "overexposed", "max_overexposed", gt),
    (RejectionReason.FLAT, "contrast", "min_contrast", lt),
    (RejectionReason.BLURRED, "sharpness", "min_sharpness", lt),
    (RejectionReason.BORDERED, "border_px", "max_border_px", gt),
    (RejectionReason.BLOCKY, "blockiness", "max_blockiness", gt),
    (RejectionReason.NOISY, "noise", "max_noise", gt),
)
"""Reason, metric, threshold, and the comparison that rejects. The first filter that rejects gives the reason."""


def find_rejection(
    metrics: Mapping[str, float], thresholds: QualityThresholds
) -> tuple[RejectionReason, str] | None:
    """Return why a crop is rejected, as a reason and a sentence with metric and threshold, or None if it passes.

    Args:
        metrics: metrics of the crop, as `pipeline.quality_metrics.measure_quality` returns them.
        thresholds: thresholds to compare them with.

    Example:
        >>> find_rejection({"underexposed": 0.95}, QualityThresholds(max_underexposed=0.9))
        (<Reason.UNDEREXPOSED: 'underexposed'>, 'underexposed is 0.95, above max_underexposed 0.9')
    """
    for reason, metric, name, rejects in _FILTERS:
        threshold = getattr(thresholds, name)
        if threshold and rejects(metrics[metric], threshold):
            side = "below" if rejects is lt else "above"
            return reason, f"{metric} is {metrics[metric]:g}, {side} {name} {threshold:g}"
    return None
