"""Making the low picture from the high one, and resizing by a reference filter: one place, every recipe has a
name.

Training makes its low pictures elsewhere (in the loader); these are for judging and calibrating, where every
bit counts. Never crops and never pads: the sizes must fit already.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from data.errors import UserError


def pillow_resize(picture: np.ndarray, height: int, width: int, filter_: Image.Resampling) -> np.ndarray:
    """Resize uint8 HWC RGB with Pillow: antialiased when reducing, edges clamped, rounded to uint8 after each
    axis.
    """
    return np.asarray(Image.fromarray(picture).resize((width, height), filter_))


def pillow_bicubic(high: np.ndarray, scale: int) -> np.ndarray:
    """Reduce by Pillow's bicubic (a = -0.5, antialiased); MATLAB's moves a baseline by 0.011 dB at most."""
    return pillow_resize(high, high.shape[0] // scale, high.shape[1] // scale, Image.Resampling.BICUBIC)


# Name in a protocol -> recipe: (uint8 HWC RGB, scale) -> uint8 HWC RGB, both sides divided by scale.
DEGRADATIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "pillow-bicubic": pillow_bicubic,
}


def degrade(high: np.ndarray, scale: int, degradation: str) -> np.ndarray:
    """The low picture of `high` by the named recipe.

    Args:
        high: uint8 HWC RGB; height and width multiples of `scale`.
        scale: how many times smaller, 1 or more.
        degradation: a name in DEGRADATIONS.

    Returns:
        uint8 HWC RGB, height and width divided by `scale`.

    Raises:
        UserError: unknown name, or a size that is not a multiple of the scale.
    """
    if degradation not in DEGRADATIONS:
        raise UserError(
            expected=f"one of the degradations {', '.join(sorted(DEGRADATIONS))}",
            got=repr(degradation),
            where="the evaluation protocol",
            remedy="name one of these",
        )
    height, width = high.shape[:2]
    if height % scale or width % scale:
        raise UserError(
            expected=f"a height and width that {scale} divides",
            got=f"{height}x{width} px",
            where="the picture to be reduced",
            remedy="crop it to a multiple of the scale first",
        )
    return DEGRADATIONS[degradation](high, scale)
