"""Compute perceptual hashes: 64 bits that survive scaling and recompression. `pipeline.selection` compares them."""

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.downscale import downscale_by_two
from pipeline.quality_metrics import rgb_to_luma

_SIDE_PX = 32
_SIDE_BITS = 8
_MEDIAN = (_SIDE_BITS**2 - 1) // 2
"""Position of the median of the 63 coefficients. np.median would take longer than everything else here."""
HASH_DIGITS = _SIDE_BITS**2 // 4
ORIENTATIONS = 8
"""As stored, mirrored left to right, mirrored top to bottom, turned by 180 degrees, then each of these transposed."""
_SIGNS = np.where(np.arange(_SIDE_BITS) % 2, -1, 1).astype(np.float32)
"""What mirroring multiplies the coefficients of a row or column by."""


def hash_orientations(image: np.ndarray, half: np.ndarray | None = None) -> str:
    """Return the hashes of a whole image in all its orientations. A large image is halved before its luma is computed.

    So a mirrored or turned copy of an image is found by comparing one of its hashes with the eight of the image.

    Args:
        image: uint8, height x width x 3, RGB.
        half: the image downscaled by two, if the caller has it already.

    Returns:
        8 hashes of 16 hex digits each, in the order of `ORIENTATIONS`; the first is that of the image as it is.
    """
    if min(image.shape[:2]) >= 4 * _SIDE_PX:
        image = downscale_by_two(image) if half is None else half
    upright = _low_frequencies(rgb_to_luma(image))
    turned = (
        mirrored
        for coefficients in (upright, upright.T)
        for mirrored in (
            coefficients,
            coefficients * _SIGNS,
            coefficients * _SIGNS[:, None],
            coefficients * _SIGNS * _SIGNS[:, None],
        )
    )
    return "".join(map(_hash, turned))


def luma_hash(luma: np.ndarray) -> str:
    """Return the 64-bit hash of an image as 16 hex digits.

    A bit says whether one of the 8 x 8 lowest cosine coefficients of a 32 x 32 image exceeds their median; the median
    leaves out the constant coefficient. The image is first halved as often as possible, which costs next to nothing.

    Args:
        luma: uint8, height x width.

    Source: Zauner, Implementation and benchmarking of perceptual image hash functions (2010).
    """
    return _hash(_low_frequencies(luma))


def _low_frequencies(luma: np.ndarray) -> npt.NDArray[np.float32]:
    while min(luma.shape) >= 2 * _SIDE_PX:
        luma = downscale_by_two(luma)
    small = cv2.resize(luma, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    low: npt.NDArray[np.float32] = cv2.dct(small)[:_SIDE_BITS, :_SIDE_BITS].astype(np.float32)
    return low


def _hash(low: npt.NDArray[np.float32]) -> str:
    coefficients = low.ravel()
    median = np.partition(coefficients[1:], _MEDIAN)[_MEDIAN]
    return np.packbits(coefficients > median).tobytes().hex()
