"""Upscale images as programs hold them: numpy arrays, Pillow images and torch tensors, one, a batch or a list."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from sr.runtime.filters import PillowUpscaler
from sr.runtime.upscaler import FloatImage, Upscaler
from sr.upscale.images.pixels import upscale_levels, upscale_pixels
from sr.upscale.images.transparent_pixels import fill_transparent

if TYPE_CHECKING:
    import torch

_BEYOND = 0.5
"""How far floats may leave 0 to 1, as the output of another network does. Farther out they are of another range."""
_KEPT_INFO = ("icc_profile", "exif", "dpi")
"""What a Pillow image keeps beside its pixels."""
_Array = npt.NDArray[Any]


class ImageUpscaler:
    """Upscales images; what goes in comes out larger, of the same kind. Not thread-safe.

    Example:
        >>> upscale = sr.load_upscaler("realtime-x2")
        >>> upscale(np.zeros((30, 40, 3), np.uint8)).shape
        (60, 80, 3)
        >>> upscale(torch.zeros(8, 3, 30, 40)).shape
        torch.Size([8, 3, 60, 80])
    """

    def __init__(self, upscaler: Upscaler) -> None:
        self.upscaler = upscaler
        """What runs the model, see `sr.runtime.upscaler.Upscaler`."""
        self.name, self.scale, self.color = upscaler.name, upscaler.scale, upscaler.color
        self.sha256, self.fixed_size = upscaler.sha256, upscaler.fixed_size
        self.upscale_levels = upscaler.upscale_levels

    @overload
    def __call__(self, image: Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, image: _Array) -> _Array: ...
    @overload
    def __call__(self, image: "torch.Tensor") -> "torch.Tensor": ...
    @overload
    def __call__(self, image: Sequence[Any]) -> list[Any]: ...
    def __call__(self, image: Any) -> Any:
        """Upscale an image, a batch of equal size, or a list of anything.

        Args:
            image: one of

                - a numpy array: height x width x 3 (RGB) or x 1 (gray), height x width (gray), or a batch: n x height
                  x width x 3 or x 1. uint8 and uint16 are levels of the whole range; float16, float32 and float64
                  are 0 to 1.
                - a Pillow image. RGB and gray, with or without alpha, and 16-bit gray keep their mode; every other mode
                  becomes RGB or, if it is transparent, RGBA. Color profile, EXIF and resolution are kept.
                - a torch tensor: 3 x height x width or 1 x height x width, or a batch: n x 3 x height x width or n x 1
                  x height x width. uint8, or any float type: 0 to 1. It comes back on its device, without gradient.
                - a list or tuple of any of these, which may differ in size.

        Returns:
            The same kind, type and order of axes, height and width times `scale`. Integers are rounded; floats are
            clamped to 0 to 1. Of a list, a list.

        Raises:
            ValueError: the shape, the type or the range is none of these.
            UserError: the model takes only images of another size.
        """
        if isinstance(image, (list, tuple)):
            return [self(one) for one in image]
        if isinstance(image, Image.Image):
            return self._upscale_pillow(image)
        torch = sys.modules.get("torch")  # a tensor exists only where torch was imported
        if torch is not None and isinstance(image, torch.Tensor):
            return self._upscale_tensor(image)
        return self._upscale_array(np.asarray(image))

    def _upscale_array(self, image: _Array) -> _Array:
        shape = image.shape
        if image.ndim == 2:
            return self._upscale_array(image[..., None])[..., 0]
        if image.ndim not in (3, 4) or shape[-1] not in (1, 3) or image.size == 0:
            raise ValueError(
                f"Expected (height, width), (height, width, 1 or 3) or (n, height, width, 1 or 3), got {shape}."
            )
        if image.ndim == 4:
            return np.stack([self._upscale_array(one) for one in image])
        if image.dtype in (np.uint8, np.uint16):
            return upscale_pixels(np.ascontiguousarray(image), self.upscaler)
        if image.dtype not in (np.float16, np.float32, np.float64):
            raise ValueError(f"Expected uint8, uint16 or floats of 0 to 1, got {image.dtype}.")
        return self._upscale_floats(image.astype(np.float32)).astype(image.dtype)

    def _upscale_floats(self, image: FloatImage) -> FloatImage:
        darkest, brightest = float(image.min()), float(image.max())
        if not (darkest >= -_BEYOND and brightest <= 1 + _BEYOND):  # also not a number
            raise ValueError(f"Expected floats of 0 to 1, got {darkest:g} to {brightest:g}.")
        levels = np.ascontiguousarray(image.clip(0.0, 1.0) * np.float32(255))
        hr_image: FloatImage = upscale_levels(levels, self.upscaler) / np.float32(255)
        return hr_image

    def _upscale_tensor(self, image: "torch.Tensor") -> "torch.Tensor":
        import torch

        if image.ndim not in (3, 4) or image.shape[-3] not in (1, 3) or image.numel() == 0:
            raise ValueError(
                "Expected a tensor of (1 or 3, height, width) or (n, 1 or 3, height, width), got "
                f"{tuple(image.shape)}."
            )
        values = image.detach().cpu()
        if values.is_floating_point():
            values = values.float()
        # (n, c, h, w) → (n, h, w, c) and back
        hr_image = torch.tensor(self._upscale_array(values.movedim(-3, -1).numpy())).movedim(-1, -3)
        return hr_image.contiguous().to(image.device, image.dtype)

    def _upscale_pillow(self, image: Image.Image) -> Image.Image:
        if image.mode in ("I", "F"):
            raise ValueError(
                f"Expected a Pillow image of 8 bits or of mode I;16, got mode {image.mode}; give an array instead."
            )
        has_alpha = "transparency" in image.info or image.mode in ("RGBA", "PA", "LA", "RGBa", "La")
        if image.mode.startswith("I;16"):
            pixels = np.array(image).astype(np.uint16)
        elif has_alpha:
            pixels = np.array(image.convert("LA" if image.mode in ("L", "LA", "La") else "RGBA"))
        else:
            pixels = np.array(image if image.mode == "L" else image.convert("RGB"))
        large = Image.fromarray(
            self._upscale_with_alpha(pixels) if has_alpha else self._upscale_array(pixels)
        )
        large.info.update({key: image.info[key] for key in _KEPT_INFO if key in image.info})
        return large

    def _upscale_with_alpha(self, pixels: _Array) -> _Array:
        """Upscale height x width x 2 or 4: alpha by bicubic interpolation, and colors without hidden ones."""
        colors, alpha = np.ascontiguousarray(pixels[..., :-1]), np.ascontiguousarray(pixels[..., -1])
        fill_transparent(colors, alpha)
        hr_alpha = PillowUpscaler("bicubic", self.scale)(alpha[..., None])
        return np.concatenate([self._upscale_array(colors), hr_alpha], axis=2)
