"""Make LR images from HR images, with recipes by name.

Evaluation and calibration use these, where every bit counts; training makes its LR images in the data loader. Nothing
is cropped or padded: both sides of an image must be multiples of the scale already.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.errors import UserError
from sr.imaging.resize import imresize, pillow_resize

RgbImage = npt.NDArray[np.uint8]
"""uint8 HWC RGB."""


def pillow_bicubic(hr_image: RgbImage, scale: int) -> RgbImage:
    """Downscale with Pillow's bicubic (a = -0.5, antialiased).

    It moves the bicubic baseline by at most 0.011 dB from MATLAB's.
    """
    return pillow_resize(
        hr_image, hr_image.shape[0] // scale, hr_image.shape[1] // scale, Image.Resampling.BICUBIC
    )


def matlab_bicubic(hr_image: RgbImage, scale: int) -> RgbImage:
    """Downscale with MATLAB's imresize in double precision, rounded once: the LR images of most papers."""
    return imresize(hr_image, hr_image.shape[0] // scale, hr_image.shape[1] // scale)


def selfexsr_bicubic(hr_image: RgbImage, scale: int) -> RgbImage:
    """Downscale as the LR files that come with SelfExSR were: clamped edges, rounded to uint8 after each axis."""
    height, width = hr_image.shape[0] // scale, hr_image.shape[1] // scale
    return imresize(hr_image, height, width, edges="clamp", rounding="passes")


def catid_gaussian(hr_image: RgbImage, scale: int) -> RgbImage:
    """Downscale as the `--gaussian` option of catid/upsampling does; only for comparing with its figures.

    The blur is a Gaussian of sigma scale / 6 along all three axes, the color axis too (colors mix a little), truncated
    at four sigmas, with mirrored edges; each pass truncates to whole levels. Then every scale-th pixel is taken,
    starting with the first. The recipe hardly smooths, and shifts the image by (scale - 1) / 2 px.

    Source: catid/upsampling, evaluate.py; equal to scipy.ndimage.gaussian_filter byte for byte.
    """
    sigma = scale / 6
    radius = int(4.0 * sigma + 0.5)
    kernel = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    kernel /= kernel.sum()
    blurred = hr_image
    for axis in range(3):
        blurred = _blur_axis(blurred, axis, kernel[: radius + 1])
    return np.ascontiguousarray(blurred[::scale, ::scale])


def _blur_axis(levels: RgbImage, axis: int, half_kernel: npt.NDArray[np.float64]) -> RgbImage:
    """Blur along one axis, and truncate to uint8; a symmetric kernel is given by its first half and its middle."""
    values = np.moveaxis(levels.astype(np.float64), axis, 0)
    radius, size = len(half_kernel) - 1, values.shape[0]
    padded = np.pad(values, [(radius, radius), (0, 0), (0, 0)], mode="symmetric")
    # In scipy's order of summing: since the sum is truncated, not rounded, its last bit matters.
    total = padded[radius : radius + size] * half_kernel[radius]
    for back in range(radius, 0, -1):
        before, after = (padded[start : start + size] for start in (radius - back, radius + back))
        total += (before + after) * half_kernel[radius - back]
    blurred: RgbImage = np.moveaxis(total, 0, axis).astype(np.uint8)
    return blurred


# Name in a protocol -> recipe: (uint8 HWC RGB, scale) -> uint8 HWC RGB, both sides divided by scale.
DEGRADATIONS: dict[str, Callable[[RgbImage, int], RgbImage]] = {
    "pillow-bicubic": pillow_bicubic,
    "matlab-bicubic": matlab_bicubic,
    "selfexsr-bicubic": selfexsr_bicubic,
    "catid-gaussian": catid_gaussian,
}


def degrade(hr_image: RgbImage, scale: int, degradation: str) -> RgbImage:
    """Make the LR image of an HR image with the named recipe.

    Args:
        hr_image: uint8 HWC RGB; height and width multiples of `scale`.
        scale: the downscale factor, 1 or more.
        degradation: a name in DEGRADATIONS.

    Returns:
        uint8 HWC RGB, height and width divided by `scale`.

    Raises:
        UserError: an unknown name, or a size that is not a multiple of the scale.
    """
    if degradation not in DEGRADATIONS:
        raise UserError(
            f"The evaluation protocol names an unknown degradation, {degradation!r}",
            f"Use one of {', '.join(sorted(DEGRADATIONS))}",
        )
    height, width = hr_image.shape[:2]
    if height % scale or width % scale:
        raise UserError(
            f"An image of {height}x{width} px cannot be downscaled by {scale}: its sides are not multiples of it",
            "Crop it to a multiple of the scale first",
        )
    return DEGRADATIONS[degradation](hr_image, scale)
