"""Find the layers that must stay in float for int8 to keep its accuracy.

Groups of layers are tried one by one, then together. Independent of any runtime: the caller passes in a function that
quantizes with some operations in float and returns the PSNR.
"""

import contextlib
import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping

from data.errors import UserError

_GROUP = re.compile(r"core\.\w+\.\d+")
"""A numbered module: a layer (core.layers.1) or a block (core.body.7)."""

MeasurePsnr = Callable[[frozenset[str]], float]
"""From the names of operations to keep in float to the PSNR in dB; raises UserError if they cannot be kept in float."""


@dataclasses.dataclass(frozen=True)
class FloatGroups:
    """The groups of layers that a search keeps in float."""

    psnr_db: float
    """With `groups` in float."""
    names: frozenset[str] = frozenset()
    """The operations of `groups`."""
    groups: tuple[str, ...] = ()
    """Kept in float; the ones that gain most come first."""
    gains_db: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """What each tried group gains when it alone is in float."""
    trials: int = 0
    """How many quantizations the search made."""


def group_layers(names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Group weighted layers by the numbered layer or block that they belong to, in alphabetical order."""
    found: dict[str, set[str]] = {}
    for name in sorted(names):
        module = _GROUP.match(name)
        found.setdefault(module.group() if module else name.partition("/")[0], set()).add(name)
    return {group: frozenset(members) for group, members in found.items()}


def find_float_groups(
    measure: MeasurePsnr,
    groups: Mapping[str, frozenset[str]],
    start_db: float,
    target_db: float,
    max_trials: int,
) -> FloatGroups:
    """Find the groups that gain most when they are kept in float, and as few of them as `target_db` needs.

    Each group is tried alone. The groups that gain something are ranked, and a binary search finds how many of the best
    are needed together. Networks of many blocks therefore need few trials more than they have blocks.

    Args:
        measure: see MeasurePsnr.
        groups: operations by group.
        start_db: PSNR with none of them in float.
        target_db: PSNR to reach; if that is impossible, the best result is returned.
        max_trials: maximum number of calls of `measure`.
    """
    reserved = len(groups).bit_length()  # for the binary search
    alone = max(max_trials - reserved, (max_trials + 1) // 2)
    gains = _measure_gains(measure, dict(list(groups.items())[:alone]), start_db)
    trials = min(alone, len(groups))
    ranking = sorted((group for group in gains if gains[group] > 0), key=lambda group: (-gains[group], group))
    best = FloatGroups(start_db, gains_db=gains)
    if ranking:
        first = ranking[0]
        best = dataclasses.replace(
            best, psnr_db=start_db + gains[first], names=groups[first], groups=(first,)
        )
    too_few, enough = 1, 1 if best.psnr_db >= target_db else None
    while trials < max_trials and (
        count := _next_count(too_few, enough, len(ranking), trials == max_trials - 1)
    ):
        trials += 1
        names = frozenset[str]().union(*(groups[group] for group in ranking[:count]))
        psnr_db = _measure_or_fail(measure, names)
        if psnr_db >= target_db or (enough is None and psnr_db > best.psnr_db):
            best = dataclasses.replace(best, psnr_db=psnr_db, names=names, groups=tuple(ranking[:count]))
        if psnr_db >= target_db:
            enough = count
        else:
            too_few = count
    return dataclasses.replace(best, trials=trials)


def _measure_gains(
    measure: MeasurePsnr, groups: Mapping[str, frozenset[str]], start_db: float
) -> dict[str, float]:
    """Return what each group gains alone, in dB; groups that cannot be kept in float are left out."""
    gains: dict[str, float] = {}
    for group, names in groups.items():
        with contextlib.suppress(UserError):  # it shares a quantizer with a layer that is not in float
            gains[group] = measure(names) - start_db
    return gains


def _measure_or_fail(measure: MeasurePsnr, names: frozenset[str]) -> float:
    try:
        return measure(names)
    except UserError:
        return -math.inf


def _next_count(too_few: int, enough: int | None, most: int, is_last: bool) -> int:
    """Return how many groups to try next, between what was too few and what was enough; 0: the search is over."""
    if enough is not None:
        return (too_few + enough) // 2 if enough - too_few > 1 else 0
    if too_few >= most:
        return 0
    return most if is_last else (too_few + most + 1) // 2
