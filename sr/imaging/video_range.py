"""Luma as video stores it, and the full range of images: one as the other, in fractions of a level.

Pure arithmetic; it rounds nothing and cuts nothing off.
"""

import numpy as np

BLACK, SPAN = 16, 219
"""Video luma: the level of black, and levels from there to white. Source: ITU-R BT.601-7, 2.5.3; BT.709-6, 4.6."""
FULL_SPAN = 255
"""Levels from black to white of full range, which begins at 0."""


def to_video(levels: np.ndarray) -> np.ndarray:
    """Float luma of 0 to 255 as levels of 16 to 235, of the same shape and type."""
    return levels * (SPAN / FULL_SPAN) + BLACK


def from_video(levels: np.ndarray) -> np.ndarray:
    """Undo `to_video`."""
    return (levels - BLACK) * (FULL_SPAN / SPAN)
