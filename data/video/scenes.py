"""What tells a video's frames apart: fades and dissolves, near-identical frames, and where one scene ends.

All of it is judged on thumbnails of code values, as they are decoded: no colors are converted for it.
"""

import bisect

import cv2
import numpy as np

THUMB_HEIGHT, THUMB_WIDTH = 36, 64
FADE_STEP_S = 0.25
"""Time between the three frames that a fade is judged by."""
SCENE_REACH_S = 60.0
"""Frames further apart than this are never compared: a scene rarely leaves a view for longer and comes back."""
_LEAST_CHANGE = 6.0
"""Mean difference, in levels of 255, below which the outer two of three frames count as one image."""
_MIXED = 0.09
"""How much of that difference a mixture may leave unexplained."""
_NEAR_IDENTICAL = 0.08
"""Difference of two frames against their contrast; below it a network learns nothing from the second."""
_FLATTEST = 2.0
"""Contrast in levels of 255 that a frame is credited with at least: noise in black frames is no difference."""
_ALIKE = 0.5
"""Share of colors that two frames of one scene have in common."""
_BINS = 8
_LONG_SCENE_S = 300.0
_STRICTER = 0.1
_STRICTEST = 0.85
"""A measure above this is made no stricter: frames that agree so far show one place."""


def is_mixed(before: np.ndarray, between: np.ndarray, after: np.ndarray) -> bool:
    """Return whether a frame is a mixture of two others: part of a fade or a dissolve.

    The weight that explains it best is found by least squares; it is a mixture when the weight lies well between
    the two and next to nothing is left over. Motion moves edges, which no mixture of two frames does.

    Args:
        before: uint8 thumbnail, rows x columns x 3.
        between: of the frame in question.
        after: likewise.

    Source: the synthesized frame of Yu, Bozdagi and Harrington, Feature-based hierarchical video segmentation (1997).
    """
    start = before.astype(np.float32).ravel()
    change = after.astype(np.float32).ravel() - start
    step = between.astype(np.float32).ravel() - start
    if np.abs(change).mean() < _LEAST_CHANGE:
        return False
    weight = float(step @ change / (change @ change))
    left_over = np.linalg.norm(step - weight * change) / np.linalg.norm(change)
    return 0.2 < weight < 0.8 and left_over < _MIXED


def is_near_identical(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two thumbnails show the same, but for noise: root mean square difference against contrast."""
    first, second = one.astype(np.float32), other.astype(np.float32)
    contrast = max(_FLATTEST, float(min(first.std(), second.std())))
    return float(np.sqrt(np.mean((first - second) ** 2))) < _NEAR_IDENTICAL * contrast


def color_histogram(thumb: np.ndarray) -> np.ndarray:
    """Return the share of a thumbnail's pixels in each of 8 x 8 x 8 colors: float32, sums to 1."""
    counts = cv2.calcHist([thumb], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3)
    return counts.ravel() / (thumb.shape[0] * thumb.shape[1])


def number_scenes(times_s: list[float], thumbs: list[np.ndarray]) -> list[int]:
    """Gather frames into scenes: stretches that lie between the same cuts and go back and forth between views.

    Two frames within a minute of each other whose colors agree by half (histogram intersection) are linked, and
    all frames between them belong to their scene. So a conversation that is cut back and forth is one scene, and a
    scene ends where no link leads across. Where that chains more than five minutes together, as the even tint of
    some videos does, the stretch is looked at again with a stricter measure, up to nine tenths.

    Args:
        times_s: ascending.
        thumbs: uint8, rows x columns x 3, one a frame.

    Returns:
        A scene's number for each frame, from 0, ascending.

    Source: the overlapping links of Hanjalic, Lagendijk and Biemond, Automated high-level movie segmentation (1999);
    the measure is Swain and Ballard's, Color indexing (1991).
    """
    histograms = [color_histogram(thumb) for thumb in thumbs]
    lengths = _scene_lengths(times_s, histograms, _ALIKE)
    return [scene for scene, length in enumerate(lengths) for _ in range(length)]


def _scene_lengths(times_s: list[float], histograms: list[np.ndarray], alike: float) -> list[int]:
    """Return how many frames each scene has."""
    lengths: list[int] = []
    start = 0
    while start < len(times_s):
        stop = _scene_end(start, times_s, histograms, alike)
        is_long = times_s[stop - 1] - times_s[start] > _LONG_SCENE_S
        if is_long and alike < _STRICTEST:
            lengths += _scene_lengths(times_s[start:stop], histograms[start:stop], alike + _STRICTER)
        else:
            lengths.append(stop - start)
        start = stop
    return lengths


def _scene_end(start: int, times_s: list[float], histograms: list[np.ndarray], alike: float) -> int:
    """Return the first frame after `start` that no link reaches."""
    last = place = start
    while place <= last:
        reach = bisect.bisect_right(times_s, times_s[place] + SCENE_REACH_S)
        for later in range(reach - 1, last, -1):
            if np.minimum(histograms[place], histograms[later]).sum() >= alike:
                last = later
                break
        place += 1
    return last + 1
