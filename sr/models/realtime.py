"""The realtime network: plain 3x3 convolutions on a pixel-unshuffled image, added to its upscaling.

Floats in, floats out; it never sees bytes. All of it, the bicubic upscaling too, is convolutions at half
the LR image's size and one pixel shuffle at the end: that is what CPUs and integrated GPUs do fast, and
what INT8 leaves nearly unharmed, since the quantized convolutions only make the small residual.

The residual is made of all three colors, or of luma alone and then added to each color: that moves luma, where
eyes are sharp, leaves the color differences to the bicubic, and serves videos, which store luma by itself.
"""

import contextlib
import itertools
import math
from collections.abc import Mapping
from fractions import Fraction

import torch
from torch import Tensor, nn

CELL_PX = 2
"""The pixel-unshuffle's factor: a cell of 2x2 low pixels is one position of every convolution."""

BESIDE_IDENTITY = 0.3
"""Size of the first random weights beside an identity, as a share of He's."""

LUMA = (0.299, 0.587, 0.114)
"""How much R, G and B weigh in luma. Source: ITU-R BT.601-7, 2.5.1."""


class BicubicUpscaling(nn.Module):
    """Bicubic upsampling, a = -1/2, half-pixel centers, edges repeated: one fixed 3x3 convolution over cells.

    An output pixel of a cell reads low pixels from two before the cell to two after it, which is the cell and
    its neighbors; so the upscaling is exactly linear in 3x3 cells. The kernel is held as whole numbers
    over one denominator: it stays exact, and stays float32, whatever type the rest of the network is cast to.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, with the a = -1/2 of
    Pillow and MATLAB.
    """

    def __init__(self, scale: int, colors: int) -> None:
        """Make the fixed convolution for an upscaling of `colors` planes by `scale`."""
        super().__init__()
        numerators, self.denominator = _upscaling_kernel(scale, colors)
        self.register_buffer("numerators", numerators, persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        """Float32 cells, padded by one on every side, [n,4·c,h/2+2,w/2+2] to [n,c·(2·scale)²,h/2,w/2]."""
        # bf16 has 8 bits: under autocast the upscaling itself would be off by a level.
        device = cells.device.type
        autocast = torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if autocast else contextlib.nullcontext():
            return nn.functional.conv2d(cells.float(), self.numerators.float() / self.denominator)


class LumaOfColors(nn.Conv2d):
    """The first convolution of a luma network that is given RGB: luma is taken by its kernel."""

    def forward(self, cells: Tensor) -> Tensor:
        """[n,12,h/2+2,w/2+2] of RGB to [n,channels,h/2,w/2]; the weights are those for luma's [n,4,…]."""
        # A product of kernels instead of one more image: eight bits then fall on R, G and B, which have eight.
        weight = torch.cat([self.weight * share for share in LUMA], dim=1)
        return nn.functional.conv2d(cells, weight, self.bias)


class Realtime(nn.Module):
    """The whole network; `scale`, and `size_multiple` (2, for the cells), are attributes."""

    size_multiple = CELL_PX

    def __init__(self, scale: int, layers: int, channels: int, planes: int = 3, colors: int = 3) -> None:
        """Make a network that, untrained, is the bicubic upscaling: its last layer is zero.

        Args:
            scale: upsampling factor, 2 or more.
            layers: number of 3x3 convolutions, the first and the last included; at least 2.
            channels: channels between them.
            planes: what the residual is made of and added to: 3 for R, G and B, 1 for luma.
            colors: planes of the image: 3 for RGB; 1 for an image that is luma alone, where `planes` is 1.

        Raises:
            ValueError: `planes` or `colors` is none of these.
        """
        super().__init__()
        if (planes, colors) not in ((3, 3), (1, 3), (1, 1)):
            found = f"got {planes} of {colors} in Realtime"
            raise ValueError(f"Expected 3 planes or 1 of 3 colors, or 1 of 1, {found}; choose one of these.")
        self.scale, self.planes, self.colors = scale, planes, colors
        widths = [planes * CELL_PX**2, *[channels] * (layers - 1), planes * (CELL_PX * scale) ** 2]
        kinds = [LumaOfColors if planes < colors else nn.Conv2d, *[nn.Conv2d] * (layers - 1)]
        # The first layer runs on the padded image and gives back the unpadded size.
        self.layers = nn.ModuleList(
            kind(before, after, 3, padding=0 if index == 0 else 1)
            for index, (kind, (before, after)) in enumerate(
                zip(kinds, itertools.pairwise(widths), strict=True)
            )
        )
        self.upscaling = BicubicUpscaling(scale, colors)
        for layer in self.layers[:-1]:
            _begin(layer)
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, lr_image: Tensor) -> Tensor:
        """Float [n,colors,h,w], h and w even, to float32 [n,colors,scale·h,scale·w]."""
        padded = nn.functional.pad(lr_image, (CELL_PX,) * 4, mode="replicate")
        cells = nn.functional.pixel_unshuffle(padded, CELL_PX)  # [n,4·colors,h/2+2,w/2+2]
        features = cells.to(self.layers[0].bias.dtype)
        for layer in self.layers[:-1]:
            features = nn.functional.relu(layer(features))
        residual = self.layers[-1](features).float()
        if self.planes < self.colors:
            residual = torch.cat([residual] * self.colors, dim=1)
        return nn.functional.pixel_shuffle(self.upscaling(cells) + residual, CELL_PX * self.scale)


def _begin(layer: nn.Conv2d) -> None:
    """Draw a hidden layer's first weights so that its ReLU outlives the first steps.

    He's normal weights, or 0.3 times these beside the identity between layers of one width, less each kernel's mean.
    With torch's own, all features rise and fall with brightness together: the last layer's first steps, from
    zero, add up over all of them, the image overshoots, and the way back kills the ReLUs for good.
    docs/training.md has the figures.

    Source: He et al., "Delving Deep into Rectifiers", 2015; the identity as in `nn.init.dirac_`.
    """
    outputs, inputs = layer.weight.shape[:2]
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    with torch.no_grad():
        if inputs == outputs:
            layer.weight *= BESIDE_IDENTITY
            layer.weight += nn.init.dirac_(torch.empty_like(layer.weight))
        layer.weight -= layer.weight.mean(dim=(1, 2, 3), keepdim=True)
        layer.bias.zero_()


def _cubic(distance: Fraction) -> Fraction:
    """Keys' cubic kernel with a = -1/2, at a distance in pixels."""
    x = abs(distance)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    if x < 2:
        return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2
    return Fraction(0)


def _upscaling_kernel(scale: int, colors: int) -> tuple[Tensor, int]:
    """The kernel as int32 numerators [colors·side², colors·4, 3, 3], side = 2·scale, and their common denominator."""
    side = CELL_PX * scale
    taps = range(-CELL_PX, 2 * CELL_PX)
    # Along one axis, output pixel `phase` lies (phase + 1/2) / scale - 1/2 low pixels from the cell's first.
    places = [Fraction(2 * phase + 1, 2 * scale) - Fraction(1, 2) for phase in range(side)]
    rows = [[_cubic(place - tap) for tap in taps] for place in places]
    denominator = math.lcm(*(weight.denominator for row in rows for weight in row))
    # [side, 3 cells, 2 low pixels of the cell]
    axis = torch.tensor([[int(weight * denominator) for weight in row] for row in rows]).reshape(
        side, 3, CELL_PX
    )
    # Output pixel (p,q), low pixel (i,j) of cell (y,x).
    plane = torch.einsum("pyi,qxj->pqijyx", axis, axis).reshape(side**2, CELL_PX**2, 3, 3)
    kernel = torch.zeros(colors, side**2, colors, CELL_PX**2, 3, 3, dtype=torch.int32)
    for color in range(colors):
        kernel[color, :, color] = plane.int()
    return kernel.reshape(colors * side**2, colors * CELL_PX**2, 3, 3), denominator**2


def configuration_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int] | None:
    """Read the constructor's arguments off tensor shapes.

    Args:
        shapes: tensor name to shape.

    Returns:
        Arguments of `Realtime`, or None where this is no such network. Whether every tensor fits them is for
        the caller to see.
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
