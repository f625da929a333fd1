"""How far a network sees, in low pixels, from its layers: what the halo of tiles follows from.

The halo is the smaller of the full radius and DECAY_PX. A network of many attention blocks could see hundreds of
pixels, but what it makes of the far ones fades: the forebear's VapSR (vapsr3x3-x2, full radius 184 px) differs by one
level at most from the whole image with 32 px, by 2 to 3 with 16 (tests/sr/runtime/test_tiling.py measures it).
"""

import math
from fractions import Fraction

from torch import nn

from sr.runtime.tiling import HALO_PX

DECAY_PX = HALO_PX
"""Beyond it the result of the one deep network that was measured, vapsr3x3-x2, moves by a level at most. Networks of
the realtime family see less far than this."""


def reach_px(core: nn.Module) -> int:
    """Return the radius of the receptive field of an architecture, in low pixels; never less than the true one.

    Each convolution adds (kernel - 1) / 2 · dilation positions. A position is `size_multiple` low pixels where the
    network begins with a pixel unshuffle of that cell, and as many times less behind each pixel shuffle.

    Args:
        core: a network whose modules stand in the order in which they run; branches are added up.
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


def halo_px(core: nn.Module) -> int:
    """Return the low pixels around what is kept of a tile, so that the result is that of the whole to one level."""
    return min(reach_px(core), DECAY_PX)
