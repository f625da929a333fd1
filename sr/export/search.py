"""Where 8 bits cost too much, and which layers must stay in float for it: one group after the other is tried.

Knows no runtime: it is handed names, and what quantises with some of them in float and tells the PSNR.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping

from data.errors import UserError

_GROUP = re.compile(r"core\.\w+\.\d+")
"""A module that stands in a row of its like: a layer (core.layers.1) or a block (core.body.7)."""

Score = Callable[[frozenset[str]], float]
"""Names of operations to leave in float to PSNR in dB; UserError where they cannot be left so."""


@dataclasses.dataclass(frozen=True)
class Freed:
    """What a search came to."""

    psnr_db: float
    """With all of `groups` in float; with none, what it began with."""
    names: frozenset[str]
    """The operations of `groups`."""
    groups: tuple[str, ...]
    """Left in float, in the order in which they were freed."""
    gains_db: dict[str, float]
    """What each group that was tried gave back on its own."""
    tries: int


def groups_of(names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Weighted layers by the layer or block of the network that they belong to, in the order of their names."""
    found: dict[str, set[str]] = {}
    for name in sorted(names):
        module = _GROUP.match(name)
        found.setdefault(module.group() if module else name.partition("/")[0], set()).add(name)
    return {group: frozenset(members) for group, members in found.items()}


def free_places(
    score: Score, groups: Mapping[str, frozenset[str]], begun_db: float, wanted_db: float, tries: int
) -> Freed:
    """Free the groups that give back most, until `wanted_db` is reached, nothing helps or the tries are spent.

    Each group is first tried alone; those that gave something are then freed together, the best first. A
    group that proves to help no more beside the others is left in 8 bits.

    Args:
        score: see Score.
        groups: operations by group.
        begun_db: with none of them in float.
        wanted_db: at least this.
        tries: calls of `score`, at most.
    """
    gains: dict[str, float] = {}
    best = Freed(begun_db, frozenset(), (), gains, 0)
    spent = 0
    for group, names in groups.items():
        if spent == tries:
            break
        spent += 1
        try:
            gains[group] = score(names) - begun_db
        except UserError:  # a quantiser that it shares with another layer stays before it
            continue
    for group in sorted(gains, key=lambda one: (-gains[one], one)):
        if best.psnr_db >= wanted_db or gains[group] <= 0:
            break
        names = best.names | groups[group]
        if best.groups:
            if spent == tries:
                break
            spent += 1
            try:
                reached = score(names)
            except UserError:
                continue
        else:
            reached = begun_db + gains[group]
        if reached > best.psnr_db:
            best = dataclasses.replace(best, psnr_db=reached, names=names, groups=(*best.groups, group))
    return dataclasses.replace(best, tries=spent)
