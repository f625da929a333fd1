"""Compute perceptual hashes: 64 bits that survive scaling and recompression. `pipeline.selection` compares them."""

import cv2
import numpy as np

from pipeline.downscale import downscale_by_two
from pipeline.quality_metrics import rgb_to_luma

_SIDE_PX = 32
_SIDE_BITS = 8
_MEDIAN = (_SIDE_BITS**2 - 1) // 2
"""Position of the median of the 63 coefficients. np.median would take longer than everything else here."""


def perceptual_hash(image: np.ndarray, half: np.ndarray | None = None) -> str:
    """Return the hash of a whole image. A large image is downscaled by two before its luma is computed.

    Args:
        image: uint8, height x width x 3, RGB.
        half: the image downscaled by two, if the caller has it already.

    Returns:
        16 hex digits, as `luma_hash` returns them.
    """
    if min(image.shape[:2]) >= 4 * _SIDE_PX:
        image = downscale_by_two(image) if half is None else half
    return luma_hash(rgb_to_luma(image))


def luma_hash(luma: np.ndarray) -> str:
    """Return the 64-bit hash of an image as 16 hex digits.

    A bit says whether one of the 8 x 8 lowest cosine coefficients of a 32 x 32 image exceeds their median; the median
    leaves out the constant coefficient. The image is first halved as often as possible, which costs next to nothing.

    Args:
        luma: uint8, height x width.

    Source: Zauner, Implementation and benchmarking of perceptual image hash functions (2010).
    """
    while min(luma.shape) >= 2 * _SIDE_PX:
        luma = downscale_by_two(luma)
    small = cv2.resize(luma, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    coefficients = cv2.dct(small)[:_SIDE_BITS, :_SIDE_BITS].ravel()
    median = np.partition(coefficients[1:], _MEDIAN)[_MEDIAN]
    return np.packbits(coefficients > median).tobytes().hex()
