"""Where an image has most detail: the places of the crops that the policy `best` leaves to the packer."""

import itertools
from collections.abc import Mapping

import cv2
import numpy as np

from data.records import Box, PlannedCrop
from pipeline.downscale import halve
from pipeline.quality_metrics import luma_of

_CELLS_A_SIDE = 8
"""Boxes lie on a lattice of an eighth of their side: fine enough to find the place, coarse enough to cost little."""

Place = tuple[int, int, int]
"""Shrink, top and left of a box, in pixels of the reduced image."""


def best_crops(
    reduced: Mapping[int, np.ndarray], size_px: int, count: int, stem: str
) -> tuple[PlannedCrop, ...]:
    """Return the crops of highest detail over all reductions; those of one reduction do not overlap.

    The box of highest detail is taken, then the next one that overlaps none before it, and so on. A box in the middle
    may leave room for fewer than were asked for: then the boxes of highest detail of regular grids are taken, each
    grid laid where it holds most detail, as many boxes as fit.

    Args:
        reduced: the image by shrink; uint8, height x width x 3.
        size_px: side of the crops.
        count: crops at the most.
        stem: what the keys begin with.

    Returns:
        As many as asked for, or as fit; by shrink, then from top to bottom.
    """
    cell = _cell_px(size_px)
    energies = {
        factor: _energies(image, size_px, cell)
        for factor, image in reduced.items()
        if min(image.shape[:2]) >= size_px
    }
    taken = _one_by_one(energies, size_px, cell, count)
    if len(taken) < count:
        shapes = {factor: reduced[factor].shape[:2] for factor in energies}
        taken = max(taken, _on_grids(energies, shapes, size_px, cell, count), key=len)
    return tuple(
        PlannedCrop(f"{stem}-{factor}-{number:04d}", factor, Box(top, left, size_px, size_px))
        for number, (factor, top, left) in enumerate(sorted(taken))
    )


def _one_by_one(energies: Mapping[int, np.ndarray], size_px: int, cell: int, count: int) -> list[Place]:
    """Take the best box, then the best that is left, until no more are wanted or none is left."""
    ranked = sorted(
        (-float(energy), factor, row * cell, column * cell)
        for factor, table in energies.items()
        for (row, column), energy in np.ndenumerate(table)
    )
    taken: list[Place] = []
    for _, factor, top, left in ranked:
        if len(taken) == count:
            break
        if all(factor != f or abs(top - t) >= size_px or abs(left - x) >= size_px for f, t, x in taken):
            taken.append((factor, top, left))
    return taken


def _on_grids(
    energies: Mapping[int, np.ndarray],
    shapes: Mapping[int, tuple[int, int]],
    size_px: int,
    cell: int,
    count: int,
) -> list[Place]:
    """Lay a grid of as many boxes as fit over each reduction, where it holds most, and take the best boxes of all."""
    ranked = []
    for factor, table in energies.items():
        grids = []
        for tops, lefts in itertools.product(*(_phases(side, size_px, cell) for side in shapes[factor])):
            # Boxes off the lattice, where a side is no multiple of a cell, count as the one above and left of them.
            held = table[np.ix_([top // cell for top in tops], [left // cell for left in lefts])]
            grids.append((float(held.sum()), held, tops, lefts))
        _, held, tops, lefts = max(grids, key=lambda grid: grid[0])
        ranked += [
            (-float(held[row, column]), factor, top, left)
            for row, top in enumerate(tops)
            for column, left in enumerate(lefts)
        ]
    return [(factor, top, left) for _, factor, top, left in sorted(ranked)[:count]]


def _phases(length: int, size_px: int, cell: int) -> list[range]:
    """Return the starts of as many boxes as fit side by side, for every place where their row may begin."""
    whole = length // size_px * size_px
    return [range(first, first + whole, size_px) for first in range(0, length - whole + 1, cell)]


def _cell_px(size_px: int) -> int:
    return max(2, size_px // _CELLS_A_SIDE // 2 * 2)


def _energies(image: np.ndarray, size_px: int, cell: int) -> np.ndarray:
    """Return the energy of every box on the lattice: float64, rows x columns."""
    height, width = image.shape[:2]
    side = size_px // cell
    sums = np.pad(_energy(image, cell).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, columns = (height - size_px) // cell + 1, (width - size_px) // cell + 1
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return boxes[:rows, :columns]


def _energy(image: np.ndarray, cell: int) -> np.ndarray:
    """Return the squared loss of halving, summed by cells: float64, (height // cell) x (width // cell).

    Strip by strip, so that no image needs more than its own memory.
    """
    rows, columns = image.shape[0] // cell, image.shape[1] // cell
    sums = np.empty((rows, columns))
    for row in range(rows):
        luma = luma_of(image[row * cell : (row + 1) * cell, : columns * cell])
        again = cv2.resize(halve(luma), luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
        lost = cv2.absdiff(luma, again).astype(np.float32)
        sums[row] = (lost * lost).reshape(cell, columns, cell).sum(axis=(0, 2))
    return sums
