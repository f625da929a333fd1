"""Reject crops by their quality metrics, which `pipeline.quality_metrics` measures.

Metrics are stored for accepted crops too, so a later selection can filter again without reading pixels.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from operator import gt, lt

from data.records import RejectionReason


@dataclasses.dataclass(frozen=True)
class QualityThresholds:
    """Thresholds in the units of the metrics; 0 turns a filter off."""

    min_contrast: float = 0.0
    """Levels, from 0 to 255."""
    min_sharpness: float = 0.0
    """Levels, from 0 to 255. Less is a blur only below `SOFT_BAND_DB`."""
    max_underexposed: float = 0.0
    """Fraction of the pixels, from 0 to 1."""
    max_overexposed: float = 0.0
    """Fraction of the pixels, from 0 to 1."""
    max_border_px: float = 0.0
    max_repeated_lines: float = 0.0
    """Fraction of the rows or columns, from 0 to 1."""
    max_equal_neighbors: float = 0.0
    """Fraction of the neighbors beside edges, from 0 to 1."""
    max_bhi_blockiness: float = 0.0
    """Sum over the 64 coefficients of a block of how much less they vary on the grid of JPEG's blocks."""
    max_comb_db: float = 0.0
    min_high_band_db: float = 0.0
    max_banding: float = 0.0
    """Steps in 1000 pixels."""
    max_noise: float = 0.0
    """Levels, from 0 to 255."""

    def without_camera_faults(self) -> "QualityThresholds":
        """Return the thresholds for drawn images: their texture may be noise, and their blur is no fault."""
        return dataclasses.replace(
            self, max_equal_neighbors=0.0, max_comb_db=0.0, min_high_band_db=0.0, max_noise=0.0
        )


FILTERS: tuple[tuple[RejectionReason, str, str, Callable[[float, float], bool]], ...] = (
    (RejectionReason.UNDEREXPOSED, "underexposed", "max_underexposed", gt),
    (RejectionReason.OVEREXPOSED, "overexposed", "max_overexposed", gt),
    (RejectionReason.FLAT, "contrast", "min_contrast", lt),
    (RejectionReason.BLURRED, "sharpness", "min_sharpness", lt),
    (RejectionReason.BORDERED, "border_px", "max_border_px", gt),
    (RejectionReason.PIXELATED, "repeated_lines", "max_repeated_lines", gt),
    (RejectionReason.DRAWN, "equal_neighbors", "max_equal_neighbors", gt),
    (RejectionReason.BLOCKY, "bhi_blockiness", "max_bhi_blockiness", gt),
    (RejectionReason.INTERLACED, "comb_db", "max_comb_db", gt),
    (RejectionReason.UPSCALED, "high_band_db", "min_high_band_db", lt),
    (RejectionReason.BANDED, "banding", "max_banding", gt),
    (RejectionReason.NOISY, "noise", "max_noise", gt),
)
"""Reason, metric, threshold, and the comparison that rejects. The first filter that rejects gives the reason."""
SOFT_BAND_DB = -9.0
"""Of `high_band_db`. A crop without detail that has no less in the highest frequencies, in relation to the middle ones,
is plain and not blurred: a clear sky."""
_DETAIL = re.compile(r"(?:^|: )(\w+) is (\S+), (?:below|above) \w+ \S+$")


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
    for reason, metric, name, rejects in FILTERS:
        threshold = getattr(thresholds, name)
        is_plain = metric == "sharpness" and metrics["high_band_db"] >= SOFT_BAND_DB
        if threshold and not is_plain and rejects(metrics[metric], threshold):
            side = "below" if rejects is lt else "above"
            return reason, f"{metric} is {metrics[metric]:g}, {side} {name} {threshold:g}"
    return None


def parse_detail(detail: str) -> tuple[str, float] | None:
    """Return the metric and its value from the sentence of `find_rejection`, or None if it is another sentence.

    Example:
        >>> parse_detail("photos/1.jpg: contrast is 1.25, below min_contrast 2")
        ('contrast', 1.25)
    """
    found = _DETAIL.search(detail)
    return (found[1], float(found[2])) if found else None
