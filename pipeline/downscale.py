"""Downscale images by whole factors: the one filter for crops, quality metrics and perceptual hashes."""

import cv2
import numpy as np


def downscale_by_two(image: np.ndarray) -> np.ndarray:
    """Return an image of half the size, each pixel the rounded mean of 2 x 2.

    Args:
        image: uint8, height x width or height x width x channels. An odd last row or column is dropped.
    """
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def downscale(image: np.ndarray, factor: int) -> np.ndarray:
    """Downscale an image by a whole factor, each pixel the mean of factor x factor pixels.

    A box filter has no ringing and is exact for whole factors. Powers of two are taken by repeated halving, rounded
    each time: this is many times faster, and each halving adds at most half a level of error. Rows and columns at the
    bottom and the right that fill no whole pixel are dropped.

    Args:
        image: uint8, height x width x 3.
        factor: 1 or more.

    Returns:
        uint8, (height // factor) x (width // factor) x 3.
    """
    while factor % 2 == 0:
        image, factor = downscale_by_two(image), factor // 2
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
