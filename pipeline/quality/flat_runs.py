"""Measure what drawings, mosaics and too few levels leave in an image: pixels that equal their neighbors exactly."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

_LINES = 64
"""At most so many rows, and as many columns, at equal distances, are measured."""
_SEGMENT_PX = 16
_EDGE_LEVELS = 24
"""A segment whose levels span at least this has an edge."""
_EDGELESS_SHARE = 64
"""One of so many segments may have edges, before equal neighbors in them count in full."""
_QUIET = 8
"""A line is quiet if it is so many times as close to the next one as the lines around it are."""
_AROUND_PX = 17
_RUN_PX = 4
_MAX_BAND_LEVELS = 12
_MIN_BAND_LEVELS = 2
"""Smaller steps are those of a smooth gradient in 8 bits."""

_Bytes = npt.NDArray[np.uint8]


def measure_flat_runs(luma: np.ndarray) -> tuple[float, float, float]:
    """Return three metrics of equal neighbors. Each is the larger of those along rows and along columns.

    Args:
        luma: uint8, height x width, at least 16 pixels a side.

    Returns:
        equal_neighbors: share of equal neighbors in the stretches of 16 pixels that have an edge, 0 to 1. Next to the
            edges of a photograph hardly two pixels are equal; text, user interfaces, drawings and mosaics have an edge
            between flat colors.
        repeated_lines: share of rows (or columns) that are nearly the same as the next one, where others around them
            are not, 0 to 1: 0.5 in an image that was doubled without a filter, 0.75 in a mosaic of 4 x 4.
        banding: steps of 2 to 12 levels between two flat runs of 4 pixels or more, in 1000 pixels.
        All with three decimals.
    """
    step_y, step_x = (max(1, side // _LINES) for side in luma.shape)
    rows = _measure_lines(cv2.transpose(np.ascontiguousarray(luma[::step_y][:_LINES])))
    columns = _measure_lines(np.ascontiguousarray(luma[:, ::step_x][:, :_LINES]))
    equal, repeated, banding = (round(max(pair), 3) for pair in zip(rows, columns, strict=True))
    return equal, repeated, banding


def _measure_lines(lines: np.ndarray) -> tuple[float, float, float]:
    """Measure lines: pixels along a line x lines, so that neighbors along a line are equally far apart in memory."""
    steps = np.asarray(cv2.absdiff(lines[1:], lines[:-1]), np.uint8)
    equal = (steps == 0).view(np.uint8)
    return _share_at_edges(lines, equal), _share_of_repeated(steps), _count_bands(steps, equal)


def _share_at_edges(lines: _Bytes, equal: _Bytes) -> float:
    levels = lines[: len(equal)]
    span = _combine_segments(np.maximum, levels) - _combine_segments(np.minimum, levels)
    has_edge = span >= _EDGE_LEVELS
    pairs = _combine_segments(np.add, equal)
    edges = int(np.count_nonzero(has_edge))
    return int(pairs[has_edge].sum(dtype=np.int64)) / (
        _SEGMENT_PX * (edges + max(1, has_edge.size // _EDGELESS_SHARE))
    )


def _combine_segments(combine: Callable[[_Bytes, _Bytes], _Bytes], values: _Bytes) -> _Bytes:
    """Return what an operation makes of the 16 values of each segment, by operations over neighbors in memory."""
    segments, reach = len(values) // _SEGMENT_PX, 1
    while reach < _SEGMENT_PX and segments:
        values = combine(values[reach:], values[:-reach])
        reach *= 2
    return values[::_SEGMENT_PX][:segments]


def _share_of_repeated(steps: _Bytes) -> float:
    sums = cv2.reduce(steps, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel().astype(np.int64)
    reach = min(_AROUND_PX, len(sums) // 2 * 2 - 1)
    # As many more of the outermost ones; np.pad takes as long as all of the rest.
    padded = np.concatenate((np.full(reach // 2, sums[0]), sums, np.full(reach // 2, sums[-1])))
    running = np.concatenate(([0], padded.cumsum()))
    around = running[reach:] - running[:-reach]
    # A quarter of a level a pixel: where nothing differs, nothing is repeated.
    busy = 4 * around > reach * steps.shape[1]
    return int(np.count_nonzero((sums * (_QUIET * reach) < around) & busy)) / len(sums)


def _count_bands(steps: _Bytes, equal: _Bytes) -> float:
    count = len(steps) - 2 * (_RUN_PX - 1)
    if count <= 0:
        return 0.0
    # A run of 4 pixels has 3 equal pairs.
    run = equal[: -(_RUN_PX - 2)] & equal[1 : -(_RUN_PX - 3)]
    run &= equal[_RUN_PX - 2 :]
    found = run[:count] & run[_RUN_PX : _RUN_PX + count]
    # Below the smallest step the difference wraps around to more than the largest.
    above = steps[_RUN_PX - 1 : _RUN_PX - 1 + count] - np.uint8(_MIN_BAND_LEVELS)
    found &= (above <= _MAX_BAND_LEVELS - _MIN_BAND_LEVELS).view(np.uint8)
    return float(1000 * np.count_nonzero(found) / found.size)
