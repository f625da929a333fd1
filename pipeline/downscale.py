"""Reducing images by whole factors: the one filter of crops, scores and perceptual hashes. Never upscales."""

import cv2
import numpy as np


def halve(image: np.ndarray) -> np.ndarray:
    """Return an image of half the size, each pixel the rounded mean of 2 x 2.

    Args:
        image: uint8, height x width or height x width x channels; an odd last row or column is dropped.
    """
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def downscale(image: np.ndarray, factor: int) -> np.ndarray:
    """Reduce an image by a whole factor, each pixel the mean of factor x factor ones.

    The box filter has no ringing and is exact for whole factors. Powers of two are taken by halving, each time
    rounded: many times faster, and at most half a level from the mean for each halving. Rows and columns at the bottom
    and the right that fill no whole pixel are dropped.

    Args:
        image: uint8, height x width x 3.
        factor: 1 or more.

    Returns:
        uint8, (height // factor) x (width // factor) x 3.
    """
    while factor % 2 == 0:
        image, factor = halve(image), factor // 2
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
