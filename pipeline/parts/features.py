"""Describe an image by local features: places with texture that can be found again in a scaled, turned or cut copy.

The detector and descriptor are Lowe's (Distinctive image features from scale-invariant keypoints, 2004), as OpenCV has
them; `pipeline.parts.signs` makes 128 bits of each descriptor. A crop of 512 pixels keeps 64 features of 20 bytes.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.downscale import downscale_by_two
from pipeline.parts.signs import Signs, mirror_signs, sign_descriptors

FEATURES_PER_CROP = 64
"""For each 512 x 512 pixels."""
_CELL_PX = 512
_DESCRIBED_PX, _DESCRIBED_SCALE = 128, 1 / 4
"""Crops are described at a quarter of their size, but not below 128 pixels: as much is found as at half the size."""
_CANDIDATES = 150
"""Strongest keypoints of a crop, from which its features are chosen."""
_GRID = 8
"""Features are chosen evenly from a grid of so many cells a side."""
_CONTRAST = 0.01
"""The weakest keypoint that counts, as OpenCV's contrastThreshold."""
_TARGET_AREA_PX, _TARGET_MAX = 220, 2000
"""An image to compare with keeps one feature for so many pixels of each size it is described at, at most so many."""
_MIN_LEVEL_PX = 64
_POSITIONS, _SIZES_PER_OCTAVE, _ANGLE_STEPS = 1024, 8, 64

FEATURE = np.dtype([("signs", "<u8", 2), ("place", "<u4")])
"""A stored feature, 20 bytes. `place` packs x and y in 1/1024 of the side (10 bits each), the size in eighths of an
octave (6 bits; 0: no feature) and the angle in 1/64 of a turn (6 bits)."""
StoredFeatures = npt.NDArray[np.void]
Points = npt.NDArray[np.float64]
"""Features x 4: x and y in pixels, the logarithm to base 2 of the size in pixels, the angle in radians, clockwise."""


class Features(NamedTuple):
    """Local features of an image."""

    signs: Signs
    """128 bits each."""
    points: Points
    """Where each is."""


def features_per_crop(side_px: int) -> int:
    """Return how many features are stored for a square crop."""
    return FEATURES_PER_CROP * max(1, round((side_px / _CELL_PX) ** 2))


def describe_crop(luma: npt.NDArray[np.uint8]) -> StoredFeatures:
    """Return the features of a square crop, as they are stored.

    Args:
        luma: uint8, side x side.

    Returns:
        `features_per_crop(side)` records; those that the crop has no texture for are zero.
    """
    side, kept = luma.shape[0], features_per_crop(luma.shape[0])
    described = min(side, max(_DESCRIBED_PX, round(side * _DESCRIBED_SCALE)))
    small = cv2.resize(luma, (described, described), interpolation=cv2.INTER_AREA)
    found = _find_features(small, _CANDIDATES * kept // FEATURES_PER_CROP, kept)
    stored = np.zeros(kept, FEATURE)
    stored["signs"][: len(found.signs)] = found.signs
    stored["place"][: len(found.signs)] = _pack(_scale_points(found.points, side / described), side)
    return stored


def restore_features(stored: StoredFeatures, side_px: int) -> Features:
    """Return stored features, without the empty records.

    Args:
        stored: as `describe_crop` returns them.
        side_px: side of the crop.
    """
    stored = stored[(stored["place"] >> 20) & 63 > 0]
    place = stored["place"].astype(np.int64)
    points = np.empty((len(stored), 4))
    points[:, 0] = ((place & 1023) + 0.5) * (side_px / _POSITIONS)
    points[:, 1] = ((place >> 10 & 1023) + 0.5) * (side_px / _POSITIONS)
    points[:, 2] = (place >> 20 & 63) / _SIZES_PER_OCTAVE
    points[:, 3] = (place >> 26) * (2 * np.pi / _ANGLE_STEPS)
    return Features(stored["signs"], points)


def describe_target(luma: npt.NDArray[np.uint8]) -> Features:
    """Return the features of an image that crops are compared with: many, at its own and at smaller sizes.

    Args:
        luma: uint8, height x width.
    """
    found: list[Features] = []
    scale = 1
    while not found or min(luma.shape) >= _MIN_LEVEL_PX:
        count = min(_TARGET_MAX, luma.size // _TARGET_AREA_PX + 32)
        features = _find_features(luma, 2 * count, count)
        found.append(Features(features.signs, _scale_points(features.points, scale)))
        luma, scale = downscale_by_two(luma), 2 * scale
    return join_features(found)


def join_features(parts: list[Features]) -> Features:
    """Return the features of several lists as one."""
    return Features(np.vstack([one.signs for one in parts]), np.vstack([one.points for one in parts]))


def mirror_features(features: Features, width_px: float) -> Features:
    """Return what the features would be in the image mirrored left to right."""
    points = features.points.copy()
    points[:, 0] = width_px - points[:, 0]
    points[:, 3] = np.pi - points[:, 3]
    return Features(mirror_signs(features.signs), points)


def _scale_points(points: Points, scale: float) -> Points:
    return np.column_stack((points[:, :2] * scale, points[:, 2] + np.log2(scale), points[:, 3]))


def _find_features(luma: np.ndarray, candidates: int, kept: int) -> Features:
    """Return the strongest features of an image, spread over it."""
    detector = cv2.SIFT.create(nfeatures=candidates, contrastThreshold=_CONTRAST)  # words: ok
    keypoints, descriptors = detector.detectAndCompute(luma, None)
    if not keypoints:
        return Features(np.zeros((0, 2), np.uint64), np.zeros((0, 4)))
    table = np.array([(*one.pt, one.size, one.angle, one.response) for one in keypoints], np.float64)
    chosen = _spread(table, luma.shape, kept)
    # OpenCV places the first pixel's center at 0; here its corner is.
    points = np.column_stack(
        (table[chosen, :2] + 0.5, np.log2(table[chosen, 2]), np.deg2rad(table[chosen, 3]))
    )
    return Features(sign_descriptors(descriptors[chosen].astype(np.float32)), points)


def _spread(table: npt.NDArray[np.float64], shape: tuple[int, ...], kept: int) -> npt.NDArray[np.int64]:
    """Return the rows of the keypoints to keep: the strongest of each cell of a grid, then the second, and so on."""
    x, y, size, angle, response = table.T
    cell = (y * _GRID // shape[0]).astype(int) * _GRID + (x * _GRID // shape[1]).astype(int)
    by_cell = np.lexsort((angle, size, y, x, -response, cell))
    first = np.concatenate(([True], np.diff(cell[by_cell]) != 0))
    starts = np.flatnonzero(first)
    rank = np.empty(len(table), np.int64)
    rank[by_cell] = np.arange(len(table)) - starts[np.cumsum(first) - 1]
    return np.lexsort((angle, size, y, x, -response, rank))[:kept]


def _pack(points: Points, side_px: int) -> npt.NDArray[np.uint32]:
    position = np.clip(points[:, :2] * (_POSITIONS / side_px), 0, _POSITIONS - 1).astype(np.uint32)
    size = np.clip(np.rint(points[:, 2] * _SIZES_PER_OCTAVE), 1, 63).astype(np.uint32)
    angle = np.rint(points[:, 3] * (_ANGLE_STEPS / (2 * np.pi))).astype(np.int64) % _ANGLE_STEPS
    packed: npt.NDArray[np.uint32] = np.bitwise_or.reduce(
        [position[:, 0], position[:, 1] << 10, size << 20, angle.astype(np.uint32) << 26]
    )
    return packed
