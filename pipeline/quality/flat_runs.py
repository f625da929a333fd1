"""Measure what drawings, mosaics and too few levels leave in an image: pixels that equal their neighbors exactly."""

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
    rows, columns = _measure_lines(luma), _measure_lines(cv2.transpose(luma))
    equal, repeated, banding = (round(max(pair), 3) for pair in zip(rows, columns, strict=True))
    return equal, repeated, banding


def _measure_lines(luma: np.ndarray) -> tuple[float, float, float]:
    lines = np.ascontiguousarray(luma[:: max(1, luma.shape[0] // _LINES)][:_LINES])
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    equal: _Bytes = (steps == 0).view(np.uint8)
    return _share_at_edges(lines, equal), _share_of_repeated(steps), _count_bands(steps, equal)


def _share_at_edges(lines: np.ndarray, equal: _Bytes) -> float:
    segments = equal.shape[1] // _SEGMENT_PX
    whole = segments * _SEGMENT_PX
    levels = lines[:, :whole].reshape(-1, _SEGMENT_PX).T.copy()
    span = levels.max(axis=0) - levels.min(axis=0)
    has_edge = span >= _EDGE_LEVELS
    pairs = equal[:, :whole].reshape(-1, _SEGMENT_PX).T.copy().sum(axis=0, dtype=np.uint8)
    edges = int(np.count_nonzero(has_edge))
    return int(pairs[has_edge].sum(dtype=np.int64)) / (
        _SEGMENT_PX * (edges + max(1, len(span) // _EDGELESS_SHARE))
    )


def _share_of_repeated(steps: np.ndarray) -> float:
    sums = cv2.reduce(steps, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel().astype(np.int64)
    reach = min(_AROUND_PX, len(sums) // 2 * 2 - 1)
    padded = np.pad(sums, reach // 2, mode="edge")
    running = np.concatenate(([0], padded.cumsum()))
    around = running[reach:] - running[:-reach]
    # A quarter of a level a pixel: where nothing differs, nothing is repeated.
    busy = 4 * around > reach * len(steps)
    return int(np.count_nonzero((sums * (_QUIET * reach) < around) & busy)) / len(sums)


def _count_bands(steps: np.ndarray, equal: _Bytes) -> float:
    count = steps.shape[1] - 2 * (_RUN_PX - 1)
    if count <= 0:
        return 0.0
    # A run of 4 pixels has 3 equal pairs.
    run = equal[:, : -(_RUN_PX - 2)] & equal[:, 1 : -(_RUN_PX - 3)] & equal[:, _RUN_PX - 2 :]
    middle = steps[:, _RUN_PX - 1 : _RUN_PX - 1 + count]
    # Below the smallest step the difference wraps around to more than the largest.
    is_band = (middle - np.uint8(_MIN_BAND_LEVELS)) <= _MAX_BAND_LEVELS - _MIN_BAND_LEVELS
    found = is_band & run[:, :count].astype(bool) & run[:, _RUN_PX : _RUN_PX + count].astype(bool)
    return float(1000 * np.count_nonzero(found) / found.size)
