"""Estimate the noise of an image in its quietest cells."""

import math

import numpy as np
import numpy.typing as npt

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
    width = columns * cell_px + 2
    for first in range(0, strips, _STRIPS_AT_ONCE):
        last = min(first + _STRIPS_AT_ONCE, strips)
        tops = [(cells - 1) * strip // max(1, strips - 1) * cell_px for strip in range(first, last)]
        lines = np.empty((len(tops), cell_px + 2, width), np.int16)
        for strip, top in zip(lines, tops, strict=True):
            strip[:] = luma[top : top + cell_px + 2, :width]
        sums[first:last] = _cell_sums(lines, cell_px)
    quiet = sums.size // _QUIET_SHARE
    magnitude = float(np.partition(sums.ravel(), quiet)[quiet] / (cell_px * cell_px))
    return round(_LEVELS * magnitude, 2)


def _cell_sums(strips: npt.NDArray[np.int16], cell_px: int) -> npt.NDArray[np.int32]:
    """Return the sum of the filtered magnitudes of each cell: strips x columns of cells."""
    width = strips.shape[2]
    # All in one row, so that each operation is one over neighbors in memory; what crosses an edge does not count.
    levels = strips.ravel()
    for step in (width, width, 1, 1):
        levels = levels[step:] - levels[:-step]
    magnitudes = np.empty_like(strips)
    np.abs(levels, out=magnitudes.reshape(-1)[: len(levels)])
    # One is at most 8 x 255, so the sum of 16 fits 16 bits.
    by_column = magnitudes[:, :cell_px, : width - 2].sum(axis=1, dtype=np.int16)
    sums: npt.NDArray[np.int32] = by_column.reshape(len(strips), -1, cell_px).sum(axis=2, dtype=np.int32)
    return sums
