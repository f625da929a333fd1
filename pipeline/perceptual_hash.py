"""Perceptual hashes: 64 bits that survive scaling and recompression. Compares nothing; `pipeline.select` does."""

import cv2
import numpy as np

from pipeline.downscale import halve
from pipeline.quality_metrics import luma_of

_SIDE_PX = 32
_BITS_SIDE = 8
_MEDIAN = (_BITS_SIDE**2 - 1) // 2
"""Place of the median of the 63 coefficients; np.median would take longer than all else here."""


def perceptual_hash(image: np.ndarray, half: np.ndarray | None = None) -> str:
    """Return the hash of a whole image, as `luma_hash` does, from its halved form.

    Args:
        image: uint8, height x width x 3, RGB.
        half: the image halved, where the caller has it already.
    """
    if min(image.shape[:2]) >= 4 * _SIDE_PX:
        image = halve(image) if half is None else half
    return luma_hash(luma_of(image))


def luma_hash(luma: np.ndarray) -> str:
    """Return the 64-bit hash of an image as 16 hex digits.

    The signs of the 8 x 8 lowest cosine coefficients of a 32 x 32 image against their median (the constant one left
    out of the median). The reduction goes by halves as far as it can, which costs next to nothing.

    Args:
        luma: uint8, height x width.

    Source: Zauner, Implementation and benchmarking of perceptual image hash functions (2010).
    """
    while min(luma.shape) >= 2 * _SIDE_PX:
        luma = halve(luma)
    small = cv2.resize(luma, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_BITS_SIDE, :_BITS_SIDE].ravel()
    median = np.partition(low[1:], _MEDIAN)[_MEDIAN]
    bits = low > median
    return np.packbits(bits).tobytes().hex()
