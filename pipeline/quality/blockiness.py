"""Measure the blocks that JPEG leaves in an image that was saved again without loss.

JPEG quantizes the cosine coefficients of blocks of 8 x 8 pixels. On the grid of these blocks the coefficients of
neighboring blocks are therefore equal, or differ by whole steps, and most high ones are zero; on the same grid moved by
4 pixels they are not.
"""

import math

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
    on_grid, blocks = _mean_variations(luma, -top % BLOCK_PX, -left % BLOCK_PX)
    moved, moved_blocks = _mean_variations(luma, (_SHIFT_PX - top) % BLOCK_PX, (_SHIFT_PX - left) % BLOCK_PX)
    if not blocks or not moved_blocks:
        return 0.0
    ratios = np.abs(moved - on_grid) / np.maximum(on_grid, _MIN_VARIATION)
    return round(max(0.0, math.fsum(ratios.tolist()) - _CHANCE / math.sqrt(min(blocks, moved_blocks))), 2)


def _mean_variations(luma: np.ndarray, top: int, left: int) -> tuple[npt.NDArray[np.float64], int]:
    """Return V of each of the 64 coefficients on the grid that begins at the given pixel, and the number of blocks."""
    blocks = _gather_blocks(luma[top:, left:])
    if min(blocks.shape[3:]) < 3:
        return np.empty(0), 0
    _transform(blocks)
    _transform(blocks.swapaxes(0, 1))
    sums = np.concatenate([_sum_variations(row) for row in blocks])
    _, _, strips, rows, columns = blocks.shape
    inner = strips * (rows - 2) * (columns - 2)
    return sums / inner, inner


def _gather_blocks(luma: np.ndarray) -> _Coefficients:
    """Return blocks of pixels: 8 rows x 8 columns of a block x strips x rows of blocks x columns of blocks."""
    rows, columns = luma.shape[0] // BLOCK_PX, luma.shape[1] // BLOCK_PX
    height = rows if rows < 2 * _STRIP_ROWS else _STRIP_ROWS
    strips = max(1, min(rows // max(1, height), _STRIP_BLOCKS // max(1, height * columns)))
    blocks = np.empty((BLOCK_PX, BLOCK_PX, strips, height, columns), np.int16)
    for strip in range(strips):
        start = (rows - height) * (2 * strip + 1) // (2 * strips) * BLOCK_PX
        part = luma[start : start + height * BLOCK_PX, : columns * BLOCK_PX]
        # strip's rows of blocks x 8 x columns of blocks x 8 -> 8 x 8 x rows x columns
        blocks[:, :, strip] = part.reshape(height, BLOCK_PX, columns, BLOCK_PX).transpose(1, 3, 0, 2)
    blocks -= 128
    return blocks


def _transform(x: _Coefficients) -> None:
    """Transform along the first axis in place. No value leaves 16 bits: both passes together gain at most 64."""
    sum0, sum1, sum2, sum3 = (x[k] + x[7 - k] for k in range(4))
    diff0, diff1, diff2, diff3 = (x[k] - x[7 - k] for k in range(4))
    even0, even1, even2, even3 = sum0 + sum3, sum1 + sum2, sum0 - sum3, sum1 - sum2
    odd0 = diff1 + diff2 + diff0 + (diff0 >> 1)
    odd1 = diff0 - diff3 - diff2 - (diff2 >> 1)
    odd2 = diff0 + diff3 - diff1 - (diff1 >> 1)
    odd3 = diff1 - diff2 + diff3 + (diff3 >> 1)
    np.add(even0, even1, out=x[0])
    np.add(odd0, odd3 >> 2, out=x[1])
    np.add(even2, even3 >> 1, out=x[2])
    np.add(odd1, odd2 >> 2, out=x[3])
    np.subtract(even0, even1, out=x[4])
    np.subtract(odd2, odd1 >> 2, out=x[5])
    np.subtract(even2 >> 1, even3, out=x[6])
    np.subtract(odd0 >> 2, odd3, out=x[7])


def _sum_variations(coefficients: _Coefficients) -> np.ndarray:
    """Return the sum over inner blocks of the root, rounded to whole numbers, for each of 8 coefficients.

    Squares of 16-bit numbers fit 31 bits twice. A square root in float32 is correctly rounded on every processor.
    """
    twice = coefficients[:, :, 1:-1, 1:-1] * np.int16(2)
    across = coefficients[:, :, 1:-1, :-2] + coefficients[:, :, 1:-1, 2:] - twice
    down = coefficients[:, :, :-2, 1:-1] + coefficients[:, :, 2:, 1:-1] - twice
    squares = np.multiply(across, across, dtype=np.int32)
    squares += np.multiply(down, down, dtype=np.int32)
    roots = squares.astype(np.float32)
    np.sqrt(roots, out=roots)
    np.rint(roots, out=roots)
    # Whole numbers below 2 ** 16: sums of up to 2 ** 37 of them are exact in float64, in any order.
    return cv2.reduce(roots.reshape(BLOCK_PX, -1), 1, cv2.REDUCE_SUM, dtype=cv2.CV_64F).ravel()
