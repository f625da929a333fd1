"""Upscale gray and color pixels of 8 or 16 bits, or in levels, with any upscaler: of RGB, of luma, or a filter."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sr.imaging.video_range import to_full_range, to_limited_range
from sr.runtime.filters import PillowUpscaler
from sr.runtime.upscaler import FloatImage, Upscaler

_Pixels = npt.NDArray[Any]
"""uint8 or uint16, height x width x channels."""


def upscale_pixels(pixels: _Pixels, upscaler: Upscaler) -> _Pixels:
    """Upscale uint8 or uint16, height x width x 1 (gray) or 3 (RGB); rounded, of the same dtype."""
    is_gray = pixels.shape[2] == 1
    if pixels.dtype == np.uint8 and (isinstance(upscaler, PillowUpscaler) or not is_gray):
        return upscaler(pixels)
    steps_per_level = np.float32(257 if pixels.dtype == np.uint16 else 1)
    hr_levels = upscale_levels(pixels.astype(np.float32) / steps_per_level, upscaler)
    result: _Pixels = np.rint(hr_levels * steps_per_level).astype(pixels.dtype)
    return result


def upscale_levels(levels: FloatImage, upscaler: Upscaler) -> FloatImage:
    """Upscale float32 levels, 0 to 255, height x width x 1 (gray) or 3 (RGB); clamped, not rounded."""
    if isinstance(upscaler, PillowUpscaler) or levels.shape[2] != 1:
        return upscaler.upscale_levels(levels)
    if upscaler.color == "luma":
        return to_full_range(upscaler.upscale_levels(to_limited_range(levels))).clip(0.0, 255.0)
    gray: FloatImage = upscaler.upscale_levels(np.repeat(levels, 3, axis=2)).mean(axis=2, keepdims=True)
    return gray
