"""PSNR and SSIM in float64, as the published tables compute them.

The caller chooses the channel, the border and the rounding: nothing here rounds, clips or resizes, or knows files,
models and protocols.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from data.cpu_count import usable_cores

DATA_RANGE = 255.0
PSNR_CAP_DB = 100.0
"""Equal images have an infinite PSNR, which neither JSON nor a mean can hold: reports count it as this much."""
SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5
_BAND_SAMPLES = 1 << 16
"""How many values of SSIM are computed at once."""
_SSIM_KERNEL = cv2.getGaussianKernel(SSIM_WINDOW_PX, SSIM_SIGMA_PX, cv2.CV_64F)
_LUMA_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0

Scalar = TypeVar("Scalar", bound=np.generic)
Values = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.number]
"""Pixels or luma, any numeric dtype."""


def luma(rgb: Pixels) -> Values:
    """Convert an RGB image to luma, without rounding.

    Args:
        rgb: HWC, three channels, uint8 or float, 0 to 255.

    Returns:
        HW float64, 16 to 235.

    Raises:
        ValueError: the image does not have three channels.

    Source: ITU-R BT.601, in the form of MATLAB's rgb2ycbcr.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"Luma needs an RGB image of shape (height, width, 3), not {rgb.shape}.")
    return 16.0 + rgb.astype(np.float64) @ _LUMA_WEIGHTS


def crop_border(image: npt.NDArray[Scalar], border_px: int) -> npt.NDArray[Scalar]:
    """Remove the outermost rows and columns, where networks see too little of the surroundings.

    Args:
        image: HW or HWC.
        border_px: removed from each side, in pixels.

    Raises:
        ValueError: nothing would be left.
    """
    height, width = image.shape[:2]
    if border_px < 0 or min(height, width) <= 2 * border_px:
        raise ValueError(
            f"The border must be at least 0 and less than half of {height}x{width} px, not {border_px}."
        )
    return image[border_px : height - border_px, border_px : width - border_px]


def psnr(first: Pixels, second: Pixels, data_range: float = DATA_RANGE) -> float:
    """Compute the peak signal-to-noise ratio of two images.

    Args:
        first, second: HW or HWC of one shape, 0 to `data_range`. The error is averaged over all channels at once.
        data_range: the largest possible difference.

    Returns:
        10 log10(data_range² / mean squared error), in dB; infinity for equal images.

    Raises:
        ValueError: the shapes differ, or the images are empty.

    Example:
        >>> psnr(np.zeros((4, 4)), np.full((4, 4), 255.0))
        0.0
    """
    _check_shapes(first, second)
    difference = np.subtract(first, second, dtype=np.float64)
    return psnr_of_error(float(np.mean(np.square(difference))), data_range)


def psnr_of_error(mean_squared_error: float, data_range: float = DATA_RANGE) -> float:
    """Return the PSNR of a mean squared error, in dB; infinity for no error."""
    if mean_squared_error == 0.0:
        return float("inf")
    return float(10.0 * np.log10(data_range**2 / mean_squared_error))


def ssim(first: Pixels, second: Pixels, data_range: float = DATA_RANGE) -> float:
    """Compute the structural similarity of two images, the mean over all positions and channels.

    A Gaussian window of 11x11 px, sigma 1.5, only where it fits whole; C1 = (0.01 L)², C2 = (0.03 L)², population
    covariance. A uniform window or a padded border gives other numbers than the published tables.

    Args:
        first, second: HW or HWC of one shape, 0 to `data_range`, at least 11x11 px.
        data_range: L, the largest possible difference.

    Returns:
        -1 to 1; 1 for equal images.

    Raises:
        ValueError: the shapes differ, or the images are smaller than the window.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
        similarity", 2004, equation 13.
    """
    _check_shapes(first, second)
    height, width = first.shape[:2]
    if min(height, width) < SSIM_WINDOW_PX:
        raise ValueError(
            f"SSIM needs images of at least {SSIM_WINDOW_PX}x{SSIM_WINDOW_PX} px, not {height}x{width} px."
        )
    channels = first.size // (height * width)
    positions = (height - SSIM_WINDOW_PX + 1) * (width - SSIM_WINDOW_PX + 1) * channels
    bands = list(_cut_bands(first, second))
    with ThreadPoolExecutor(min(len(bands), usable_cores())) as pool:
        sums = pool.map(lambda band: _sum_ssim(band[0], band[1], data_range), bands)
        return float(sum(sums) / positions)


def _cut_bands(first: Pixels, second: Pixels) -> Iterator[tuple[Pixels, Pixels]]:
    """Cut two images into bands that a core's cache holds, which overlap by the window less one row."""
    overlap = SSIM_WINDOW_PX - 1
    positions = first.shape[0] - overlap
    rows = max(_BAND_SAMPLES // first[0].size, 4 * SSIM_WINDOW_PX)
    for top in range(0, positions, rows):
        bottom = min(top + rows, positions) + overlap
        yield first[top:bottom], second[top:bottom]


def _sum_ssim(first: Pixels, second: Pixels, data_range: float) -> float:
    """Add up the SSIM of every position and channel.

    It blurs four images, not five, as it works on the sum and the difference of the two: a and b are the squares of
    their means, p and q their variances. Then (a - b) / 4 is the product of the images' means, (a + b) / 2 the sum of
    the squares of their means; p and q give the covariance and the sum of the variances in the same way.
    """
    total = np.add(first, second, dtype=np.float64)
    difference = np.subtract(first, second, dtype=np.float64)
    a, b = np.square(_blur(total)), np.square(_blur(difference))
    p, q = _blur(np.square(total)) - a, _blur(np.square(difference)) - b
    a += 2.0 * (0.01 * data_range) ** 2  # C1 and C2, for the sums and the differences below
    p += 2.0 * (0.03 * data_range) ** 2
    return float(np.sum((a - b) * (p - q) / ((a + b) * (p + q))))


def _check_shapes(first: Pixels, second: Pixels) -> None:
    if first.shape != second.shape or first.ndim not in (2, 3) or first.size == 0:
        raise ValueError(
            f"Both images must have one shape (HW or HWC), not {first.shape} and {second.shape}."
        )


def _blur(image: Values) -> Values:
    """Compute the Gaussian mean of every full window; the result is smaller by the window less one."""
    blurred: Values = np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, _SSIM_KERNEL, _SSIM_KERNEL), np.float64)
    edge = SSIM_WINDOW_PX // 2  # where the window overlaps OpenCV's border
    return blurred[edge:-edge, edge:-edge]
