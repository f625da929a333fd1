"""Screens: what a crop is worth, as whole numbers, and which crops are thrown out for it.

Scores are stored for the crops that pass too, so that a later selection need not look at pixels.
"""

import dataclasses

import cv2
import numpy as np

from data.records import Reason

HASH_SIDE_PX = 32
_HASH_BITS_SIDE = 8


@dataclasses.dataclass(frozen=True)
class ScreenSettings:
    """Thresholds, in the scores' units; 0 turns a screen off."""

    flat_below: int
    blurred_below: int


def scores(picture: np.ndarray) -> dict[str, int]:
    """Measure a crop.

    Args:
        picture: uint8, height x width x 3, RGB, even sides.

    Returns:
        contrast: standard deviation of luma, in hundredths of a level.
        detail: root mean square of what halving and linear enlarging loses of luma, in hundredths of a level;
            it is what a network could learn to restore, so a blurred or empty picture has next to none.
    """
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    height, width = luma.shape
    half = cv2.resize(luma, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    again = cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
    lost = cv2.norm(luma, again, cv2.NORM_L2) / np.sqrt(luma.size)
    return {"contrast": round(100 * float(cv2.meanStdDev(luma)[1][0, 0])), "detail": round(100 * lost)}


def judge(measured: dict[str, int], settings: ScreenSettings) -> tuple[Reason, str] | None:
    """Return why a crop is thrown out, with its score and the limit, or None when it passes."""
    rules = [
        (Reason.FLAT, "contrast", settings.flat_below),
        (Reason.BLURRED, "detail", settings.blurred_below),
    ]
    for reason, score, limit in rules:
        if measured[score] < limit:
            return reason, f"{score} {measured[score]}; at least {limit} is needed"
    return None


def perceptual_hash(picture: np.ndarray) -> str:
    """Return a 64-bit hash that survives scaling and recompression, as 16 hex digits.

    The signs of the 8 x 8 lowest cosine coefficients of a 32 x 32 grey picture against their median (the constant
    one left out of the median).

    Args:
        picture: uint8, height x width x 3, RGB.

    Source: Zauner, Implementation and benchmarking of perceptual image hash functions (2010).
    """
    small = cv2.resize(picture, (HASH_SIDE_PX, HASH_SIDE_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    low = cv2.dct(grey)[:_HASH_BITS_SIDE, :_HASH_BITS_SIDE].ravel()
    bits = low > np.median(low[1:])
    return np.packbits(bits).tobytes().hex()
