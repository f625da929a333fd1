"""Compare a video's frames: find fades and dissolves, near-identical frames, and where one scene ends.

Everything is measured on thumbnails of code values as they are decoded; no colors are converted.
"""

import bisect

import cv2
import numpy as np
import numpy.typing as npt

Thumbnail = npt.NDArray[np.uint8]
"""THUMBNAIL_HEIGHT x THUMBNAIL_WIDTH x 3."""

THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH = 36, 64
FADE_STEP_S = 0.25
"""Time between the three frames that are compared to detect a fade."""
MAX_SCENE_GAP_S = 60.0
"""Frames further apart than this are never compared: a scene rarely leaves a view for longer and comes back."""
_MIN_CHANGE = 6.0
"""Mean difference, in levels of 255, below which the outer two of three frames count as one image."""
_MAX_UNEXPLAINED = 0.09
"""Share of that difference that a mixture may leave unexplained."""
_NEAR_IDENTICAL = 0.08
"""Difference of two frames divided by their contrast; below this a network learns nothing from the second."""
_MIN_CONTRAST = 2.0
"""Contrast in levels of 255 that a frame counts with at least: noise in black frames is not a difference."""
_LINK_THRESHOLD = 0.5
"""Share of colors that two frames of one scene have in common."""
_BINS = 8
_LONG_SCENE_S = 300.0
_THRESHOLD_STEP = 0.1
_MAX_THRESHOLD = 0.85
"""A threshold above this is not raised further: frames that agree so far show one place."""


def is_transition(before: Thumbnail, between: Thumbnail, after: Thumbnail) -> bool:
    """Return whether a frame is a mixture of two others: part of a fade or a dissolve.

    The mixing weight is fitted by least squares. The frame is a mixture if the weight lies well between the two, and
    the residual is small. Motion moves edges, and no mixture of two frames does that.

    Args:
        before: a frame before it.
        between: the frame in question.
        after: a frame after it.

    Source: the synthesized frame of Yu, Bozdagi and Harrington, Feature-based hierarchical video segmentation (1997).
    """
    start = before.astype(np.float32).ravel()
    change = after.astype(np.float32).ravel() - start
    step = between.astype(np.float32).ravel() - start
    if np.abs(change).mean() < _MIN_CHANGE:
        return False
    weight = float(step @ change / (change @ change))
    unexplained = float(np.linalg.norm(step - weight * change) / np.linalg.norm(change))
    return 0.2 < weight < 0.8 and unexplained < _MAX_UNEXPLAINED


def is_near_identical(one: Thumbnail, other: Thumbnail) -> bool:
    """Return whether two frames show the same but for noise: their RMS difference is small against their contrast."""
    first, second = one.astype(np.float32), other.astype(np.float32)
    contrast = max(_MIN_CONTRAST, float(min(first.std(), second.std())))
    return float(np.sqrt(np.mean((first - second) ** 2))) < _NEAR_IDENTICAL * contrast


def color_histogram(thumbnail: Thumbnail) -> npt.NDArray[np.float32]:
    """Return the share of a thumbnail's pixels in each of 8 x 8 x 8 colors: float32, sums to 1."""
    counts = cv2.calcHist([thumbnail], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3)
    return np.asarray(counts.ravel() / (thumbnail.shape[0] * thumbnail.shape[1]), np.float32)


def assign_scenes(times_s: list[float], thumbnails: list[Thumbnail]) -> list[int]:
    """Group frames into scenes: stretches between the same cuts that may go back and forth between views.

    Two frames within a minute of each other whose colors agree by half (histogram intersection) are linked, and all
    frames between them belong to their scene. So a conversation that is cut back and forth is one scene, and a scene
    ends where no link leads across. If that chains more than five minutes together, as the even tint of some videos
    does, the stretch is split again with a higher threshold, up to 0.9.

    Args:
        times_s: ascending.
        thumbnails: one for each frame.

    Returns:
        A scene number for each frame, from 0, ascending.

    Source: the overlapping links of Hanjalic, Lagendijk and Biemond, Automated high-level movie segmentation (1999);
    the measure is Swain and Ballard's, Color indexing (1991).
    """
    histograms = [color_histogram(thumbnail) for thumbnail in thumbnails]
    lengths = _scene_lengths(times_s, histograms, _LINK_THRESHOLD)
    return [scene for scene, length in enumerate(lengths) for _ in range(length)]


def _scene_lengths(
    times_s: list[float], histograms: list[npt.NDArray[np.float32]], threshold: float
) -> list[int]:
    """Return the number of frames in each scene."""
    lengths: list[int] = []
    start = 0
    while start < len(times_s):
        stop = _find_scene_end(start, times_s, histograms, threshold)
        is_long = times_s[stop - 1] - times_s[start] > _LONG_SCENE_S
        if is_long and threshold < _MAX_THRESHOLD:
            lengths += _scene_lengths(
                times_s[start:stop], histograms[start:stop], threshold + _THRESHOLD_STEP
            )
        else:
            lengths.append(stop - start)
        start = stop
    return lengths


def _find_scene_end(
    start: int, times_s: list[float], histograms: list[npt.NDArray[np.float32]], threshold: float
) -> int:
    """Return the first frame after `start` that no link reaches."""
    last = index = start
    while index <= last:
        stop = bisect.bisect_right(times_s, times_s[index] + MAX_SCENE_GAP_S)
        for later in range(stop - 1, last, -1):
            if np.minimum(histograms[index], histograms[later]).sum() >= threshold:
                last = later
                break
        index += 1
    return last + 1
