"""SuperResolutionNetwork: uint8 images in, uint8 images out, whatever values the architecture works with.

The only place that converts between levels 0 to 255 in RGB and a network's value range and color space. `registry`
builds networks; `sr.runtime` pads images.
"""

import torch
from torch import Tensor, nn

from sr.models.color_spaces import COLOR_SPACES
from sr.models.presets import ModelDescription


class Architecture(nn.Module):
    """Base class of the architectures: float32 [n,c,h,w] → float32 [n,c,scale·h,scale·w]."""

    scale: int
    """Upscaling factor."""
    size_multiple: int
    """Input height and width must be multiples of this."""
    minimum_px: int = 1
    """Input height and width must be at least this."""
    padding: str = "edge"
    """How a smaller image is padded, at the right and at the bottom: edge or reflect, as numpy calls it."""
    halo_px: int | None = None
    """LR pixels needed around the kept part of a tile; None: as the convolutions tell."""
    supports_half: bool = True
    """Whether it computes in float16."""


class SuperResolutionNetwork(nn.Module):
    """An architecture with its value range and color space, behind an interface of uint8 RGB images.

    Attributes:
        core: the architecture; its state dict is what weight files contain, under the published names.
        description: architecture, configuration, value range and preset: enough to build it again.
        scale: upscaling factor.
        value_range: the floats that represent levels 0 and 255 inside.
        color_space: the name of the color space that the core works in.
        size_multiple: input height and width must be multiples of it.
    """

    def __init__(self, core: Architecture, description: ModelDescription) -> None:
        """Wrap an architecture."""
        super().__init__()
        self.core = core
        self.description = description
        self.scale: int = core.scale
        self.size_multiple: int = core.size_multiple
        self.value_range = description.value_range
        self.color_space = description.color_space

    def forward(self, lr_image: Tensor) -> Tensor:
        """Upscale an image: uint8 [n,3,h,w] RGB to uint8 [n,3,scale·h,scale·w], rounded and clamped.

        Raises:
            TypeError, ValueError: as `predict`.
        """
        return self.to_levels(self.predict(lr_image))

    def upscale_levels(self, lr_image: Tensor) -> Tensor:
        """Upscale fractional levels: float32 [n,c,h,w], 0 to 255, to the same; clamped, but not rounded.

        Raises:
            ValueError: as `predict`.
        """
        self._check(lr_image)
        return self._levels_of(self._upscale(lr_image)).clamp(0.0, 255.0)

    def predict(self, lr_image: Tensor) -> Tensor:
        """Upscale for a loss: uint8 [n,3,h,w] RGB to float32 [n,3,scale·h,scale·w], RGB in `value_range`.

        The loss, like every metric, sees RGB whatever the color space. The result is neither rounded nor clamped, so
        that gradients reach every pixel.

        Raises:
            TypeError: `lr_image` is not uint8.
            ValueError: `lr_image` is not [n,3,h,w], or a side is not a multiple of `size_multiple`.
        """
        # A traced graph must not carry guards on its sizes; there, its own reshapes refuse what does not fit.
        if not torch.compiler.is_compiling():
            self._check(lr_image)
        _check_uint8(lr_image)
        return self._upscale(lr_image)

    def normalize(self, image: Tensor) -> Tensor:
        """Convert levels to values for a loss: uint8 [n,3,h,w] RGB to float32 [n,3,h,w] RGB in `value_range`.

        Raises:
            TypeError: `image` is not uint8.
        """
        _check_uint8(image)
        return self._values_of(image.float())

    def to_levels(self, values: Tensor) -> Tensor:
        """Convert the output of `predict` to an image: float32 in `value_range` to uint8, rounded and clamped."""
        return self._levels_of(values).round().clamp(0.0, 255.0).to(torch.uint8)

    def _upscale(self, levels: Tensor) -> Tensor:
        """Upscale levels of RGB, whole or fractional, to float32 RGB in `value_range`, in the core's color space."""
        if self.color_space == "rgb":
            output: Tensor = self.core(self._values_of(levels.float()))
            return output.float()
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
            raise ValueError(f"The input must have the shape [n,3,h,w], not {list(lr_image.shape)}.")
        height, width = lr_image.shape[2:]
        if not height or not width or height % self.size_multiple or width % self.size_multiple:
            raise ValueError(
                f"The input height and width must be multiples of {self.size_multiple}, not {height}x{width}; "
                "pad the image and crop the result."
            )


def _check_uint8(image: Tensor) -> None:
    if image.dtype != torch.uint8:
        raise TypeError(f"The image must be uint8 with levels 0 to 255, not {image.dtype}.")
