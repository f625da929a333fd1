"""UpsamplingNetwork: images of bytes in, images of bytes out, whatever values the core works with.

The only place where levels 0 to 255 in RGB and a network's own values and color space are converted into each
other. It never builds a network (see `registry`), and never pads an image (see `sr.runtime.upscalers`).
"""

import torch
from torch import Tensor, nn

from sr.models.color_spaces import COLOR_SPACES
from sr.models.presets import ModelDescription


class UpsamplingNetwork(nn.Module):
    """An architecture with its value range and color space, so that bytes of RGB are the interface.

    Attributes:
        core: the architecture; its state dict is what weight files hold, under the published names.
        description: architecture, configuration, value range and preset: enough to build it again.
        scale: upsampling factor.
        value_range: the floats that stand for levels 0 and 255 inside.
        color_space: what the core works in, by name.
        size_multiple: input height and width must be multiples of it.
    """

    def __init__(self, core: nn.Module, description: ModelDescription) -> None:
        """Wrap `core`, which has `scale` and `size_multiple`, and takes and gives float32 NCHW."""
        super().__init__()
        self.core = core
        self.description = description
        self.scale: int = core.scale
        self.size_multiple: int = core.size_multiple
        self.value_range = description.value_range
        self.color_space = description.color_space

    def forward(self, lr_image: Tensor) -> Tensor:
        """Upsample for use: uint8 [n,3,h,w] RGB to uint8 [n,3,scale·h,scale·w], rounded and clamped.

        Raises: as `predict`.
        """
        return self.to_levels(self.predict(lr_image))

    def upscale_levels(self, lr_image: Tensor) -> Tensor:
        """Upsample fractional levels: float32 [n,c,h,w], 0 to 255, to the same; clamped, but not rounded.

        Raises:
            ValueError: as `predict`.
        """
        self._check(lr_image)
        return self._levels_of(self._upscale(lr_image)).clamp(0.0, 255.0)

    def predict(self, lr_image: Tensor) -> Tensor:
        """Upsample for a loss: uint8 [n,3,h,w] RGB to float32 [n,3,scale·h,scale·w], RGB in `value_range`.

        A loss sees RGB whatever the color space, as everything that judges does. Neither rounded nor clamped, so
        that gradients reach every pixel.

        Raises:
            TypeError: `lr_image` is not uint8.
            ValueError: `lr_image` is not [n,3,h,w], or a side is no multiple of `size_multiple`.
        """
        # A traced graph must not carry guards on its sizes; there, its own reshapes refuse what does not fit.
        if not torch.compiler.is_compiling():
            self._check(lr_image)
        _check_bytes(lr_image)
        return self._upscale(lr_image)

    def normalize(self, image: Tensor) -> Tensor:
        """Levels to values, for a loss: uint8 [n,3,h,w] RGB to float32 [n,3,h,w] RGB in `value_range`.

        Raises:
            TypeError: `image` is not uint8.
        """
        _check_bytes(image)
        return self._values_of(image.float())

    def to_levels(self, values: Tensor) -> Tensor:
        """What `predict` gave to an image: float32 in `value_range` to uint8, rounded and clamped."""
        return self._levels_of(values).round().clamp(0.0, 255.0).to(torch.uint8)

    def _upscale(self, levels: Tensor) -> Tensor:
        """Levels of RGB, whole or not, to float32 RGB in `value_range`, by way of the core's color space."""
        if self.color_space == "rgb":
            return self.core(self._values_of(levels.float())).float()
        space, (darkest, brightest) = COLOR_SPACES[self.color_space], self.value_range
        span = brightest - darkest
        values = space.from_rgb(levels.float() / 255.0) * span + darkest
        return space.to_rgb((self.core(values).float() - darkest) / span) * span + darkest

    def _values_of(self, levels: Tensor) -> Tensor:
        darkest, brightest = self.value_range
        return levels * ((brightest - darkest) / 255.0) + darkest

    def _levels_of(self, values: Tensor) -> Tensor:
        darkest, brightest = self.value_range
        return (values - darkest) * (255.0 / (brightest - darkest))

    def _check(self, lr_image: Tensor) -> None:
        if lr_image.ndim != 4 or lr_image.shape[1] != 3:
            found = f"got {list(lr_image.shape)} in UpsamplingNetwork"
            raise ValueError(f"Expected images as [n,3,h,w], {found}; put the color channels second.")
        height, width = lr_image.shape[2:]
        if not height or not width or height % self.size_multiple or width % self.size_multiple:
            raise ValueError(
                f"Expected a height and width that are multiples of {self.size_multiple}, "
                f"got {height}x{width} in UpsamplingNetwork; pad the image first and cut the result."
            )


def _check_bytes(image: Tensor) -> None:
    if image.dtype != torch.uint8:
        found = f"got {image.dtype} in UpsamplingNetwork"
        raise TypeError(f"Expected a uint8 image, {found}; pass levels 0 to 255 as they are.")
