"""Bicubic and Lanczos interpolation as upscalers: the baselines that a network has to beat."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from sr.imaging.resize import imresize, pillow_resize
from sr.runtime.upscaler import FloatImage, UInt8Image

INTERPOLATION_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
"""The upscalers that need no model file, by name."""
_MATLAB_KERNELS = {"bicubic": "cubic", "lanczos": "lanczos3"}


class _FilterUpscaler:
    """Base class: an interpolation filter has a name and a scale, and no model file.

    Args:
        name: one of INTERPOLATION_FILTERS.
        scale: output size divided by input size.
    """

    sha256: str | None = None
    fixed_size: tuple[int, int] | None = None
    color = "rgb"

    def __init__(self, name: str, scale: int) -> None:
        self.name, self.scale = name, scale


class PillowUpscaler(_FilterUpscaler):
    """An interpolation filter as Pillow computes it."""

    def __call__(self, lr_image: npt.ArrayLike) -> UInt8Image:
        """Upscale an 8-bit image; see `Upscaler`."""
        lr_image = _to_array(lr_image)
        height, width, channels = lr_image.shape
        image = lr_image[:, :, 0] if channels == 1 else lr_image
        hr_image = pillow_resize(
            image, height * self.scale, width * self.scale, INTERPOLATION_FILTERS[self.name]
        )
        return hr_image.reshape(*hr_image.shape[:2], channels)

    def upscale_levels(self, lr_image: FloatImage) -> FloatImage:
        """Upscale an image of more than 8 bits; see `Upscaler`."""
        return interpolate(lr_image, self.scale, INTERPOLATION_FILTERS[self.name]).clip(0.0, 255.0)


class MatlabUpscaler(_FilterUpscaler):
    """An interpolation filter as MATLAB's imresize computes it: "bicubic" in the tables of most papers."""

    def __call__(self, lr_image: npt.ArrayLike) -> UInt8Image:
        """Upscale an 8-bit image; see `Upscaler`. Rounds to uint8 after each axis, as MATLAB does."""
        lr_image = _to_array(lr_image)
        height, width = lr_image.shape[:2]
        size = (height * self.scale, width * self.scale)
        return imresize(lr_image, *size, _MATLAB_KERNELS[self.name], edges="clamp", rounding="passes")

    def upscale_levels(self, lr_image: FloatImage) -> FloatImage:
        """Upscale an image of more than 8 bits; see `Upscaler`."""
        size = (lr_image.shape[0] * self.scale, lr_image.shape[1] * self.scale)
        hr_image = imresize(lr_image, *size, _MATLAB_KERNELS[self.name], edges="clamp", rounding="none")
        return hr_image.clip(0.0, 255.0).astype(np.float32)

    def upscale_plane(self, plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Upscale a float64 HW plane; the result is neither rounded nor clamped."""
        height, width = plane.shape
        size = (height * self.scale, width * self.scale)
        return imresize(plane, *size, _MATLAB_KERNELS[self.name], rounding="none")


def interpolate(levels: FloatImage, scale: int, resampling: Image.Resampling) -> FloatImage:
    """Upscale float32 HWC with a filter of Pillow, in float32; values may leave 0 to 255."""
    size = (levels.shape[1] * scale, levels.shape[0] * scale)
    planes = [
        Image.fromarray(levels[:, :, channel]).resize(size, resampling) for channel in range(levels.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def _to_array(lr_image: npt.ArrayLike) -> UInt8Image:
    """Return the image as an HWC array.

    Raises:
        ValueError: it has no channel axis.
    """
    image = np.asarray(lr_image)
    if image.ndim != 3:
        raise ValueError(f"Expected a shape of (height, width, channels), got {image.shape}.")
    return image
