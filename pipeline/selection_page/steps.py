"""Count what each threshold of a selection rejects, and what it would reject one step looser or stricter.

The counts are of the crops that reach the filter: what a filter before it rejects, it never sees. Filters after it may
take back a part of the change.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.selection.copies import list_sources
from pipeline.selection.filters import COPIES, LEAKAGE, NEAR_DUPLICATES
from pipeline.selection.hamming import Rows, find_near_duplicates
from pipeline.selection.leakage import find_leaks
from pipeline.selection.rules import Rule
from pipeline.selection_page.contents import Contents

_STEPS_PER_RANGE = 20
"""Steps of a threshold between the 5th and the 95th percentile of its metric, about."""
_HASH_BITS = 64
_ROUND = (1, 2, 5, 10)


@dataclasses.dataclass(frozen=True)
class ThresholdStep:
    """A threshold, and what it rejects."""

    label: str
    """The rule, or the key of [selection] and its value."""
    threshold: float
    """In the unit of the metric, or in bits; -1 bits: off."""
    rejected: int
    """Crops rejected with it."""


@dataclasses.dataclass(frozen=True)
class ThresholdSteps:
    """What a threshold rejects, and what it would reject one step looser and one step stricter."""

    filter: str
    """A rule, or a key of [selection]."""
    reached: int
    """Crops that no filter before this one rejects."""
    looser: ThresholdStep
    as_it_is: ThresholdStep
    stricter: ThresholdStep


def count_rule(rule: Rule, values: npt.NDArray[np.float64], reached: Rows) -> ThresholdSteps:
    """Count what a rule rejects at its threshold and beside it.

    Args:
        rule: the rule.
        values: its metric, for all crops.
        reached: the rows of the crops that reach it.
    """
    step = 1.0 if rule.is_percentile else choose_step(values)
    stricter = step if rule.comparison.startswith(">") else -step
    rules = [
        dataclasses.replace(rule, value=_clip(rule, rule.value + change))
        for change in (-stricter, 0.0, stricter)
    ]
    steps = [
        ThresholdStep(str(one), one.threshold(values), int((~one.passes(values))[reached].sum()))
        for one in rules
    ]
    return ThresholdSteps(str(rule), len(reached), *steps)


def choose_step(values: npt.NDArray[np.float64]) -> float:
    """Return a round number, 1, 2 or 5 times a power of ten, that is a small part of the range of the values.

    Example:
        >>> choose_step(np.arange(101.0))
        5.0
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return 1.0
    low, high = np.percentile(known, [5, 95], method="nearest").tolist()
    part = (high - low or abs(high) or 1.0) / _STEPS_PER_RANGE
    power = 10.0 ** math.floor(math.log10(part))
    return float(f"{min(_ROUND, key=lambda digit: abs(digit * power - part)) * power:.6g}")


def count_bits(contents: Contents, name: str) -> ThresholdSteps:
    """Count what a filter that compares perceptual hashes rejects at its threshold and beside it.

    Args:
        contents: the crops and the decisions.
        name: one of HASH_FILTERS.
    """
    bits, reached = getattr(contents.settings, name), contents.reached(name)
    begin = {LEAKAGE: _count_leaks, COPIES: _count_copies, NEAR_DUPLICATES: _count_near_duplicates}[name]
    count = begin(contents, reached)
    steps = [
        ThresholdStep(f"{name} = {value}", value, count(value))
        for value in (max(bits - 1, -1), bits, min(bits + 1, _HASH_BITS))
    ]
    return ThresholdSteps(name, len(reached), *steps)


def _clip(rule: Rule, value: float) -> float:
    """Return a percentile within 0 to 100, and any other threshold without the noise of its last digits."""
    return min(max(value, 0.0), 100.0) if rule.is_percentile else float(f"{value:.9g}")


def _count_leaks(contents: Contents, rows: Rows) -> Callable[[int], int]:
    is_reached = np.zeros(len(contents.crops), bool)
    is_reached[rows] = True

    def count(bits: int) -> int:
        leaks = np.array([*find_leaks(contents.crops, contents.hashes, bits)], np.int64)
        return int(is_reached[leaks].sum())

    return count


def _count_copies(contents: Contents, rows: Rows) -> Callable[[int], int]:
    sources = list_sources(contents.crops, rows)

    def count(bits: int) -> int:
        return int((sources.find_copies(bits)[sources.of_crop] >= 0).sum())

    return count


def _count_near_duplicates(contents: Contents, rows: Rows) -> Callable[[int], int]:
    hashes = contents.crops.hashes()[contents.grouped.validation_first(rows)]

    def count(bits: int) -> int:
        return int((find_near_duplicates(hashes, bits) >= 0).sum()) if bits >= 0 else 0

    return count
