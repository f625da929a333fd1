"""Screens: which crops are thrown out for their scores. Measures nothing; `pipeline.scores` does.

Scores are stored for the crops that pass too, so that a later selection need not look at pixels.
"""

import dataclasses
from collections.abc import Callable
from operator import gt, lt

from data.records import Reason


@dataclasses.dataclass(frozen=True)
class ScreenSettings:
    """Limits, in the scores' units; 0 turns a screen off."""

    flat_below: int = 0
    blurred_below: int = 0
    underexposed_above: int = 0
    overexposed_above: int = 0
    blocky_above: int = 0
    noisy_above: int = 0
    bordered_above: int = 0


_RULES: tuple[tuple[Reason, str, str, Callable[[int, int], bool]], ...] = (
    (Reason.UNDEREXPOSED, "dark", "underexposed_above", gt),
    (Reason.OVEREXPOSED, "bright", "overexposed_above", gt),
    (Reason.FLAT, "contrast", "flat_below", lt),
    (Reason.BLURRED, "detail", "blurred_below", lt),
    (Reason.BORDERED, "border", "bordered_above", gt),
    (Reason.BLOCKY, "blockiness", "blocky_above", gt),
    (Reason.NOISY, "noise", "noisy_above", gt),
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
