"""Estimate the noise of an image in its quietest cells."""

import math

import numpy as np

_CELL_PX = 16
_STRIPS_AT_ONCE = 4
_MAX_STRIPS = 16
"""At most so many rows of cells, at equal distances, are measured."""
_QUIET_SHARE = 20
"""The cell is taken that one in so many cells is quieter than."""
_QUIET_BIAS = 1.13
"""Standard deviation of white noise in relation to what is found in the quietest twentieth of the cells."""
_LEVELS = math.sqrt(math.pi / 2) / 6 * _QUIET_BIAS
"""Standard deviation of white noise for a mean filtered magnitude of 1."""


def measure_noise(luma: np.ndarray) -> float:
    """Return the standard deviation of the noise in levels, two decimals.

    The second difference along both axes removes gradients and straight edges. Its mean magnitude in cells of 16 x 16
    pixels is the noise where there is no texture; the quietest twentieth of the cells counts. Where the whole image is
    texture, some of it counts as noise.

    Args:
        luma: uint8, height x width, at least 16 pixels a side.

    Source: the operator of Immerkaer, Fast noise variance estimation (1996).
    """
    height, width = luma.shape
    cell_px = min(_CELL_PX, height - 2, width - 2)
    cells, columns = (height - 2) // cell_px, (width - 2) // cell_px
    strips = min(cells, _MAX_STRIPS)
    sums = np.empty((strips, columns), np.int32)
    for first in range(0, strips, _STRIPS_AT_ONCE):
        last = min(first + _STRIPS_AT_ONCE, strips)
        tops = [(cells - 1) * strip // max(1, strips - 1) * cell_px for strip in range(first, last)]
        stack = np.stack([luma[top : top + cell_px + 2, : columns * cell_px + 2] for top in tops])
        sums[first:last] = _cell_sums(stack.astype(np.int16), cell_px)
    quiet = sums.size // _QUIET_SHARE
    magnitude = float(np.partition(sums.ravel(), quiet)[quiet] / (cell_px * cell_px))
    return round(_LEVELS * magnitude, 2)


def _cell_sums(strips: np.ndarray, cell_px: int) -> np.ndarray:
    """Return the sum of the filtered magnitudes of each cell: strips x columns of cells."""
    down = strips[:, :-2] + strips[:, 2:] - 2 * strips[:, 1:-1]
    both = np.abs(down[:, :, :-2] + down[:, :, 2:] - 2 * down[:, :, 1:-1])
    by_column = both.sum(axis=1, dtype=np.int32)
    sums: np.ndarray = by_column.reshape(len(strips), -1, cell_px).sum(axis=2, dtype=np.int32)
    return sums
