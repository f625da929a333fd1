"""Making the LR image from the high one: one place, every recipe has a name.

Training makes its LR images elsewhere (in the loader); these are for judging and calibrating, where every
bit counts. Never crops and never pads: the sizes must fit already.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from data.errors import UserError
from sr.imaging.resize import imresize, pillow_resize


def pillow_bicubic(hr_image: np.ndarray, scale: int) -> np.ndarray:
    """Reduce by Pillow's bicubic (a = -0.5, antialiased); MATLAB's moves a baseline by 0.011 dB at most."""
    return pillow_resize(
        hr_image, hr_image.shape[0] // scale, hr_image.shape[1] // scale, Image.Resampling.BICUBIC
    )


def matlab_bicubic(hr_image: np.ndarray, scale: int) -> np.ndarray:
    """Reduce by MATLAB's imresize in double precision, rounded once: the LR images of most papers."""
    return imresize(hr_image, hr_image.shape[0] // scale, hr_image.shape[1] // scale)


def selfexsr_bicubic(hr_image: np.ndarray, scale: int) -> np.ndarray:
    """Reduce as the LR files that come with SelfExSR were: clamped edges, rounded to uint8 after each axis."""
    height, width = hr_image.shape[0] // scale, hr_image.shape[1] // scale
    return imresize(hr_image, height, width, edges="clamp", rounding="passes")


def forebear_gaussian(hr_image: np.ndarray, scale: int) -> np.ndarray:
    """Reduce as the `--gaussian` of catid/upsampling does, for comparing with its figures and nothing else.

    A Gaussian of sigma scale / 6 along all three axes, the colors too (they are mixed a little), cut off at
    four sigmas, mirrored edges, each axis cut down to whole levels; then every scale-th pixel, from the first
    on. It hardly smooths, and it shifts the image by (scale - 1) / 2 px.

    Source: catid/upsampling, evaluate.py; scipy.ndimage.gaussian_filter, whose bytes it gives.
    """
    sigma = scale / 6
    reach = int(4.0 * sigma + 0.5)
    kernel = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    kernel /= kernel.sum()
    blurred = hr_image
    for axis in range(3):
        blurred = _blur_axis(blurred, axis, kernel[: reach + 1])
    return np.ascontiguousarray(blurred[::scale, ::scale])


def _blur_axis(levels: np.ndarray, axis: int, half: np.ndarray) -> np.ndarray:
    """Blur along one axis by a symmetric kernel, of which `half` ends in the middle; cut down to uint8."""
    values = np.moveaxis(levels.astype(np.float64), axis, 0)
    reach, size = len(half) - 1, values.shape[0]
    padded = np.pad(values, [(reach, reach), (0, 0), (0, 0)], mode="symmetric")
    # In scipy's order: cutting down instead of rounding makes the last bit of the sums matter.
    total = padded[reach : reach + size] * half[reach]
    for back in range(reach, 0, -1):
        before, after = (padded[start : start + size] for start in (reach - back, reach + back))
        total += (before + after) * half[reach - back]
    return np.moveaxis(total, 0, axis).astype(np.uint8)


# Name in a protocol -> recipe: (uint8 HWC RGB, scale) -> uint8 HWC RGB, both sides divided by scale.
DEGRADATIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "pillow-bicubic": pillow_bicubic,
    "matlab-bicubic": matlab_bicubic,
    "selfexsr-bicubic": selfexsr_bicubic,
    "forebear-gaussian": forebear_gaussian,
}


def degrade(hr_image: np.ndarray, scale: int, degradation: str) -> np.ndarray:
    """The LR image of `hr_image` by the named recipe.

    Args:
        hr_image: uint8 HWC RGB; height and width multiples of `scale`.
        scale: how many times smaller, 1 or more.
        degradation: a name in DEGRADATIONS.

    Returns:
        uint8 HWC RGB, height and width divided by `scale`.

    Raises:
        UserError: unknown name, or a size that is not a multiple of the scale.
    """
    if degradation not in DEGRADATIONS:
        raise UserError(
            f"one of the degradations {', '.join(sorted(DEGRADATIONS))}",
            repr(degradation),
            "the evaluation protocol",
            "name one of these",
        )
    height, width = hr_image.shape[:2]
    if height % scale or width % scale:
        raise UserError(
            f"a height and width that {scale} divides",
            f"{height}x{width} px",
            "the image to be reduced",
            "crop it to a multiple of the scale first",
        )
    return DEGRADATIONS[degradation](hr_image, scale)
