"""Screens: which crops are thrown out for their scores. Measures nothing; `pipeline.quality_metrics` does.

Scores are stored for the crops that pass too, so that a later selection need not look at pixels.
"""

import dataclasses
from collections.abc import Callable
from operator import gt, lt

from data.records import Reason


@dataclasses.dataclass(frozen=True)
class ScreenSettings:
    """Limits, in the scores' units; 0 turns a screen off."""

    min_contrast: int = 0
    min_sharpness: int = 0
    max_underexposed: int = 0
    max_overexposed: int = 0
    max_blockiness: int = 0
    max_noise: int = 0
    max_border_px: int = 0


_RULES: tuple[tuple[Reason, str, str, Callable[[int, int], bool]], ...] = (
    (Reason.UNDEREXPOSED, "dark", "max_underexposed", gt),
    (Reason.OVEREXPOSED, "bright", "max_overexposed", gt),
    (Reason.FLAT, "contrast", "min_contrast", lt),
    (Reason.BLURRED, "detail", "min_sharpness", lt),
    (Reason.BORDERED, "border", "max_border_px", gt),
    (Reason.BLOCKY, "blockiness", "max_blockiness", gt),
    (Reason.NOISY, "noise", "max_noise", gt),
)
"""Reason, score, setting that limits it, and what makes a crop fail; the first that fails is the reason."""


def judge(measured: dict[str, int], settings: ScreenSettings) -> tuple[Reason, str] | None:
    """Return why a crop is thrown out, with its score and the limit, or None when it passes."""
    for reason, score, name, fails in _RULES:
        limit = getattr(settings, name)
        if limit and fails(measured[score], limit):
            bound = "at least" if fails is lt else "at most"
            return reason, f"{score} {measured[score]}; {bound} {limit} is wanted"
    return None
