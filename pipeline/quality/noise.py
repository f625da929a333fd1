"""Estimate the noise of an image in its quietest cells, at two sizes."""

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


_TEXTURE_SHARE = 0.6
"""Power that texture has at full size, at least, in relation to that at half size."""
_NOISE_SHARE = 0.25
"""The same of noise: the mean of four pixels has a quarter of the power."""


def measure_noise(luma: np.ndarray, half: np.ndarray) -> float:
    """Return the standard deviation of the noise in levels, two decimals.

    The quietest cells of an image have its noise, and texture where nothing is quiet. Halving the size halves noise,
    but not texture, of which there is as much or more at half the size; what follows from both sizes is noise.

    Args:
        luma: uint8, height x width, at least 16 pixels a side.
        half: the same downscaled by two.
    """
    power, of_half = measure_quietest(luma) ** 2, measure_quietest(half) ** 2
    noise = (power - _TEXTURE_SHARE * of_half) / (1 - _TEXTURE_SHARE * _NOISE_SHARE)
    return round(math.sqrt(max(0.0, noise)), 2)


def measure_quietest(luma: np.ndarray) -> float:
    """Return the standard deviation that white noise would have, in levels, if an image were nothing else.

    The second difference along both axes removes gradients and straight edges. Its mean magnitude in cells of 16 x 16
    pixels is the noise where there is no texture; the quietest twentieth of the cells counts.

    Args:
        luma: uint8, height x width, at least 8 pixels a side.

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
    return _LEVELS * magnitude


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
