"""Images from bytes as they are stored: gray as gray, 16 bits as 16, alpha apart, with profile and EXIF.

For what is upscaled and given back. What is trained on is read by `data.imaging.decode`, always as 8-bit sRGB; what that
refuses is refused here with the same reasons. The EXIF rotation is applied, and taken out of the EXIF that is kept.
"""

import dataclasses
import struct
from typing import Any

import cv2
import kornia_rs
import numpy as np
from PIL import Image

from data.imaging.bit_depth import bit_depth
from data.imaging.decode import FORMATS, ImageFault, decode, open_image, orientation_of, upright
from data.records import Reason

_ORIENTATION = 0x0112
SUB_DIRECTORIES = _EXIF, _GPS = 0x8769, 0x8825
"""Tags of a TIFF structure that hold EXIF's own directory and that of GPS."""
KEPT_TAGS = frozenset({270, 271, 272, 282, 283, 296, 305, 306, 315, 33432})
"""Of a TIFF: description, maker, model, resolution (three), software, time, artist, copyright. The others tell how
its pixels lie."""
_DESCRIPTION, _LAYOUTS = 270, ('{"shape"', "ImageJ=", "<?xml")
"""What programs write into a description to tell how pixels lie; untrue of the upscaled image."""
_EXTRA_SAMPLES, _PREMULTIPLIED = 338, 1
_INTEROPERABILITY = 0xA005
_EMPTY_EXIF_BYTES = len(Image.Exif().tobytes())
_STRIP_ROWS = 256
_PNG_KEPT = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs")
"""Source: PNG specification, third edition, 11.3.2 and 11.3.4."""
_PNG_COLOR_AT, _PNG_GRAY_ALPHA = 25, 4
_SIZES = (0xA002, 0xA003)
"""EXIF's own width and height, which an upscaled image no longer has."""


@dataclasses.dataclass(frozen=True)
class StoredImage:
    """A decoded image with what its file said beside the pixels."""

    colors: np.ndarray
    """uint8 or uint16, height x width x 1 (gray) or 3 (RGB, in the colors of `icc`)."""
    alpha: np.ndarray | None
    """The same type, height x width; not premultiplied; None where the file has none."""
    icc: bytes
    """The color profile; empty: none."""
    exif: bytes
    """A TIFF structure without the Exif signature, upright; of a TIFF its descriptive tags, too; empty: none."""
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Of a PNG, what else it says of its colors and resolution: names and contents of chunks."""


def decode_stored(content: bytes) -> StoredImage:
    """Decode an image and keep what it is. CMYK becomes sRGB (its profile is used up), a palette its colors.

    Args:
        content: the whole stored bytes.

    Raises:
        ImageFault: as `data.imaging.decode.decode`, but for transparency, which is kept.
    """
    image = open_image(content)
    name, orientation = FORMATS[image.format], orientation_of(image)
    icc, exif = image.info.get("icc_profile") or b"", _kept_exif(image)
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        return StoredImage(decode(content), None, b"", exif)
    deep = bit_depth(content, name) == 16
    plain = image.mode == "RGB" and "transparency" not in image.info
    try:
        if plain and name == "jpeg":
            whole = kornia_rs.io.decode_image_jpegturbo(content, "rgb")
        elif plain and name == "png" and deep:
            whole = kornia_rs.io.decode_image_png_u16(content, (image.height, image.width), "rgb")
        elif deep:
            whole = _deep(image, content)
        else:
            whole = _shallow(image)
    except (KeyboardInterrupt, SystemExit, ImageFault):
        raise
    except BaseException as error:  # a panic of the Rust code is no Exception
        raise ImageFault(Reason.UNREADABLE, f"pixels: {error}") from None
    whole = upright(whole, orientation)
    whole = whole[:, :, None] if whole.ndim == 2 else whole
    channels = whole.shape[2] - 1 + whole.shape[2] % 2
    alpha = None if channels == whole.shape[2] else whole[:, :, channels]
    chunks = _png_chunks(content) if name == "png" else ()
    return StoredImage(whole[:, :, :channels], alpha, icc, exif, chunks)


def _png_chunks(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the kept chunks of a PNG that has been decoded; they stand before its pixels."""
    kept, at, name = [], 8, b""
    while name != b"IDAT":
        size, name = struct.unpack_from(">L4s", content, at)
        if name in _PNG_KEPT:
            kept.append((name, content[at + 8 : at + 8 + size]))
        at += 12 + size
    return tuple(kept)


def _shallow(image: Image.Image) -> np.ndarray:
    """Return 8-bit pixels: gray, gray and alpha, RGB or RGBA."""
    image.load()
    if image.mode.startswith(("I", "F")):
        raise ImageFault(Reason.UNSUPPORTED, f"mode {image.mode}; 8 or 16 bits were expected")
    hides = "transparency" in image.info or image.mode in ("RGBA", "PA", "LA", "RGBa", "La")
    gray = image.mode in ("1", "L", "LA", "La")
    wanted = ("LA" if gray else "RGBA") if hides else ("L" if gray else "RGB")
    return np.array(image if image.mode == wanted else image.convert(wanted))


def _deep(image: Image.Image, content: bytes) -> np.ndarray:
    """Return 16-bit pixels. Pillow is strict and has no 16-bit colors, OpenCV has them and is not strict."""
    is_tiff, clear = image.format == "TIFF", image.info.get("transparency")
    turned = is_tiff and image.getexif().get(_ORIENTATION, 1) != 1
    premultiplied = is_tiff and image.tag_v2.get(_EXTRA_SAMPLES, ())[:1] == (_PREMULTIPLIED,)
    open_image(content).load()  # an image of its own, so that its pixels are gone before OpenCV makes others
    whole = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if whole is None or whole.dtype != np.uint16:
        raise ImageFault(Reason.UNSUPPORTED, "16-bit pixels in a form that is not read")
    if whole.shape[:2] != image.size[::-1] and not turned:
        raise ImageFault(Reason.UNREADABLE, "pixels: another size than the header says")
    if whole.ndim == 3:
        _reorder(whole, premultiplied)
    if is_tiff and image.mode == "RGB":
        whole = whole[:, :, :3]  # a fourth channel is something else than alpha
    if image.format == "PNG" and content[_PNG_COLOR_AT] == _PNG_GRAY_ALPHA:  # both libraries repeat the gray
        whole = np.ascontiguousarray(whole[:, :, [0, 3]])
    if isinstance(clear, int) and whole.ndim == 2:
        whole = np.dstack([whole, np.where(whole == clear, 0, 65535).astype(np.uint16)])
    return whole


def _reorder(whole: np.ndarray, premultiplied: bool) -> None:
    """Turn BGR or BGRA into RGB or RGBA, not premultiplied: in place, a few rows at a time."""
    for top in range(0, len(whole), _STRIP_ROWS):
        strip = whole[top : top + _STRIP_ROWS]
        strip[:, :, :3] = strip[:, :, 2::-1].copy()
        if premultiplied:
            alpha = strip[:, :, 3:].astype(np.uint32)
            colors = (strip[:, :, :3] * np.uint32(65535) + alpha // 2) // np.maximum(alpha, 1)
            strip[:, :, :3] = np.minimum(colors, 65535)


def _kept_exif(image: Image.Image) -> bytes:
    """Return the EXIF without rotation and sizes, of a TIFF with its descriptive tags; empty: none, or damaged."""
    try:
        kept = _tiff_tags(image) if image.format == "TIFF" else _exif(image)
        kept.update({tag: text_bytes(value) for tag, value in kept.items()})
        content = kept.tobytes()
        return content.removeprefix(b"Exif\0\0") if len(content) > _EMPTY_EXIF_BYTES else b""
    except Exception:  # an image is not refused for what its camera wrote beside it
        return b""


def text_bytes(value: Any) -> Any:
    """Return text of a tag as the bytes it was read from: Pillow writes a question mark for what is not ASCII."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _exif(image: Image.Image) -> Image.Exif:
    kept = Image.Exif()
    kept.load(image.info.get("exif"))
    kept.pop(_ORIENTATION, None)
    for tag in _SIZES if _EXIF in kept else ():
        kept.get_ifd(_EXIF).pop(tag, None)
    return kept


def _tiff_tags(image: Image.Image) -> Image.Exif:
    """Return what a TIFF says of the image, and not of how its pixels lie."""
    stored, kept = image.getexif(), Image.Exif()
    kept.update({tag: stored[tag] for tag in KEPT_TAGS & set(stored)})
    if str(kept.get(_DESCRIPTION, "")).startswith(_LAYOUTS):
        del kept[_DESCRIPTION]
    for tag in SUB_DIRECTORIES:
        values = {
            name: value
            for name, value in stored.get_ifd(tag).items()
            if name not in (*_SIZES, _INTEROPERABILITY)
        }
        if values:
            kept.get_ifd(tag).update(values)
    return kept
