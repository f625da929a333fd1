"""Color spaces that a network can work in: RGB in 0..1 to three values in 0..1, and back.

Float in, float out. Matrices are plain numbers, multiplied and added, so that casting a network to bf16 does not touch
them, which would cost levels. Nothing is clamped or rounded, and values beyond 0..1 convert too: gradients reach every
pixel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

_Matrix = Sequence[Sequence[float]]
_SHIFT = (0.0, 0.5, 0.5)
"""Added to the color differences, which can be negative."""


@dataclass(frozen=True)
class ColorSpace:
    """A color space: two functions that are inverse to each other."""

    from_rgb: Callable[[Tensor], Tensor]
    """float32 [n,3,h,w] RGB, gamma-coded as in sRGB, 0..1 → float32 [n,3,h,w] of this space, 0..1."""

    to_rgb: Callable[[Tensor], Tensor]
    """float32 [n,3,h,w] of this space → float32 [n,3,h,w] RGB, not clamped."""


def _ycbcr(red: float, blue: float) -> ColorSpace:
    """Return luma and two differences of the gamma-coded colors, full range; `red` and `blue` are Kr and Kb.

    Source: ITU-R BT.601-7, 2.5, and BT.709-6, 3.2 to 3.4: Y = Kr·R + (1-Kr-Kb)·G + Kb·B, Cb = (B-Y) / (2·(1-Kb)),
        Cr = (R-Y) / (2·(1-Kr)).
    """
    luma = np.array([red, 1 - red - blue, blue])
    axes = np.eye(3)
    matrix = np.stack([luma, (axes[2] - luma) / (2 * (1 - blue)), (axes[0] - luma) / (2 * (1 - red))])
    forward, inverse = matrix.tolist(), np.linalg.inv(matrix).tolist()
    return ColorSpace(
        lambda image: _shift(_multiply(forward, image), 1.0),
        lambda image: _multiply(inverse, _shift(image, -1.0)),
    )


def _oklab() -> ColorSpace:
    """Return perceptual lightness, green to red, and blue to yellow; the latter two lie within ±0.33 for sRGB colors.

    Source: Ottosson, "A perceptual color space for image processing", 2020, with the matrices of 2021-01-25; the
        transfer curve is that of IEC 61966-2-1.
    """
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    to_cones, to_lab = cones.tolist(), lab.tolist()
    # Inverted numerically: the published inverses are rounded and would not quite undo the matrices.
    from_cones, from_lab = np.linalg.inv(cones).tolist(), np.linalg.inv(lab).tolist()

    def from_rgb(image: Tensor) -> Tensor:
        return _shift(_multiply(to_lab, _cube_root(_multiply(to_cones, _decode_srgb(image)))), 1.0)

    def to_rgb(image: Tensor) -> Tensor:
        roots = _multiply(from_lab, _shift(image, -1.0))
        return _encode_srgb(_multiply(from_cones, roots * roots * roots))

    return ColorSpace(from_rgb, to_rgb)


COLOR_SPACES: dict[str, ColorSpace] = {
    "rgb": ColorSpace(lambda image: image, lambda image: image),
    "ycbcr-601": _ycbcr(red=0.299, blue=0.114),
    "ycbcr-709": _ycbcr(red=0.2126, blue=0.0722),
    "oklab": _oklab(),
}
"""The color spaces of `sr.models.presets.COLOR_SPACE_NAMES`."""


def _multiply(matrix: _Matrix, image: Tensor) -> Tensor:
    """Multiply a matrix [3,3] with the three values of each pixel."""
    planes = image.unbind(1)  # three of [n,h,w]
    rows = [
        cast(Tensor, sum(weight * plane for weight, plane in zip(row, planes, strict=True))) for row in matrix
    ]
    return torch.stack(rows, dim=1)


def _shift(image: Tensor, sign: float) -> Tensor:
    """Add _SHIFT, or subtract it for a sign of -1."""
    return torch.stack(
        [plane + sign * shift for plane, shift in zip(image.unbind(1), _SHIFT, strict=True)], dim=1
    )


def _decode_srgb(coded: Tensor) -> Tensor:
    """Convert gamma-coded sRGB values to linear light; the straight part continues below 0."""
    curved = ((coded.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(coded <= 0.04045, coded / 12.92, curved)


def _encode_srgb(linear: Tensor) -> Tensor:
    """Convert linear light to gamma-coded sRGB values."""
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curved)


def _cube_root(values: Tensor) -> Tensor:
    """Return the real cube root. It is only used on inputs, so its infinite slope at 0 does not matter."""
    return values.sign() * values.abs() ** (1 / 3)
