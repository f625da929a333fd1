"""Count how the crops' metrics are distributed, and find the crops nearest to the threshold of each rule."""

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from pipeline.selection.hamming import Rows
from pipeline.selection.rules import Rule

BINS = 48
SHOWN = 6
"""Crops on each side of a threshold."""
_OUTER_PERCENTILES = (0.2, 99.8)
"""Values beyond these are counted in the outermost bins."""


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How the values of a metric are distributed."""

    metric: str
    edges: tuple[float, ...]
    """Of the bins; what is outside is counted in the first or the last."""
    selected: tuple[int, ...]
    """Selected crops in each bin."""
    rejected: tuple[int, ...]
    """Crops in each bin that the selection rejects, by whatever filter."""
    missing: int
    """Crops without a value."""


def count_values(
    metric: str, values: npt.NDArray[np.float64], selected: npt.NDArray[np.bool_]
) -> Histogram | None:
    """Count the values of a metric; None if no crop has one.

    Args:
        metric: its name.
        values: of all crops; NaN where there is none.
        selected: whether each crop is selected.
    """
    known = np.isfinite(values)
    if not known.any():
        return None
    low, high = np.percentile(values[known], _OUTER_PERCENTILES, method="nearest").tolist()
    scale = max(abs(low), abs(high))
    if (
        high - low <= 1e-9 * scale
    ):  # equal values, or a range that has too few different numbers for the edges
        low, high = low - 0.5 * max(scale, 1.0), high + 0.5 * max(scale, 1.0)
    edges = [float(f"{low + (high - low) * place / BINS:.6g}") for place in range(BINS + 1)]
    if len(set(edges)) <= BINS:  # more digits than are written
        edges = [low + (high - low) * place / BINS for place in range(BINS + 1)]
    bins = np.clip(np.searchsorted(edges, values[known], "right") - 1, 0, BINS - 1)
    counts = [
        tuple(np.bincount(bins[which[known]], minlength=BINS).tolist()) for which in (selected, ~selected)
    ]
    return Histogram(metric, tuple(edges), counts[0], counts[1], int((~known).sum()))


def nearest_rows(
    rule: Rule, values: npt.NDArray[np.float64], rejected: Rows, selected: Rows
) -> tuple[list[int], list[int]]:
    """Return the rows of the crops that a rule just rejects, and of those selected that it just passes.

    Args:
        rule: the rule.
        values: its metric, for all crops.
        rejected: rows of the crops that it rejects.
        selected: rows of the crops that are selected.
    """
    threshold = rule.threshold(values)
    if math.isnan(threshold):
        return [], []
    return _nearest(values, threshold, rejected), _nearest(values, threshold, selected)


def _nearest(values: npt.NDArray[np.float64], threshold: float, rows: Rows) -> list[int]:
    rows = rows[np.isfinite(values[rows])]
    order = np.lexsort((rows, np.abs(values[rows] - threshold)))
    chosen: list[int] = rows[order[:SHOWN]].tolist()
    return chosen
