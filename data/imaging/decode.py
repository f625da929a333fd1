"""Decode images strictly: always uint8, height x width x 3, sRGB, upright. `data.imaging.encode` writes images.

Nothing is guessed: an image that is truncated, damaged, enormous or ambiguous raises `ImageFault` with the reason that
the report will show. Only a color profile that cannot be used is ignored: the colors count as sRGB.

Pillow reads every header, and the pixels of all but the common kinds: kornia-rs decodes opaque RGB as PNG, simplejpeg
RGB and gray as JPEG. They are stricter and faster (tests and `make bench` compare them with Pillow).
"""

from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile

from data.exhaustion import raise_if_exhausted
from data.imaging import jpeg
from data.imaging.bit_depth import bit_depth
from data.imaging.deep import composite, decode_deep, round_to_8_bits
from data.imaging.header import (
    FORMATS,
    LARGEST_PX,
    SUFFIXES,
    ImageFault,
    ImageHeader,
    format_of,
    open_image,
    probe,
    read_orientation,
)
from data.imaging.png import check_chunks, decode_rgb
from data.imaging.profile import to_srgb, warn_of_lost_profile
from data.records import RejectionReason

__all__ = [
    "ALPHAS",
    "FORMATS",
    "LARGEST_PX",
    "SUFFIXES",
    "ImageFault",
    "ImageHeader",
    "apply_orientation",
    "decode",
    "is_deep",
    "load_pixels",
    "probe",
]

_ROTATIONS: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""By EXIF orientation, the function that turns the image upright. 5 and above swap height and width."""
_BACKGROUNDS = {"black": (0, 0, 0, 255), "white": (255, 255, 255, 255)}
ALPHAS = ("refuse", *_BACKGROUNDS)
"""How transparent images can be handled: refused, or composited over a background."""


def decode(content: bytes, alpha: str = "refuse") -> npt.NDArray[np.uint8]:
    """Decode an image as 8-bit sRGB, upright.

    Args:
        content: the whole stored bytes.
        alpha: how to handle an image with transparent pixels: refuse it, or composite it over black or white.

    Returns:
        uint8, height x width x 3, sRGB. Gray, palette, CMYK and 16-bit images are converted (16 bits are rounded
        to 8). An embedded color profile and the EXIF rotation are applied.

    Raises:
        ImageFault: truncated, damaged, too large, more than one frame, or transparent where `alpha` is refuse.

    Example:
        >>> decode(Path("photo.jpg").read_bytes()).shape
        (1080, 1920, 3)
    """
    image = open_image(content)
    orientation = read_orientation(image)
    profile = image.info.get("icc_profile")
    try:
        pixels = _decode_stored(image, content, alpha)
        warn_of_lost_profile(image)
        return apply_orientation(to_srgb(pixels, profile), orientation)
    except ImageFault:
        raise
    except BaseException as error:  # a panic in Rust code is not an Exception
        raise_if_exhausted(error, image.width * image.height)
        raise ImageFault(RejectionReason.UNREADABLE, f"pixels: {error}") from None


def _decode_stored(image: ImageFile, content: bytes, alpha: str) -> Image.Image | npt.NDArray[np.uint8]:
    """Decode an opened image as 8 bits, opaque, neither rotated nor color-managed: gray, RGB, CMYK, YCbCr or Lab.

    Raises:
        BaseException: damaged or cut off; ImageFault: transparent where `alpha` is refuse.
    """
    fast_kind = _fast_kind(image)
    if fast_kind in ("rgb", "mono"):
        return jpeg.decode_jpeg(content, fast_kind)
    if fast_kind == "png":
        return decode_rgb(content, image.height, image.width, 8)
    if fast_kind == "png16":
        return round_to_8_bits(decode_rgb(content, image.height, image.width, 16))
    if is_deep(image, content):
        if image.format == "PNG":
            check_chunks(content)
        background = {"black": 0, "white": 65535}.get(alpha)
        return round_to_8_bits(composite(decode_deep(image, content), background))
    load_pixels(image, content)
    return _make_opaque(image, alpha)


def is_deep(image: ImageFile, content: bytes) -> bool:
    """Return whether an opened image is read as 16 bits per channel."""
    return image.mode != "CMYK" and bit_depth(content, format_of(image)) == 16


def load_pixels(image: ImageFile, content: bytes) -> None:
    """Load an image with Pillow, and look for the damage that Pillow does not mind.

    Raises:
        Exception: damaged or cut off.
        ImageFault: numbers that are not integers of 8 or 16 bits.
    """
    if image.format == "PNG":
        check_chunks(content)
    image.load()
    if format_of(image) == "jpeg":
        jpeg.decode_jpeg(content, "cmyk")  # Pillow hides libjpeg's warnings, but knows what is inverted
    if image.mode.startswith(("I", "F")):
        raise ImageFault(RejectionReason.UNSUPPORTED, f"mode {image.mode}; only 8 and 16 bits are read")


def _fast_kind(image: ImageFile) -> str:
    """Return the fast decoder for an opened image: rgb or mono (JPEG), png or png16; empty if only Pillow can."""
    if format_of(image) == "jpeg":
        return {"RGB": "rgb", "L": "mono"}.get(image.mode, "")
    if image.mode != "RGB" or "transparency" in image.info:
        return ""
    raw_mode = image.tile[0].args if image.format == "PNG" and image.tile else ""
    return {"RGB": "png", "RGB;16B": "png16"}.get(str(raw_mode), "")


def apply_orientation(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn an image upright.

    Args:
        image: height x width, with or without channels.
        orientation: EXIF orientation, 1 to 8.
    """
    return _ROTATIONS[orientation](image) if orientation in _ROTATIONS else image


def _make_opaque(image: Image.Image, alpha: str) -> Image.Image:
    """Drop an alpha channel that is opaque everywhere; otherwise refuse the image or composite it over a background."""
    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        return image
    opaque_mode = "L" if image.mode in ("L", "LA", "La", "1") else "RGB"
    if image.mode == "La":  # gray multiplied by alpha: Pillow converts it to LA alone
        image = image.convert("LA")
    image = image.convert("RGBA")
    lowest = cast(int, image.getchannel("A").getextrema()[0])
    if lowest < 255 and alpha not in _BACKGROUNDS:
        detail = f"transparent (alpha down to {lowest}); only opaque images are read"
        raise ImageFault(RejectionReason.UNSUPPORTED, detail)
    if lowest < 255:
        image = Image.alpha_composite(Image.new("RGBA", image.size, _BACKGROUNDS[alpha]), image)
    return image.getchannel("R") if opaque_mode == "L" else image.convert("RGB")
