"""Keep the images of a group on one side of the split: frames of one shot, bursts, copies.

Shards are split by groups that names or the catalog define, before any image is decoded. What images look like is known
only afterwards, from the hashes that are stored with their crops: images that follow each other by name and look alike
are one group, too. Where such a group stands on both sides, its crops on one side change to the other. No shard is
touched.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.hashing import number
from pipeline.selection.copies import SourceTable
from pipeline.selection.hamming import Rows
from pipeline.selection.selection import Selection

_NEIGHBORS = 4
"""How many of the next images by name each one is compared with: some that are unlike may lie in between."""
_NUMBER = re.compile(r"[0-9]+")


class Side(NamedTuple):
    """A group that stands on both sides of the split, and the side that all of it changes to."""

    group: int
    training: bool
    """Whether its crops are for training."""


def find_groups(sources: SourceTable, copied: Rows, bits: int) -> Rows:
    """Number the groups of source images.

    The groups that datasets have stay as they are. Images that are alone in theirs are joined with those that follow
    them by name in the same folder, where their hashes are near, and with their copies.

    Args:
        sources: the images.
        copied: for each image the one that it is a copy of, or -1.
        bits: largest number of bits in which the hashes of images that follow each other differ; -1: nothing is joined.

    Returns:
        For each image the number of its group: the smallest index of an image in it.
    """
    first: dict[tuple[int, str], int] = {}
    stored = zip(sources.datasets.tolist(), sources.groups, strict=True)
    groups = np.array([first.setdefault(group, row) for row, group in enumerate(stored)], np.int64)
    if bits < 0 or not len(groups):
        return groups
    alone = np.bincount(groups, minlength=len(groups))[groups] == 1
    twins = np.flatnonzero(alone & (copied >= 0))
    twins = twins[alone[copied[twins]]]
    neighbors = _link_neighbors(sources, np.flatnonzero(alone), bits)
    return _join(groups, np.concatenate((neighbors, np.column_stack((twins, copied[twins])))))


def _link_neighbors(sources: SourceTable, rows: Rows, bits: int) -> Rows:
    """Return the pairs of images that follow each other by name and look alike: pairs x 2."""
    keys = [natural_key(sources.names[row]) for row in rows.tolist()]
    ids: dict[tuple[int, str], int] = {}
    folders = [
        ids.setdefault((dataset, key[0]), len(ids))
        for dataset, key in zip(sources.datasets[rows].tolist(), keys, strict=True)
    ]
    order = sorted(range(len(rows)), key=lambda place: (folders[place], keys[place][1]))
    folder, ordered = np.array(folders, np.int64)[order], rows[order]
    hashes = sources.hashes[ordered, 0]
    links = [np.empty((0, 2), np.int64)]
    for step in range(1, min(_NEIGHBORS, len(rows) - 1) + 1):
        near = np.bitwise_count(hashes[step:] ^ hashes[:-step]) <= bits
        near &= folder[step:] == folder[:-step]
        links.append(np.column_stack((ordered[:-step][near], ordered[step:][near])))
    return np.concatenate(links)


def natural_key(name: str) -> tuple[str, str]:
    """Return a key by which names sort as people number them: frame_9.png before frame_10.png.

    Returns:
        The folder, and the file name with the length of each number before it.
    """
    folder, _, file = name.rpartition("/")
    return folder, f"{_NUMBER.sub(_prepend_length, file)}\0{file}"


def _prepend_length(found: re.Match[str]) -> str:
    digits = found[0].lstrip("0")
    return f"{len(digits):05}{digits}"


def _join(groups: Rows, links: Rows) -> Rows:
    """Join the groups that links connect; each is numbered by its smallest index."""
    parent = {group: group for group in np.unique(groups[links]).tolist()}

    def find_root(group: int) -> int:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for one, other in groups[links].tolist():
        low, high = sorted((find_root(one), find_root(other)))
        parent[high] = low
    joined = np.arange(len(groups))
    for group in parent:
        joined[group] = find_root(group)
    return joined[groups]


def choose_sides(
    groups: Rows,
    training: npt.NDArray[np.bool_],
    names: Sequence[str],
    seed: int,
) -> list[Side]:
    """Choose one side for each group that stands on both.

    About as many crops stay for validation as before, as far as whole groups allow: in an order that the seed fixes, a
    group is for validation if it fits into the number of validation crops that all these groups have and that is not
    yet used. The others are for training. If that leaves no crop for validation, the smallest group is, unless nothing
    were left for training.

    Args:
        groups: number of each crop's group.
        training: whether each crop is for training.
        names: of the groups, by number.
        seed: of the order.

    Returns:
        The side of each such group, by number.
    """
    for_training = np.bincount(groups[training], minlength=len(names))
    for_validation = np.bincount(groups[~training], minlength=len(names))
    sizes = for_training + for_validation
    mixed = np.flatnonzero((for_training > 0) & (for_validation > 0)).tolist()
    room = int(for_validation[mixed].sum())
    sides = dict.fromkeys(mixed, True)
    for group in sorted(mixed, key=lambda one: (number("group", seed, names[one]), names[one], one)):
        if sizes[group] <= room:
            sides[group], room = False, room - int(sizes[group])
    is_empty = all(sides.values()) and for_validation.sum() == for_validation[mixed].sum()
    smallest = min(mixed, key=lambda one: (sizes[one], names[one], one), default=-1)
    if mixed and is_empty and sizes[smallest] < sizes.sum():
        sides[smallest] = False
    return [Side(group, is_training) for group, is_training in sides.items()]


def keep_groups_together(selection: Selection, sources: SourceTable, seed: int) -> None:
    """Move the selected crops of each group that is on both sides of the split to one side.

    Args:
        selection: what the filters before have left, with the number of each crop's group.
        sources: the source images.
        seed: of the choice of sides.
    """
    rows, training = selection.rows, selection.crops.training
    selection.group_names = sources.names
    groups = selection.groups[rows]
    sides = choose_sides(groups, training[rows], sources.names, seed)
    side = np.full(len(sources.names), -1)
    side[[one.group for one in sides]] = [one.training for one in sides]
    new = side[groups]
    moved = rows[(new >= 0) & (new != training[rows])]
    training[moved] = ~training[moved]
    selection.crops.set_training(training)
    selection.moved = moved
