"""The realtime network: plain 3x3 convolutions on a pixel-unshuffled image, added to its bicubic upscaling.

Float in, float out. All of it, including the bicubic upscaling, is convolutions on cells of 2x2 or 4x4 LR pixels and
one pixel shuffle at the end: CPUs and integrated GPUs do this fast, and INT8 hardly harms it, since the quantized
convolutions only make the small residual.

The residual is computed from all three colors, or from luma alone and then added to each color. The latter sharpens
luma, where eyes are sensitive, leaves the color differences to the bicubic, and suits videos, which store luma
separately.
"""

import contextlib
import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sr.imaging.resize import cubic_kernel
from sr.models.network import Architecture

CELL_PX = 2
"""The usual factor of the pixel unshuffle: a cell of 2x2 LR pixels is one position of every convolution."""

CELLS_PX = (2, 4)
"""The factors that a network can have. In cells of one pixel, bicubic upscaling would need 5x5 convolutions."""

BESIDE_IDENTITY = 0.3
"""Size of the initial random weights beside an identity, as a share of He's."""

PRELU_SLOPE = 0.25
"""The slope that a PReLU begins with below zero. Source: He et al., "Delving Deep into Rectifiers", 2015."""

LUMA = (0.299, 0.587, 0.114)
"""The weights of R, G and B in luma. Source: ITU-R BT.601-7, 2.5.1."""


class BicubicUpscaling(nn.Module):
    """Bicubic upscaling, a = -1/2, half-pixel centers, edges repeated: one fixed 3x3 convolution over cells.

    An output pixel of a cell reads LR pixels from two before the cell to two after it, that is, from the cell and its
    neighbors; so the upscaling is exactly linear in 3x3 cells of two pixels or more. The kernel is stored as integers
    over one denominator: it stays exact and float32, whatever type the rest of the network is cast to.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, with the a = -1/2 of
    Pillow and MATLAB.
    """

    numerators: Tensor

    def __init__(self, scale: int, colors: int, cell_px: int = CELL_PX) -> None:
        """Make the fixed convolution that upscales `colors` planes by `scale`."""
        super().__init__()
        numerators, self.denominator = _upscaling_kernel(scale, colors, cell_px)
        self.register_buffer("numerators", numerators, persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        """Upscale float32 cells, padded by one on every side.

        [n,k²·c,h/k+2,w/k+2] to [n,c·(k·scale)²,h/k,w/k], where k is the side of a cell.
        """
        # bf16 has 8 bits: under autocast the upscaling itself would be off by a level.
        device = cells.device.type
        autocast = torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if autocast else contextlib.nullcontext():
            return nn.functional.conv2d(cells.float(), self.numerators.float() / self.denominator)


class RgbToLumaConv2d(nn.Conv2d):
    """The first convolution of a luma network with RGB input: its kernel converts to luma."""

    def forward(self, cells: Tensor) -> Tensor:
        """Convolve RGB cells [n,3·k²,…] to [n,channels,…]; the weights are those for luma, [channels,k²,3,3]."""
        # A product of kernels instead of a luma image: eight bits of precision then apply to R, G and B, which have
        # eight.
        weight = torch.cat([self.weight * share for share in LUMA], dim=1)
        return nn.functional.conv2d(cells, weight, self.bias)


class Realtime(Architecture):
    """The realtime network; its `size_multiple` is the side of its cells."""

    def __init__(
        self,
        scale: int,
        layers: int,
        channels: int,
        planes: int = 3,
        colors: int = 3,
        unshuffle: int = CELL_PX,
        prelu: int = 0,
    ) -> None:
        """Make a network that, untrained, equals bicubic upscaling: its last layer is zero.

        Args:
            scale: upscaling factor, 2 or more.
            layers: number of 3x3 convolutions, including the first and the last; at least 2.
            channels: channels between them.
            planes: what the residual is computed from and added to: 3 for R, G and B, 1 for luma.
            colors: planes of the image: 3 for RGB; 1 for an image of luma alone, if `planes` is 1.
            unshuffle: side of a cell, one of CELLS_PX. Larger cells make every convolution cheaper, and see further.
            prelu: 1 for a PReLU with a slope for each channel in place of each ReLU, 0 for ReLUs.

        Raises:
            ValueError: `planes`, `colors`, `unshuffle` or `prelu` is not one of these.
        """
        super().__init__()
        if (planes, colors) not in ((3, 3), (1, 3), (1, 1)):
            raise ValueError(
                f"(planes, colors) of Realtime must be (3, 3), (1, 3) or (1, 1), not ({planes}, {colors})."
            )
        if unshuffle not in CELLS_PX or prelu not in (0, 1):
            raise ValueError(f"unshuffle must be 2 or 4 and prelu 0 or 1, not {unshuffle} and {prelu}.")
        self.scale, self.planes, self.colors, self.size_multiple = scale, planes, colors, unshuffle
        widths = [planes * unshuffle**2, *[channels] * (layers - 1), planes * (unshuffle * scale) ** 2]
        self.layers = nn.ModuleList(_make_layers(widths, RgbToLumaConv2d if planes < colors else nn.Conv2d))
        self.slopes = nn.ParameterList(
            torch.full((channels,), PRELU_SLOPE) for _ in range(prelu * (layers - 1))
        )
        self.unshuffle: nn.Module = nn.PixelUnshuffle(unshuffle)
        self.upscaling: nn.Module = BicubicUpscaling(scale, colors, unshuffle)

    def forward(self, lr_image: Tensor) -> Tensor:
        """Upscale float [n,colors,h,w], h and w multiples of a cell, to float32 [n,colors,scale·h,scale·w]."""
        padded = nn.functional.pad(lr_image, (self.size_multiple,) * 4, mode="replicate")
        cells = self.unshuffle(padded)  # [n,k²·colors,h/k+2,w/k+2]
        features = cells.to(cast(Tensor, self.layers[0].bias).dtype)
        for index, layer in enumerate(self.layers[:-1]):
            features = self._activate(layer(features), index)
        residual = self.layers[-1](features).float()
        if self.planes < self.colors:
            residual = torch.cat([residual] * self.colors, dim=1)
        return nn.functional.pixel_shuffle(self.upscaling(cells) + residual, self.size_multiple * self.scale)

    def _activate(self, features: Tensor, index: int) -> Tensor:
        if not len(self.slopes):
            return nn.functional.relu(features)
        # Under autocast a convolution gives bf16, and slopes stay float32.
        return nn.functional.prelu(features, self.slopes[index].to(features.dtype))


def _make_layers(widths: Sequence[int], first: type[nn.Conv2d]) -> list[nn.Conv2d]:
    """Make convolutions between these numbers of channels, with initial weights; the last one's are zero.

    The first runs on the padded image and returns the unpadded size.
    """
    kinds = [first, *[nn.Conv2d] * (len(widths) - 2)]
    layers = [
        kind(before, after, 3, padding=0 if index == 0 else 1)
        for index, (kind, (before, after)) in enumerate(zip(kinds, itertools.pairwise(widths), strict=True))
    ]
    for layer in layers[:-1]:
        _initialize(layer)
    for parameter in layers[-1].parameters():
        nn.init.zeros_(parameter)
    return layers


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


def _upscaling_kernel(scale: int, colors: int, cell_px: int) -> tuple[Tensor, int]:
    """Return the kernel and its denominator.

    The kernel is int32 numerators [colors·side²,colors·cell_px²,3,3], side = cell_px·scale.
    """
    side = cell_px * scale
    taps = np.arange(-cell_px, 2 * cell_px)
    # Along one axis, output pixel `phase` lies (phase + 1/2) / scale - 1/2 LR pixels from the cell's first.
    positions = (2 * np.arange(side) + 1 - scale) / (2 * scale)
    weights = cubic_kernel(positions[:, None] - taps)  # [side,3·cell_px]
    # Each weight is a multiple of 1 / (2·(2·scale)³), because the kernel is half of an integer polynomial of degree 3.
    unit = 2 * (2 * scale) ** 3
    rows = [[Fraction(round(weight * unit), unit) for weight in row] for row in weights.tolist()]
    denominator = math.lcm(*(weight.denominator for row in rows for weight in row))
    # [side, 3 cells, LR pixels of the cell]
    axis = torch.tensor([[int(weight * denominator) for weight in row] for row in rows]).reshape(
        side, 3, cell_px
    )
    # Output pixel (p,q), LR pixel (i,j) of cell (y,x).
    plane = torch.einsum("pyi,qxj->pqijyx", axis, axis).reshape(side**2, cell_px**2, 3, 3)
    kernel = torch.zeros(colors, side**2, colors, cell_px**2, 3, 3, dtype=torch.int32)
    for color in range(colors):
        kernel[color, :, color] = plane.int()
    return kernel.reshape(colors * side**2, colors * cell_px**2, 3, 3), denominator**2


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
    known = {planes * side**2: (planes, side) for planes in (1, 3) for side in CELLS_PX}
    if layers < 2 or cell not in known:
        return None
    planes, side = known[cell]
    scale = math.isqrt(outputs // planes) // side
    configuration = {"scale": scale, "layers": layers, "channels": channels, "planes": planes}
    # Only what differs from the usual is named, so that presets are recognized.
    configuration |= {"unshuffle": side} if side != CELL_PX else {}
    configuration |= {"prelu": 1} if "slopes.0" in shapes else {}
    return configuration if scale >= 2 else None
