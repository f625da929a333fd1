"""Measure the frequency bands of an image along its rows and columns, with filters of whole numbers.

A difference of neighbors, (1, -1), multiplies the amplitude at frequency w by 2 sin(w/2); a sum, (1, 1), by 2 cos(w/2).
A number of each in a row is a bandpass without a multiplication.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

_LINES = 32
"""At most so many rows, and as many columns, at equal distances, are measured."""
_SEGMENT_PX = 32
_MIN_COUNTED_POWER = 0.5
"""Levels squared. A segment with less, some three times what rounding leaves, has nothing to compare."""
_MIN_SEGMENTS = 24
"""Of an image that has fewer segments with this power, those with most of it count."""
_COUNTED_SHARE = 0.2
"""The ratio is taken that this share of the segments exceeds: what is blurred in one place may be sharp in another."""
_ROUNDING_POWER = 0.15
"""Power that rounding to 8 bits leaves in the luma, in levels squared, with some room: 1/12 of the luma itself, and
0.037 of the rounded colors that it is made of."""
_MIN_HIGH, _MIN_MIDDLE = 0.001, 0.1
"""Least powers that are divided, in levels squared."""
_COMB_NOISE = 0.3
"""Levels squared that are added to both powers, so that the ratio of rounding to rounding is 1."""
_HIGH, _MIDDLE, _NYQUIST = (12, 2), (4, 10), (14, 0)
"""Numbers of differences and sums. The bands are centered on 0.75, 0.36 and 1 of the Nyquist frequency."""

_Lines = npt.NDArray[np.signedinteger]
_Powers = npt.NDArray[np.float64]


def measure_bands(luma: np.ndarray) -> tuple[float, float]:
    """Return how much power is in the highest frequencies, and how far the vertical Nyquist frequency stands out.

    Args:
        luma: uint8, height x width, at least 16 pixels a side.

    Returns:
        high_band_db: power around 0.75 of the Nyquist frequency in relation to that around 0.36, in dB, less what
            rounding leaves in both, in the sharpest fifth of the stretches of 32 pixels. An image that was upscaled by
            2 or more, by a filter or by a network, has next to nothing in the high band; neither has one that is out
            of focus.
        comb_db: power at the Nyquist frequency in relation to that around 0.75, along columns, less the same along
            rows, in dB, each in a fifth of the stretches. A comb of two interlaced fields is at the Nyquist frequency
            of columns alone.
        Both with two decimals.
    """
    step_y, step_x = (max(1, side // _LINES) for side in luma.shape)
    rows = _band_powers(cv2.transpose(np.ascontiguousarray(luma[::step_y][:_LINES])))
    columns = _band_powers(np.ascontiguousarray(luma[:, ::step_x][:, :_LINES]))
    high, middle = (np.concatenate([rows[band], columns[band]]) for band in (_HIGH, _MIDDLE))
    comb_db = _comb_db(columns) - _comb_db(rows)
    return round(_high_band_db(high, middle), 2), round(comb_db, 2)


def _high_band_db(high: _Powers, middle: _Powers) -> float:
    counted = _choose_segments(middle)
    high = np.maximum(high[counted] - _ROUNDING_POWER, _MIN_HIGH)
    middle = np.maximum(middle[counted] - _ROUNDING_POWER, _MIN_MIDDLE)
    return _exceeded_db(high / middle)


def _comb_db(powers: dict[tuple[int, int], _Powers]) -> float:
    nyquist, high = powers[_NYQUIST], powers[_HIGH]
    counted = _choose_segments(nyquist + high)
    return _exceeded_db((nyquist[counted] + _COMB_NOISE) / (high[counted] + _COMB_NOISE))


def _choose_segments(powers: _Powers) -> npt.NDArray[np.intp]:
    counted = np.flatnonzero(powers > _MIN_COUNTED_POWER)
    return counted if len(counted) >= _MIN_SEGMENTS else np.argsort(-powers, kind="stable")[:_MIN_SEGMENTS]


def _exceeded_db(ratios: _Powers) -> float:
    """Return the ratio that a fifth of the segments exceeds, in dB."""
    place = int(len(ratios) * (1 - _COUNTED_SHARE))
    return 10 * math.log10(np.partition(ratios, place)[place])


def _band_powers(lines: np.ndarray) -> dict[tuple[int, int], _Powers]:
    """Return the power of each band in segments of lines, in levels squared.

    Args:
        lines: uint8, pixels along a line x lines: so each filter is an operation over neighbors in memory.
    """
    # Seven differences or sums of 8-bit levels fit 16 bits, all 14 fit 32.
    levels = _difference(lines.astype(np.int16), 4)
    middle = _add(_add(levels, 3).astype(np.int32), 7)
    levels = _difference(_difference(levels, 3).astype(np.int32), 5)
    filtered = {_MIDDLE: middle, _HIGH: _add(levels, 2), _NYQUIST: _difference(levels, 2)}
    return {band: _segment_powers(values) / _GAINS[band] for band, values in filtered.items()}


def _difference(lines: _Lines, times: int) -> _Lines:
    for _ in range(times):
        lines = lines[1:] - lines[:-1]
    return lines


def _add(lines: _Lines, times: int) -> _Lines:
    for _ in range(times):
        lines = lines[1:] + lines[:-1]
    return lines


def _segment_powers(lines: _Lines) -> _Powers:
    """Return the mean square of each segment, line by line."""
    pixels, count = lines.shape
    segment_px = min(_SEGMENT_PX, pixels)
    values = lines[: pixels // segment_px * segment_px].astype(np.float64)
    values *= values
    # Whole numbers below 2 ** 22: their squares and the sum of 32 squares are exact in float64, in any order. A product
    # with ones sums them twice as fast as a sum does.
    sums: _Powers = np.ones(segment_px) @ values.reshape(-1, segment_px, count)
    by_line: _Powers = sums.T.ravel() / segment_px
    return by_line


def _gain(band: tuple[int, int]) -> int:
    """Return the power that a band's filter gives to white noise of power 1."""
    differences, sums = band
    kernel = np.array([1])
    for taps in [[1, -1]] * differences + [[1, 1]] * sums:
        kernel = np.convolve(kernel, taps)
    return int(np.dot(kernel, kernel))


_GAINS = {band: _gain(band) for band in (_HIGH, _MIDDLE, _NYQUIST)}
