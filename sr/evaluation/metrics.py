"""How far two images are apart: PSNR and SSIM, in float64, as the published tables compute them.

Pure numpy, and blind to files, models and protocols: who calls decides the channel, the border and the
rounding. Never rounds, never clips, never resizes.
"""

import numpy as np

DATA_RANGE = 255.0
SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5
_LUMA_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0


def luma(rgb: np.ndarray) -> np.ndarray:
    """The luma of an RGB image, not rounded.

    Args:
        rgb: HWC, three channels, uint8 or float, 0 to 255.

    Returns:
        HW float64, 16 to 235.

    Raises:
        ValueError: the image has not three channels.
    Source: ITU-R BT.601, the form of MATLAB's rgb2ycbcr.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(
            f"Expected an image of shape (height, width, 3), got {rgb.shape}; do convert it to RGB."
        )
    return 16.0 + rgb.astype(np.float64) @ _LUMA_WEIGHTS


def crop_border(image: np.ndarray, border_px: int) -> np.ndarray:
    """The image (HW or HWC) without its outermost `border_px` rows and columns: networks see too little
    there.

    Raises:
        ValueError: nothing would be left.
    """
    height, width = image.shape[:2]
    if border_px < 0 or min(height, width) <= 2 * border_px:
        raise ValueError(
            f"Expected a border from 0 to less than half of {height}x{width} px, got {border_px}."
        )
    return image[border_px : height - border_px, border_px : width - border_px]


def psnr(first: np.ndarray, second: np.ndarray, data_range: float = DATA_RANGE) -> float:
    """Peak signal-to-noise ratio, in dB; infinity for equal images.

    Args:
        first, second: HW or HWC of one shape, 0 to `data_range`. The error is averaged over all channels at
            once.

    Returns:
        10 log10(data_range² / mean squared error).

    Raises:
        ValueError: shapes differ or are empty.
    """
    first, second = _pair(first, second)
    error = np.mean(np.square(first - second))
    return float("inf") if error == 0.0 else float(10.0 * np.log10(data_range**2 / error))


def ssim(first: np.ndarray, second: np.ndarray, data_range: float = DATA_RANGE) -> float:
    """Structural similarity, the mean over all places where the whole window fits, and over channels.

    A Gaussian window of 11x11, sigma 1.5, C1 = (0.01 L)², C2 = (0.03 L)², population covariance. A uniform
    window or a reflected border gives other numbers, which no published table means.

    Args:
        first, second: HW or HWC of one shape, 0 to `data_range`, at least 11x11.

    Returns:
        -1 to 1; 1 for equal images.

    Raises:
        ValueError: shapes differ, or are smaller than the window.
    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
        similarity", 2004, equation 13.
    """
    first, second = _pair(first, second)
    if min(first.shape[:2]) < SSIM_WINDOW_PX:
        height, width = first.shape[:2]
        raise ValueError(
            f"Expected at least {SSIM_WINDOW_PX}x{SSIM_WINDOW_PX} px for SSIM, got {height}x{width}."
        )
    if first.ndim == 3:
        channels = range(first.shape[2])
        return float(np.mean([ssim(first[..., c], second[..., c], data_range) for c in channels]))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_first, mean_second = _blur(first), _blur(second)
    variance_first = _blur(first * first) - mean_first**2
    variance_second = _blur(second * second) - mean_second**2
    covariance = _blur(first * second) - mean_first * mean_second
    structure = (2.0 * covariance + c2) / (variance_first + variance_second + c2)
    luminance = (2.0 * mean_first * mean_second + c1) / (mean_first**2 + mean_second**2 + c1)
    return float(np.mean(structure * luminance))


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if first.shape != second.shape or first.ndim not in (2, 3) or first.size == 0:
        raise ValueError(
            f"Expected two images of one shape (HW or HWC), got {first.shape} and {second.shape}."
        )
    return first.astype(np.float64), second.astype(np.float64)


def _blur(plane: np.ndarray) -> np.ndarray:
    """Gaussian mean of every full window of an HW plane; the result is smaller by the window less one."""
    offsets = np.arange(SSIM_WINDOW_PX) - SSIM_WINDOW_PX // 2
    kernel = np.exp(-0.5 * (offsets / SSIM_SIGMA_PX) ** 2)
    kernel /= kernel.sum()
    height, width = (size - SSIM_WINDOW_PX + 1 for size in plane.shape)
    rows = sum(weight * plane[i : i + height] for i, weight in enumerate(kernel))  # (height, full width)
    return sum(weight * rows[:, i : i + width] for i, weight in enumerate(kernel))  # (height, width)
