"""Measure the blocks that JPEG leaves in an image that was saved again without loss.

JPEG quantizes the cosine coefficients of blocks of 8 x 8 pixels. On the grid of these blocks the coefficients of
neighboring blocks are therefore equal, or differ by whole steps, and most high ones are zero; on the same grid moved by
4 pixels they are not.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

BLOCK_PX = 8
_SHIFT_PX = 4
_STRIP_ROWS, _STRIP_BLOCKS = 10, 1280
"""A large crop is measured in strips of so many rows of blocks, with so many blocks in all: a third of 512 x 512."""
_CHANCE = 72.0
"""What a clean image has on average, times the root of the number of blocks: chance alone makes the two V differ."""
_MIN_VARIATION = 4.0
"""Half a level of an orthonormal coefficient. Less is rounding: a division by it would call smooth images blocky."""

_Coefficients = npt.NDArray[np.int16]


def measure_blockiness(luma: np.ndarray, top: int, left: int) -> float:
    """Return how much less the coefficients vary on the grid of JPEG's blocks than on the same grid moved by 4 pixels.

    For each of the 64 coefficients, V is the mean over blocks of sqrt((b + c - 2a)^2 + (d + e - 2a)^2): a is the
    coefficient in a block, b and c are those of the blocks left and right of it, d and e of those above and below. V4
    is the same on the moved grid. The result is the sum of |V4 - V| / V over the coefficients, less what chance makes
    of it in a clean image with as few blocks: 0 to 3 in a clean image, 10 to 100 after JPEG of quality 75.

    Args:
        luma: uint8, height x width.
        top, left: position of the image's first pixel on a grid of blocks that begins at 0, 0: a crop keeps the grid of
            the image that it is cut from.

    Returns:
        Two decimals; 0 if the image has less than 3 x 3 blocks.

    Source: the measure of Chen and Bloom, A blind reference-free blockiness measure (2010), as the BHI filter for
        training sets uses it. The cosine transform is the integer one of H.264 (Malvar et al., 2003), so the sums are
        exact.
    """
    grids = [luma[-(top - shift) % BLOCK_PX :, -(left - shift) % BLOCK_PX :] for shift in (0, _SHIFT_PX)]
    if min(side for one in grids for side in one.shape) < 3 * BLOCK_PX:
        return 0.0
    on_grid, moved = [_choose_strips(one) for one in grids]
    variation, of_moved = _mean_variations(on_grid, moved)
    ratios = np.abs(of_moved - variation) / np.maximum(variation, _MIN_VARIATION)
    chance = _CHANCE / math.sqrt(min(on_grid.inner_blocks, moved.inner_blocks))
    return round(max(0.0, math.fsum(ratios.tolist()) - chance), 2)


class _Strips(NamedTuple):
    """The part of an image that is measured on one grid."""

    strips: list[np.ndarray]
    """Pixels, uint8: rows of blocks x 8 x width, the same of each."""
    columns: int
    """Blocks beside each other."""

    @property
    def blocks(self) -> tuple[int, int, int]:
        """Strips, rows of blocks in a strip, and blocks in a row."""
        return len(self.strips), len(self.strips[0]), self.columns

    @property
    def inner_blocks(self) -> int:
        """The number of blocks that have four neighbors."""
        strips, rows, columns = self.blocks
        return strips * (rows - 2) * (columns - 2)


def _choose_strips(luma: np.ndarray) -> _Strips:
    rows, columns = luma.shape[0] // BLOCK_PX, luma.shape[1] // BLOCK_PX
    height = rows if rows < 2 * _STRIP_ROWS else _STRIP_ROWS
    count = max(1, min(rows // height, _STRIP_BLOCKS // (height * columns)))
    starts = [(rows - height) * (2 * strip + 1) // (2 * count) * BLOCK_PX for strip in range(count)]
    lines = [luma[start : start + height * BLOCK_PX, : columns * BLOCK_PX] for start in starts]
    return _Strips([one.reshape(height, BLOCK_PX, -1) for one in lines], columns)


def _mean_variations(*grids: _Strips) -> list[npt.NDArray[np.float64]]:
    """Return V of each of the 64 coefficients, for each of two grids.

    The blocks of both are in one row, strip after strip, so that each operation is one over neighbors in memory. A row
    of blocks is as wide as the wider grid's; what is made of blocks at an edge does not count.
    """
    columns = max(one.columns for one in grids)
    coefficients = _transform_blocks(_gather_lines(grids, columns))
    is_inner, ends = _find_inner(*(one.blocks for one in grids))
    roots = _Roots(columns, is_inner)
    sums = [roots.sum_each(row, ends) for row in coefficients]
    return [
        np.concatenate([of_grids[number] for of_grids in sums]) / one.inner_blocks
        for number, one in enumerate(grids)
    ]


def _gather_lines(grids: Sequence[_Strips], columns: int) -> _Coefficients:
    """Return pixels: 8 rows of a block x (rows of blocks of all grids after each other x width)."""
    strips = [strip for one in grids for strip in one.strips]
    lines = np.zeros((BLOCK_PX, sum(map(len, strips)), columns * BLOCK_PX), np.int16)
    first = 0
    for strip in strips:
        # Rows of blocks x 8 x width -> 8 x rows of blocks x width
        lines[:, first : first + len(strip), : strip.shape[2]] = strip.swapaxes(0, 1)
        first += len(strip)
    return lines.reshape(BLOCK_PX, -1)


def _transform_blocks(lines: _Coefficients) -> _Coefficients:
    """Return the coefficients of pixels: 8 frequencies across x (8 frequencies down x blocks)."""
    _transform(lines)
    # 8 x rows of blocks x columns of blocks x 8 -> 8 columns of a block x the others
    across = np.asarray(cv2.transpose(lines.reshape(-1, BLOCK_PX)), np.int16)
    _transform(across)
    return across


@functools.lru_cache(maxsize=16)
def _find_inner(*grids: tuple[int, int, int]) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Return 1 for each block that has four neighbors and else 0, 8 times; and where the blocks of each grid end.

    Args:
        grids: strips, rows of blocks in a strip, and blocks in a row, of each.
    """
    parts, ends = [], [0]
    widest = max(columns for _, _, columns in grids)
    for strips, rows, columns in grids:
        is_inner = np.zeros((BLOCK_PX, strips, rows, widest), np.float32)
        is_inner[:, :, 1:-1, 1 : columns - 1] = 1
        parts.append(is_inner.reshape(BLOCK_PX, -1))
        ends.append(ends[-1] + parts[-1].shape[1])
    return np.concatenate(parts, axis=1), ends


def _transform(x: _Coefficients) -> None:
    """Transform along the first axis in place. No value leaves 16 bits: both passes together gain at most 64."""
    sums, diffs = x[:4] + x[:3:-1], x[:4] - x[:3:-1]
    (even0, even1), (even2, even3) = sums[:2] + sums[:1:-1], sums[:2] - sums[:1:-1]
    odd, quarters = np.empty_like(diffs), diffs >> 1
    more = np.add(diffs, quarters, out=sums)
    np.add(diffs[1], more[0], out=odd[0])
    odd[0] += diffs[2]
    np.subtract(diffs[0], diffs[3], out=odd[1])
    odd[1] -= more[2]
    np.add(diffs[0], diffs[3], out=odd[2])
    odd[2] -= more[1]
    np.add(diffs[1], more[3], out=odd[3])
    odd[3] -= diffs[2]
    np.right_shift(odd, 2, out=quarters)
    np.add(even0, even1, out=x[0])
    np.subtract(even0, even1, out=x[4])
    np.add(even2, even3 >> 1, out=x[2])
    np.subtract(even2 >> 1, even3, out=x[6])
    np.add(odd[:2], quarters[:1:-1], out=x[1:4:2])
    np.subtract(odd[2], quarters[1], out=x[5])
    np.subtract(quarters[0], odd[3], out=x[7])


class _Roots:
    """Sums roots of squared second differences, for 8 coefficients at a time and always in the same memory.

    Squares of 16-bit numbers fit 31 bits twice. A square root in float32 is correctly rounded on every processor.

    Args:
        columns: blocks beside each other.
        is_inner: 1 for each block that counts, else 0: 8 x blocks.
    """

    def __init__(self, columns: int, is_inner: npt.NDArray[np.float32]) -> None:
        self._columns, self._size = columns, is_inner.size
        self._is_inner = is_inner.ravel()[columns:-columns]
        self._twice, self._second = np.empty((2, self._size - 2 * columns), np.int16)
        self._squares, self._others = np.empty((2, self._size - 2 * columns), np.int32)
        self._roots = np.zeros(is_inner.shape, np.float32)

    def sum_each(self, coefficients: _Coefficients, ends: Sequence[int]) -> list[npt.NDArray[np.float64]]:
        """Return the sum over the blocks that count of the root, rounded to a whole number, for each coefficient.

        Args:
            coefficients: 8 x blocks, in one row.
            ends: where the blocks of each grid begin and end.
        """
        inner = slice(self._columns, self._size - self._columns)
        np.add(coefficients[inner], coefficients[inner], out=self._twice)
        self._square_difference(coefficients, 1, self._squares)
        self._square_difference(coefficients, self._columns, self._others)
        self._squares += self._others
        roots = self._roots.reshape(-1)[inner]
        roots[:] = self._squares
        np.sqrt(roots, out=roots)
        np.rint(roots, out=roots)
        roots *= self._is_inner
        # Whole numbers below 2 ** 16: sums of up to 2 ** 37 of them are exact in float64, in any order.
        sums = [
            cv2.reduce(self._roots[:, begin:end], 1, cv2.REDUCE_SUM, dtype=cv2.CV_64F)
            for begin, end in itertools.pairwise(ends)
        ]
        return [np.asarray(one, np.float64).ravel() for one in sums]

    def _square_difference(
        self, coefficients: _Coefficients, distance: int, out: npt.NDArray[np.int32]
    ) -> None:
        """Square the difference between each coefficient, twice, and those on both sides of it."""
        first, last = self._columns, self._size - self._columns
        before, after = (coefficients[first + way : last + way] for way in (-distance, distance))
        np.add(before, after, out=self._second)
        self._second -= self._twice
        out[:] = self._second
        out *= out
