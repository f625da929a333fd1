"""PSNR and SSIM in float64, as the published tables compute them.

Pure numpy. The caller chooses the channel, the border and the rounding: nothing here rounds, clips or resizes, or knows
files, models and protocols.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

DATA_RANGE = 255.0
PSNR_CAP_DB = 100.0
"""Equal images have an infinite PSNR, which neither JSON nor a mean can hold: reports count it as this much."""
SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5
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
    first_values, second_values = _as_floats(first, second)
    return psnr_of_error(float(np.mean(np.square(first_values - second_values))), data_range)


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
    x, y = _as_floats(first, second)
    if min(x.shape[:2]) < SSIM_WINDOW_PX:
        height, width = x.shape[:2]
        raise ValueError(
            f"SSIM needs images of at least {SSIM_WINDOW_PX}x{SSIM_WINDOW_PX} px, not {height}x{width} px."
        )
    if x.ndim == 3:
        return float(np.mean([ssim(x[..., c], y[..., c], data_range) for c in range(x.shape[2])]))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    structure = (2.0 * covariance + c2) / (variance_x + variance_y + c2)
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float(np.mean(structure * luminance))


def _as_floats(first: Pixels, second: Pixels) -> tuple[Values, Values]:
    if first.shape != second.shape or first.ndim not in (2, 3) or first.size == 0:
        raise ValueError(
            f"Both images must have one shape (HW or HWC), not {first.shape} and {second.shape}."
        )
    return first.astype(np.float64), second.astype(np.float64)


def _blur(plane: Values) -> Values:
    """Compute the Gaussian mean of every full window of an HW plane; the result is smaller by the window less one."""
    offsets = np.arange(SSIM_WINDOW_PX) - SSIM_WINDOW_PX // 2
    kernel = np.exp(-0.5 * (offsets / SSIM_SIGMA_PX) ** 2)
    kernel /= kernel.sum()
    height, width = (size - SSIM_WINDOW_PX + 1 for size in plane.shape)
    rows = np.zeros((height, plane.shape[1]))
    for offset, weight in enumerate(kernel):
        rows += weight * plane[offset : offset + height]
    blurred = np.zeros((height, width))
    for offset, weight in enumerate(kernel):
        blurred += weight * rows[:, offset : offset + width]
    return blurred
