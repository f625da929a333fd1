"""Find the crops of highest detail in a decoded image, for the policy `best`."""

import itertools
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from data.records import Box, PlannedCrop
from pipeline.downscale import downscale_by_two
from pipeline.quality_metrics import rgb_to_luma

_CELLS_PER_SIDE = 8
"""Boxes lie on a lattice of an eighth of their side: fine enough to find the place, coarse enough to cost little."""

Position = tuple[int, int, int]
"""Downscale factor, top and left of a box, in pixels of the downscaled image."""

Energies = npt.NDArray[np.float64]


def find_best_crops(
    downscaled: Mapping[int, np.ndarray], size_px: int, count: int, stem: str
) -> tuple[PlannedCrop, ...]:
    """Return the crops of highest detail over all downscale factors. Crops of one factor do not overlap.

    First the box of highest detail is taken, then the next one that overlaps none before it, and so on. If this finds
    fewer boxes than requested, because a box in the middle blocks others, regular grids are tried: for each factor the
    grid with the most detail that holds as many boxes as fit, and of these the boxes of highest detail.

    Args:
        downscaled: the image by downscale factor; uint8, height x width x 3.
        size_px: side of the crops.
        count: largest number of crops.
        stem: common beginning of the keys.

    Returns:
        As many crops as requested, or as fit; by downscale factor, then from top to bottom.
    """
    cell = _cell_px(size_px)
    energies = {
        factor: _box_energies(image, size_px, cell)
        for factor, image in downscaled.items()
        if min(image.shape[:2]) >= size_px
    }
    taken = _take_greedily(energies, size_px, cell, count)
    if len(taken) < count:
        shapes = {factor: (image.shape[0], image.shape[1]) for factor, image in downscaled.items()}
        taken = max(taken, _take_from_grids(energies, shapes, size_px, cell, count), key=len)
    return tuple(
        PlannedCrop(f"{stem}-{factor}-{number:04d}", factor, Box(top, left, size_px, size_px))
        for number, (factor, top, left) in enumerate(sorted(taken))
    )


def _take_greedily(energies: Mapping[int, Energies], size_px: int, cell: int, count: int) -> list[Position]:
    """Take the best box, then the best of the rest that overlaps none, until enough are found or none is left."""
    ranked = sorted(
        (-float(energy), factor, row * cell, column * cell)
        for factor, table in energies.items()
        for (row, column), energy in np.ndenumerate(table)
    )
    taken: list[Position] = []
    for _, factor, top, left in ranked:
        if len(taken) == count:
            break
        if all(factor != f or abs(top - t) >= size_px or abs(left - x) >= size_px for f, t, x in taken):
            taken.append((factor, top, left))
    return taken


def _take_from_grids(
    energies: Mapping[int, Energies],
    shapes: Mapping[int, tuple[int, int]],
    size_px: int,
    cell: int,
    count: int,
) -> list[Position]:
    """For each downscale factor choose the full grid with the most detail, then take the best boxes of all grids."""
    ranked = []
    for factor, table in energies.items():
        grids = []
        for tops, lefts in itertools.product(*(_row_starts(side, size_px, cell) for side in shapes[factor])):
            # A box off the lattice, where the side is not a multiple of a cell, counts as the one above and left of it.
            on_grid = table[np.ix_([top // cell for top in tops], [left // cell for left in lefts])]
            grids.append((float(on_grid.sum()), on_grid, tops, lefts))
        _, best, tops, lefts = max(grids, key=lambda grid: grid[0])
        ranked += [
            (-float(best[row, column]), factor, top, left)
            for row, top in enumerate(tops)
            for column, left in enumerate(lefts)
        ]
    return [(factor, top, left) for _, factor, top, left in sorted(ranked)[:count]]


def _row_starts(length: int, size_px: int, cell: int) -> list[range]:
    """Return the starts of as many adjacent boxes as fit, for every position where their row can begin."""
    whole = length // size_px * size_px
    return [range(first, first + whole, size_px) for first in range(0, length - whole + 1, cell)]


def _cell_px(size_px: int) -> int:
    return max(2, size_px // _CELLS_PER_SIDE // 2 * 2)


def _box_energies(image: np.ndarray, size_px: int, cell: int) -> Energies:
    """Return the energy of every box on the lattice: float64, rows x columns."""
    height, width = image.shape[:2]
    side = size_px // cell
    sums = np.pad(_cell_energies(image, cell).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, columns = (height - size_px) // cell + 1, (width - size_px) // cell + 1
    boxes: Energies = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return boxes[:rows, :columns]


def _cell_energies(image: np.ndarray, cell: int) -> Energies:
    """Return the squared error of downscaling and upscaling by two, summed by cells: (height // cell) x (width //
    cell).

    The image is processed in strips, so that it needs no more than its own memory.
    """
    rows, columns = image.shape[0] // cell, image.shape[1] // cell
    sums = np.empty((rows, columns))
    for row in range(rows):
        luma = rgb_to_luma(image[row * cell : (row + 1) * cell, : columns * cell])
        upscaled = cv2.resize(downscale_by_two(luma), luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
        residual = cv2.absdiff(luma, upscaled).astype(np.float32)
        sums[row] = (residual * residual).reshape(cell, columns, cell).sum(axis=(0, 2))
    return sums
