"""Decode images as they are stored: gray stays gray, 16 bits stay 16, alpha, color profile and EXIF are kept.

For images to upscale. `data.imaging.decode` reads training images, always as 8-bit sRGB; what it refuses is refused
here for the same reasons. The EXIF rotation is applied, and removed from the EXIF data that is kept.
"""

import dataclasses
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import apply_orientation, decode, is_deep, load_pixels
from data.imaging.deep import decode_deep
from data.imaging.header import ImageFault, format_of, open_image, read_orientation
from data.imaging.jpeg import decode_jpeg
from data.imaging.png import check_chunks, decode_rgb, read_raw_exif
from data.imaging.profile import warn_of_lost_profile, warn_of_profile
from data.imaging.webp import is_lossless_webp
from data.records import RejectionReason

_ORIENTATION = 0x0112
SUB_DIRECTORIES = _EXIF, _GPS = 0x8769, 0x8825
"""TIFF tags that refer to the EXIF and GPS directories."""
KEPT_TAGS = frozenset({270, 271, 272, 282, 283, 296, 305, 306, 315, 33432})
"""TIFF tags to keep: description, maker, model, resolution (three), software, time, artist, copyright. The others
describe how the pixels are stored."""
_DESCRIPTION, _LAYOUTS = 270, ('{"shape"', "ImageJ=", "<?xml")
"""Starts of descriptions in which programs say how the pixels are stored; not true of the upscaled image."""
_INTEROPERABILITY = 0xA005
_EMPTY_EXIF_BYTES = len(Image.Exif().tobytes())
_PNG_KEPT = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs")
"""PNG chunks to keep: colors and resolution. Source: PNG specification, third edition, 11.3.2 and 11.3.4."""
_SIZES = (0xA002, 0xA003)
"""EXIF tags for width and height, which change when an image is upscaled."""


@dataclasses.dataclass(frozen=True)
class OriginalImage:
    """A decoded image with the other contents of its file."""

    colors: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    """Height x width x 1 (gray) or 3 (RGB, in the color space of `icc`)."""
    alpha: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None
    """Height x width, of the same dtype, not premultiplied; None if the file has no alpha channel."""
    icc: bytes
    """The ICC color profile; empty if there is none."""
    exif: bytes
    """EXIF data as a TIFF structure without the Exif signature and without rotation; for a TIFF also its descriptive
    tags. Empty if there is none."""
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    """For a PNG: names and contents of the chunks about colors and resolution."""
    is_lossless_webp: bool = False
    """Whether it is a WebP without loss; its suffix does not show it."""


def decode_original(content: bytes) -> OriginalImage:
    """Decode an image without converting it. Only CMYK, YCbCr and LAB become sRGB, and a palette becomes its colors.

    Args:
        content: the whole stored bytes.

    Raises:
        ImageFault: as `data.imaging.decode.decode` does, except for transparency, which is kept.
    """
    image = open_image(content)
    name, orientation = format_of(image), read_orientation(image)
    icc, exif = image.info.get("icc_profile") or b"", read_exif(image)
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        return OriginalImage(decode(content), None, b"", exif)
    warn_of_lost_profile(image)
    warn_of_profile(icc, image.mode)
    pixels = apply_orientation(_decode_pixels(image, content), orientation)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    channels = pixels.shape[2] - 1 + pixels.shape[2] % 2  # 1 or 3 colors; an even number includes alpha
    alpha = None if channels == pixels.shape[2] else pixels[:, :, channels]
    chunks = _png_chunks(content) if name == "png" else ()
    is_lossless = name == "webp" and is_lossless_webp(content)
    return OriginalImage(pixels[:, :, :channels], alpha, icc, exif, chunks, is_lossless)


def _decode_pixels(image: ImageFile, content: bytes) -> npt.NDArray[Any]:
    """Decode the pixels of an opened image with the fastest strict decoder for its kind.

    Returns:
        uint8 or uint16, height x width, or height x width x 2 (gray, alpha), 3 (RGB) or 4 (RGBA); not rotated.
    """
    name = format_of(image)
    is_16_bits = is_deep(image, content)
    is_plain_rgb = image.mode == "RGB" and "transparency" not in image.info
    pixels: npt.NDArray[Any]
    try:
        if name == "jpeg" and image.mode in ("RGB", "L"):
            pixels = decode_jpeg(content, "rgb" if image.mode == "RGB" else "mono")
        elif is_plain_rgb and name == "png" and is_16_bits:
            pixels = decode_rgb(content, image.height, image.width, 16)
        elif is_16_bits:
            if name == "png":
                check_chunks(content)
            pixels = decode_deep(image, content)
        else:
            pixels = _decode_8_bits(image, content)
        return pixels
    except ImageFault:
        raise
    except BaseException as error:  # a panic in Rust code is not an Exception
        raise_if_exhausted(error, image.width * image.height)
        raise ImageFault(RejectionReason.UNREADABLE, f"pixels: {error}") from None


def _png_chunks(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the chunks to keep of a PNG whose pixels have been decoded without error."""
    kept, at, name = [], 8, b""
    while name != b"IDAT":  # chunks about colors come before the pixels
        size, name = struct.unpack_from(">L4s", content, at)
        if name in _PNG_KEPT:
            kept.append((name, content[at + 8 : at + 8 + size]))
        at += 12 + size
    return tuple(kept)


def _decode_8_bits(image: ImageFile, content: bytes) -> npt.NDArray[np.uint8]:
    """Decode 8-bit pixels: gray, gray and alpha, RGB or RGBA."""
    load_pixels(image, content)
    has_alpha = "transparency" in image.info or image.mode in ("RGBA", "PA", "LA", "RGBa", "La")
    is_gray = image.mode in ("1", "L", "LA", "La")
    mode = ("LA" if is_gray else "RGBA") if has_alpha else ("L" if is_gray else "RGB")
    return np.array(image if image.mode == mode else image.convert(mode))


def read_exif(image: Image.Image) -> bytes:
    """Return the EXIF data without rotation and size, with a TIFF's descriptive tags; empty if missing or damaged."""
    try:
        kept = _tiff_tags(image) if image.format == "TIFF" else _exif_tags(image)
        kept.update({tag: encode_tag_text(value) for tag, value in kept.items()})
        content = kept.tobytes()
        return content.removeprefix(b"Exif\0\0") if len(content) > _EMPTY_EXIF_BYTES else b""
    except Exception as error:  # damaged metadata is no reason to refuse an image
        raise_if_exhausted(error)
        return b""


def encode_tag_text(value: Any) -> Any:
    """Return the text of a tag as the bytes it was read from. Pillow would write "?" for a character beyond ASCII."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _exif_tags(image: Image.Image) -> Image.Exif:
    """Return the EXIF tags of an image that is not a TIFF."""
    kept = Image.Exif()
    kept.load(image.info.get("exif") or read_raw_exif(image.info))
    kept.pop(_ORIENTATION, None)
    for tag in _SIZES if _EXIF in kept else ():
        kept.get_ifd(_EXIF).pop(tag, None)
    return kept


def _tiff_tags(image: Image.Image) -> Image.Exif:
    """Return the tags of a TIFF that describe the image, without those that describe how its pixels are stored."""
    stored, kept = image.getexif(), Image.Exif()
    kept.update({tag: stored[tag] for tag in KEPT_TAGS & set(stored)})
    if str(kept.get(_DESCRIPTION, "")).startswith(_LAYOUTS):
        del kept[_DESCRIPTION]
    for tag in SUB_DIRECTORIES:
        directory = stored.get_ifd(tag)
        values = {
            name: value for name, value in directory.items() if name not in (*_SIZES, _INTEROPERABILITY)
        }
        if values:
            kept.get_ifd(tag).update(values)
    return kept
