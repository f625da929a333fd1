"""Convert luma between the limited range of video and the full range of images.

Pure arithmetic on levels: nothing is rounded or clamped.
"""

import numpy as np
import numpy.typing as npt

BLACK, SPAN = 16, 219
"""Limited range: the level of black, and the number of levels from black to white.

Source: ITU-R BT.601-7, 2.5.3; BT.709-6, 4.6.
"""
FULL_SPAN = 255
"""Full range: the number of levels from black, which is 0, to white."""

Levels = npt.NDArray[np.floating]


def to_limited_range(levels: Levels) -> Levels:
    """Convert full-range luma to limited range.

    Args:
        levels: float, any shape, 0 to 255.

    Returns:
        The same shape and dtype, 16 to 235.
    """
    return levels * (SPAN / FULL_SPAN) + BLACK


def to_full_range(levels: Levels) -> Levels:
    """Convert limited-range luma to full range: the inverse of `to_limited_range`."""
    return (levels - BLACK) * (FULL_SPAN / SPAN)
