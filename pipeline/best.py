"""Where a picture has most detail: the places of the crops that the policy `best` leaves to the packer."""

from collections.abc import Mapping

import cv2
import numpy as np

from data.records import Box, PlannedCrop
from pipeline.raster import halve
from pipeline.scores import luma_of

_CELLS_A_SIDE = 8
"""Boxes lie on a lattice of an eighth of their side: fine enough to find the place, coarse enough to cost little."""


def best_crops(
    reduced: Mapping[int, np.ndarray], size_px: int, count: int, stem: str
) -> tuple[PlannedCrop, ...]:
    """Return the crops of highest detail over all reductions; those of one reduction do not overlap.

    The box of highest detail is taken, then the next one that overlaps none before it, and so on.

    Args:
        reduced: the picture by shrink; uint8, height x width x 3.
        size_px: side of the crops.
        count: crops at the most.
        stem: what the keys begin with.

    Returns:
        As many as asked for, or as fit; by shrink, then from top to bottom.
    """
    cell = _cell_px(size_px)
    ranked = []
    for factor, picture in sorted(reduced.items()):
        for row, column, energy in _places(picture, size_px, cell):
            ranked.append((-energy, factor, row * cell, column * cell))
    ranked.sort()
    taken: list[tuple[int, int, int]] = []
    for _, factor, top, left in ranked:
        if len(taken) == count:
            break
        if all(factor != f or abs(top - t) >= size_px or abs(left - x) >= size_px for f, t, x in taken):
            taken.append((factor, top, left))
    return tuple(
        PlannedCrop(f"{stem}-{factor}-{number:04d}", factor, Box(top, left, size_px, size_px))
        for number, (factor, top, left) in enumerate(sorted(taken))
    )


def _cell_px(size_px: int) -> int:
    return max(2, size_px // _CELLS_A_SIDE // 2 * 2)


def _places(picture: np.ndarray, size_px: int, cell: int) -> list[tuple[int, int, float]]:
    """Return row and column (in cells) of every box on the lattice, with its energy."""
    height, width = picture.shape[:2]
    if min(height, width) < size_px:
        return []
    side = size_px // cell
    sums = np.pad(_energy(picture, cell).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, columns = (height - size_px) // cell + 1, (width - size_px) // cell + 1
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return [(row, column, float(boxes[row, column])) for row in range(rows) for column in range(columns)]


def _energy(picture: np.ndarray, cell: int) -> np.ndarray:
    """Return the squared loss of halving, summed by cells: float64, (height // cell) x (width // cell).

    Strip by strip, so that no picture needs more than its own memory.
    """
    rows, columns = picture.shape[0] // cell, picture.shape[1] // cell
    sums = np.empty((rows, columns))
    for row in range(rows):
        luma = luma_of(picture[row * cell : (row + 1) * cell, : columns * cell])
        again = cv2.resize(halve(luma), luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
        lost = cv2.absdiff(luma, again).astype(np.float32)
        sums[row] = (lost * lost).reshape(cell, columns, cell).sum(axis=(0, 2))
    return sums
