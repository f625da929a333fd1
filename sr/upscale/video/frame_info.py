"""Describe the format, color and HDR metadata of a decoded frame: what the encoder of the result needs to know."""

import math
import struct
from fractions import Fraction
from typing import Any

from av.video.frame import VideoFrame

from data.imaging.decode import ImageFault
from data.video.color import FULL_RANGE, MASTERING_DISPLAY, UNSPECIFIED, read_color_info
from data.video.pyav import read_side_data

_PRIMARY_UNITS, _LUMINANCE_UNITS = 50_000, 10_000
"""Units of x265 in 1.0 of a chromaticity coordinate and in 1 cd/m²."""


def describe_frame(frame: VideoFrame, stated_chroma_location: str) -> dict[str, Any]:
    """Return the fields of `VideoInfo` that a decoded frame determines.

    Args:
        frame: as it comes from the decoder.
        stated_chroma_location: topleft or center if the video states it; otherwise empty.
    """
    chroma = _chroma(frame)
    try:
        color = read_color_info(frame)
        matrix, chroma_location = color.matrix, color.chroma_location
    except ImageFault:
        matrix, chroma_location = "", "left"
    tags = {name: int(getattr(frame, name)) for name in ("color_primaries", "color_trc", "colorspace")}
    tags["color_range"] = FULL_RANGE if frame.format.name.startswith("yuvj") else frame.color_range
    if chroma not in ("rgb", "gray") and tags["colorspace"] == UNSPECIFIED:
        tags |= _default_tags(tags, matrix, frame.height)
    if chroma == "rgb":  # RGB has no matrix, but the YUV made from it does
        matrix, tags["colorspace"], tags["color_range"] = "bt709", 1, 1
    side_data = read_side_data(frame)
    display_matrix = side_data.get("DISPLAYMATRIX")
    bit_depths = (component.bits for component in frame.format.components)
    return {
        "width": frame.width,
        "height": frame.height,
        "chroma": chroma,
        "bit_depth": 8 if frame.format.has_palette else min(max(8, *bit_depths), 16),
        "color_tags": tags,
        "matrix": matrix,
        "chroma_location": stated_chroma_location or chroma_location,
        "display_matrix": struct.unpack("9i", display_matrix)
        if display_matrix
        else _rotation_matrix(frame.rotation),
        "master_display": _master_display(side_data),
        "light_level": _light_level(side_data),
    }


def _chroma(frame: VideoFrame) -> str:
    """Return rgb, gray, 444, 422 or 420 (which stands for everything else)."""
    pixel_format = frame.format
    if pixel_format.is_rgb or pixel_format.has_palette:
        return "rgb"
    if len(pixel_format.components) < 3:
        return "gray"
    has_full_width = pixel_format.chroma_width(64) == 64
    has_full_height = pixel_format.chroma_height(64) == 64
    return {(True, True): "444", (False, True): "422"}.get((has_full_width, has_full_height), "420")


def _default_tags(tags: dict[str, int], matrix: str, height: int) -> dict[str, int]:
    """Return the unspecified color tags of a video without a matrix, in the numbers of H.273.

    Players guess them from the frame size, as `read_color_info` does. They would guess others from the upscaled size.
    """
    if matrix == "bt601":
        if height in (288, 576):
            defaults = {"colorspace": 5, "color_primaries": 5, "color_trc": 6}
        elif height in (240, 480, 486):
            defaults = {"colorspace": 6, "color_primaries": 6, "color_trc": 6}
        else:
            defaults = {"colorspace": 6, "color_primaries": 1, "color_trc": 1}
    elif matrix == "bt2020":
        defaults = {"colorspace": 9, "color_primaries": 9, "color_trc": 14}
    elif matrix == "bt709":
        defaults = {"colorspace": 1, "color_primaries": 1, "color_trc": 1}
    else:
        return {}
    return {name: value for name, value in defaults.items() if tags[name] == UNSPECIFIED}


def _rotation_matrix(degrees: int) -> tuple[int, ...]:
    """Return the display matrix for a rotation by quarter turns, counter-clockwise; empty for none."""
    if not degrees:
        return ()
    cosine, sine = (round(function(math.radians(-degrees))) << 16 for function in (math.cos, math.sin))
    return cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 30


def _master_display(side_data: dict[str, bytes]) -> str:
    """Return the mastering display as x264 and x265 take it; empty if it is not stated."""
    mastering = side_data.get("MASTERING_DISPLAY_METADATA", b"")
    if len(mastering) < MASTERING_DISPLAY.size:
        return ""
    fields = MASTERING_DISPLAY.unpack_from(mastering)
    has_primaries, has_luminance = fields[20], fields[21]
    if not has_primaries or not has_luminance:
        return ""
    values = [Fraction(fields[n], fields[n + 1] or 1) for n in range(0, 20, 2)]
    red, green, blue, white = (
        [round(coordinate * _PRIMARY_UNITS) for coordinate in values[n : n + 2]] for n in range(0, 8, 2)
    )
    darkest, peak = round(values[8] * _LUMINANCE_UNITS), round(values[9] * _LUMINANCE_UNITS)
    points = zip(("G", "B", "R", "WP"), (green, blue, red, white), strict=True)
    return "".join(f"{name}({x},{y})" for name, (x, y) in points) + f"L({peak},{darkest})"


def _light_level(side_data: dict[str, bytes]) -> str:
    """Return MaxCLL,MaxFALL as x264 and x265 take them; empty if they are not stated."""
    light_level = side_data.get("CONTENT_LIGHT_LEVEL")
    return "{},{}".format(*struct.unpack_from("2I", light_level)) if light_level else ""
