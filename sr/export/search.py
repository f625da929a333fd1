"""Where 8 bits cost too much, and which layers must stay in float for it: groups are tried alone, then together.

Knows no runtime: it is handed names, and what quantizes with some of them in float and tells the PSNR.
"""

import contextlib
import dataclasses
import math
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
    """Free the groups that give back most, and no more of them than `wanted_db` needs.

    Each group is first tried alone. Of those that gave something, the best first, as many are then freed together as
    are needed; how many is found by halving, so that a network of many blocks takes few tries more than it has blocks.

    Args:
        score: see Score.
        groups: operations by group.
        begun_db: with none of them in float.
        wanted_db: at least this; where it is not reached, the best that was found is given.
        tries: calls of `score`, at most.
    """
    for_halving = len(groups).bit_length()
    alone = max(tries - for_halving, (tries + 1) // 2)
    gains: dict[str, float] = {}
    for group, names in list(groups.items())[:alone]:
        with contextlib.suppress(UserError):  # a quantizer that it shares with another layer stays before it
            gains[group] = score(names) - begun_db
    spent = min(alone, len(groups))
    order = sorted((one for one in gains if gains[one] > 0), key=lambda one: (-gains[one], one))
    best = Freed(begun_db, frozenset(), (), gains, spent)
    if order:
        best = dataclasses.replace(
            best, psnr_db=begun_db + gains[order[0]], names=groups[order[0]], groups=(order[0],)
        )
    too_few, enough = 1, 1 if best.psnr_db >= wanted_db else None
    while spent < tries and (count := _next_count(too_few, enough, len(order), spent == tries - 1)):
        spent += 1
        freed = tuple(order[:count])
        names = frozenset().union(*(groups[one] for one in freed))
        try:
            reached = score(names)
        except UserError:
            reached = -math.inf
        if reached >= wanted_db:
            enough = count
        else:
            too_few = count
        if reached >= wanted_db or (enough is None and reached > best.psnr_db):
            best = dataclasses.replace(best, psnr_db=reached, names=names, groups=freed)
    return dataclasses.replace(best, tries=spent)


def _next_count(too_few: int, enough: int | None, most: int, is_last: bool) -> int:
    """How many groups to free next, between what did not suffice and what did; 0: it is known, or nothing is left."""
    if enough is not None:
        return (too_few + enough) // 2 if enough - too_few > 1 else 0
    if too_few >= most:
        return 0
    return most if is_last else (too_few + most + 1) // 2
