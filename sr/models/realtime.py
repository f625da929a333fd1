"""The realtime network: plain 3x3 convolutions on a pixel-unshuffled image, added to its bicubic upscaling.

Float in, float out. All of it, including the bicubic upscaling, is convolutions at half the size of the LR image and
one pixel shuffle at the end: CPUs and integrated GPUs do this fast, and INT8 hardly harms it, since the quantized
convolutions only make the small residual.

The residual is computed from all three colors, or from luma alone and then added to each color. The latter sharpens
luma, where eyes are sensitive, leaves the color differences to the bicubic, and suits videos, which store luma
separately.
"""

import contextlib
import itertools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sr.imaging.resize import cubic_kernel
from sr.models.network import Architecture

CELL_PX = 2
"""The factor of the pixel unshuffle: a cell of 2x2 LR pixels is one position of every convolution."""

BESIDE_IDENTITY = 0.3
"""Size of the initial random weights beside an identity, as a share of He's."""

LUMA = (0.299, 0.587, 0.114)
"""The weights of R, G and B in luma. Source: ITU-R BT.601-7, 2.5.1."""


class BicubicUpscaling(nn.Module):
    """Bicubic upscaling, a = -1/2, half-pixel centers, edges repeated: one fixed 3x3 convolution over cells.

    An output pixel of a cell reads LR pixels from two before the cell to two after it, that is, from the cell and its
    neighbors; so the upscaling is exactly linear in 3x3 cells. The kernel is stored as integers over one denominator:
    it stays exact and float32, whatever type the rest of the network is cast to.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, with the a = -1/2 of
    Pillow and MATLAB.
    """

    numerators: Tensor

    def __init__(self, scale: int, colors: int) -> None:
        """Make the fixed convolution that upscales `colors` planes by `scale`."""
        super().__init__()
        numerators, self.denominator = _upscaling_kernel(scale, colors)
        self.register_buffer("numerators", numerators, persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        """Upscale float32 cells, padded by one on every side: [n,4·c,h/2+2,w/2+2] to [n,c·(2·scale)²,h/2,w/2]."""
        # bf16 has 8 bits: under autocast the upscaling itself would be off by a level.
        device = cells.device.type
        autocast = torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if autocast else contextlib.nullcontext():
            return nn.functional.conv2d(cells.float(), self.numerators.float() / self.denominator)


class RgbToLumaConv2d(nn.Conv2d):
    """The first convolution of a luma network with RGB input: its kernel converts to luma."""

    def forward(self, cells: Tensor) -> Tensor:
        """Convolve RGB cells [n,12,h/2+2,w/2+2] to [n,channels,h/2,w/2]; the weights are those for luma, [n,4,…]."""
        # A product of kernels instead of a luma image: eight bits of precision then apply to R, G and B, which have
        # eight.
        weight = torch.cat([self.weight * share for share in LUMA], dim=1)
        return nn.functional.conv2d(cells, weight, self.bias)


class Realtime(Architecture):
    """The realtime network; its `size_multiple` is 2, because of the cells."""

    size_multiple = CELL_PX

    def __init__(self, scale: int, layers: int, channels: int, planes: int = 3, colors: int = 3) -> None:
        """Make a network that, untrained, equals bicubic upscaling: its last layer is zero.

        Args:
            scale: upscaling factor, 2 or more.
            layers: number of 3x3 convolutions, including the first and the last; at least 2.
            channels: channels between them.
            planes: what the residual is computed from and added to: 3 for R, G and B, 1 for luma.
            colors: planes of the image: 3 for RGB; 1 for an image of luma alone, if `planes` is 1.

        Raises:
            ValueError: `planes` or `colors` is not one of these.
        """
        super().__init__()
        if (planes, colors) not in ((3, 3), (1, 3), (1, 1)):
            raise ValueError(
                f"(planes, colors) of Realtime must be (3, 3), (1, 3) or (1, 1), not ({planes}, {colors})."
            )
        self.scale, self.planes, self.colors = scale, planes, colors
        widths = [planes * CELL_PX**2, *[channels] * (layers - 1), planes * (CELL_PX * scale) ** 2]
        kinds = [RgbToLumaConv2d if planes < colors else nn.Conv2d, *[nn.Conv2d] * (layers - 1)]
        # The first layer runs on the padded image and returns the unpadded size.
        convolutions = [
            kind(before, after, 3, padding=0 if index == 0 else 1)
            for index, (kind, (before, after)) in enumerate(
                zip(kinds, itertools.pairwise(widths), strict=True)
            )
        ]
        self.layers = nn.ModuleList(convolutions)
        self.unshuffle: nn.Module = nn.PixelUnshuffle(CELL_PX)
        self.upscaling = BicubicUpscaling(scale, colors)
        for layer in convolutions[:-1]:
            _initialize(layer)
        for parameter in convolutions[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, lr_image: Tensor) -> Tensor:
        """Upscale float [n,colors,h,w], h and w even, to float32 [n,colors,scale·h,scale·w]."""
        padded = nn.functional.pad(lr_image, (CELL_PX,) * 4, mode="replicate")
        cells = self.unshuffle(padded)  # [n,4·colors,h/2+2,w/2+2]
        features = cells.to(cast(Tensor, self.layers[0].bias).dtype)
        for layer in self.layers[:-1]:
            features = nn.functional.relu(layer(features))
        residual = self.layers[-1](features).float()
        if self.planes < self.colors:
            residual = torch.cat([residual] * self.colors, dim=1)
        return nn.functional.pixel_shuffle(self.upscaling(cells) + residual, CELL_PX * self.scale)


def _initialize(layer: nn.Conv2d) -> None:
    """Draw the initial weights of a hidden layer so that its ReLUs survive the first steps.

    He's normal weights, or 0.3 times these plus the identity between layers of equal width, minus each kernel's mean.
    With torch's own weights, all features rise and fall with brightness together: the first steps of the last layer,
    from zero, add up over all of them, the image overshoots, and the way back kills the ReLUs for good.
    docs/results.md has the measurements.

    Source: He et al., "Delving Deep into Rectifiers", 2015; the identity as in `nn.init.dirac_`.
    """
    outputs, inputs = layer.weight.shape[:2]
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    with torch.no_grad():
        if inputs == outputs:
            layer.weight *= BESIDE_IDENTITY
            layer.weight += nn.init.dirac_(torch.empty_like(layer.weight))
        layer.weight -= layer.weight.mean(dim=(1, 2, 3), keepdim=True)
        if layer.bias is not None:
            layer.bias.zero_()


def _upscaling_kernel(scale: int, colors: int) -> tuple[Tensor, int]:
    """Return the kernel as int32 numerators [colors·side²,colors·4,3,3], side = 2·scale, and their denominator."""
    side = CELL_PX * scale
    taps = np.arange(-CELL_PX, 2 * CELL_PX)
    # Along one axis, output pixel `phase` lies (phase + 1/2) / scale - 1/2 LR pixels from the cell's first.
    positions = (2 * np.arange(side) + 1 - scale) / (2 * scale)
    weights = cubic_kernel(positions[:, None] - taps)  # [side,6]
    # Each weight is a multiple of 1 / (2·(2·scale)³), because the kernel is half of an integer polynomial of degree 3.
    unit = 2 * (2 * scale) ** 3
    rows = [[Fraction(round(weight * unit), unit) for weight in row] for row in weights.tolist()]
    denominator = math.lcm(*(weight.denominator for row in rows for weight in row))
    # [side, 3 cells, 2 LR pixels of the cell]
    axis = torch.tensor([[int(weight * denominator) for weight in row] for row in rows]).reshape(
        side, 3, CELL_PX
    )
    # Output pixel (p,q), LR pixel (i,j) of cell (y,x).
    plane = torch.einsum("pyi,qxj->pqijyx", axis, axis).reshape(side**2, CELL_PX**2, 3, 3)
    kernel = torch.zeros(colors, side**2, colors, CELL_PX**2, 3, 3, dtype=torch.int32)
    for color in range(colors):
        kernel[color, :, color] = plane.int()
    return kernel.reshape(colors * side**2, colors * CELL_PX**2, 3, 3), denominator**2


def infer_configuration(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int] | None:
    """Infer the constructor's arguments from tensor shapes.

    Args:
        shapes: tensor name to shape.

    Returns:
        Arguments of `Realtime`, or None if it is another network. The caller checks that every tensor fits.
    """
    layers = sum(name.startswith("layers.") and name.endswith(".weight") for name in shapes)
    try:
        channels, cell, *_ = shapes["layers.0.weight"]
        outputs = shapes[f"layers.{layers - 1}.weight"][0]
    except (KeyError, ValueError, IndexError):
        return None
    planes = cell // CELL_PX**2
    if layers < 2 or planes not in (1, 3):
        return None
    scale = math.isqrt(outputs // planes) // CELL_PX
    configuration = {"scale": scale, "layers": layers, "channels": channels, "planes": planes}
    return configuration if scale >= 2 else None
