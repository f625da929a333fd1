"""Find the layers that must stay in float for int8 to keep its accuracy.

One pass ranks the groups of layers: each alone is computed in float in the quantized model, which needs no
quantization. As few of the best as are needed then stay in float, and only these models are quantized. Independent of
any runtime: the caller passes in functions that return the PSNR.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from data.errors import UserError

_GROUP = re.compile(r"core\.\w+\.\d+")
"""A numbered module: a layer (core.layers.1) or a block (core.body.7)."""

MeasurePsnr = Callable[[frozenset[str]], float]
"""From the names of operations to keep in float to the PSNR in dB; UserError if they cannot be kept in float."""


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
    """What each group gains when it alone is in float, estimated."""
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
    estimate: MeasurePsnr,
    measure: MeasurePsnr,
    groups: Mapping[str, frozenset[str]],
    start_db: float,
    target_db: float,
    max_trials: int,
) -> FloatGroups:
    """Find the groups that gain most when they are kept in float, and as few of them as `target_db` needs.

    Every group is estimated alone. A binary search over the ranking finds, by estimates, how many of the best are
    enough. That many are quantized and measured; where they are not enough, half as many more are, until all are in
    float or the trials are used up.

    Args:
        estimate: PSNR with operations in float, without quantizing again.
        measure: the same after quantizing again; see MeasurePsnr.
        groups: operations by group.
        start_db: PSNR with none of them in float.
        target_db: PSNR to reach; if that is impossible, the best result is returned.
        max_trials: maximum number of calls of `measure`.
    """
    gains = {group: estimate(names) - start_db for group, names in groups.items()}
    ranking = sorted((group for group in gains if gains[group] > 0), key=lambda group: (-gains[group], group))
    best = FloatGroups(start_db, gains_db=gains)
    count, trials = _estimate_count(estimate, groups, ranking, target_db), 0
    while ranking and trials < max_trials and best.psnr_db < target_db:
        trials += 1
        if trials == max_trials:
            count = len(ranking) if trials > 1 else count
        chosen = ranking[:count]
        names = frozenset[str]().union(*(groups[group] for group in chosen))
        psnr_db = _measure_or_fail(measure, names)
        if psnr_db > best.psnr_db:
            best = dataclasses.replace(best, psnr_db=psnr_db, names=names, groups=tuple(chosen))
        if count == len(ranking):
            break
        count = min(len(ranking), count + max(1, count // 2))
    return dataclasses.replace(best, trials=trials)


def _estimate_count(
    estimate: MeasurePsnr, groups: Mapping[str, frozenset[str]], ranking: Sequence[str], target_db: float
) -> int:
    """Return how many of the best groups are enough by estimates; all, if even these are not."""
    too_few, enough = 0, len(ranking)
    while enough - too_few > 1:
        count = (too_few + enough) // 2
        names = frozenset[str]().union(*(groups[group] for group in ranking[:count]))
        if estimate(names) >= target_db:
            enough = count
        else:
            too_few = count
    return enough


def _measure_or_fail(measure: MeasurePsnr, names: frozenset[str]) -> float:
    """Return -inf where the operations cannot be kept in float: they share a quantizer with others."""
    try:
        return measure(names)
    except UserError:
        return -math.inf
