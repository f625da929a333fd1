"""Computes how far a network sees, in LR pixels, from its layers; the halo of tiles follows from it.

The halo is the smaller of the receptive field's radius and HALO_PX. A network of many attention blocks could see
hundreds of pixels, but the influence of distant ones fades: the VapSR of the preset vapsr3x3-x2 (radius 184 px) differs
from the whole image by one level at most with a halo of 32 px, and by 2 to 3 with 16
(tests/sr/runtime/test_tiling.py measures it).
"""

import math
from fractions import Fraction

from torch import nn

from sr.models.metadata import HALO_PX
from sr.models.network import Architecture


def receptive_field_px(core: Architecture) -> int:
    """Return the radius of a network's receptive field, in LR pixels, rounded up.

    Each convolution adds (kernel - 1) / 2 · dilation positions. A position is `size_multiple` LR pixels if the network
    begins with a pixel unshuffle of that size, and becomes smaller by the factor of each pixel shuffle.

    Args:
        core: a network whose modules are registered in the order in which they run; parallel branches are added up.
    """
    position, radius = Fraction(core.size_multiple), Fraction(0)
    for module in core.modules():
        if isinstance(module, nn.Conv2d):
            step = max(
                (size - 1) * dilation
                for size, dilation in zip(module.kernel_size, module.dilation, strict=True)
            )
            radius += position * step / 2
        elif isinstance(module, nn.PixelShuffle):
            position /= module.upscale_factor
    return math.ceil(radius)


def halo_px(core: Architecture) -> int:
    """Return the LR pixels needed around the kept part of a tile, to match the whole image within one level."""
    return min(receptive_field_px(core), HALO_PX) if core.halo_px is None else core.halo_px
