"""Pictures from bytes as they are stored: grey as grey, 16 bits as 16, alpha apart, with profile and EXIF.

For what is enlarged and given back. What is trained on is read by `data.images`, always as 8-bit sRGB; what that
refuses is refused here with the same reasons. The EXIF rotation is applied, and taken out of the EXIF that is kept.
"""

import dataclasses

import cv2
import kornia_rs
import numpy as np
from PIL import Image

from data.bitdepth import bit_depth
from data.images import FORMATS, ImageFault, decode, open_image, orientation_of, upright
from data.records import Reason

_ORIENTATION, _SUB_DIRECTORY = 0x0112, 0x8769
_PNG_COLOUR_AT, _PNG_GREY_ALPHA = 25, 4
_SIZES = (0xA002, 0xA003)
"""EXIF's own width and height, which an enlarged picture no longer has."""


@dataclasses.dataclass(frozen=True)
class StoredPicture:
    """A decoded picture with what its file said beside the pixels."""

    colours: np.ndarray
    """uint8 or uint16, height x width x 1 (grey) or 3 (RGB, in the colours of `icc`)."""
    alpha: np.ndarray | None
    """The same type, height x width; not premultiplied; None where the file has none."""
    icc: bytes
    """The colour profile; empty: none."""
    exif: bytes
    """A TIFF structure without the Exif signature, upright; empty: none."""


def decode_stored(content: bytes) -> StoredPicture:
    """Decode a picture and keep what it is. CMYK becomes sRGB (its profile is used up), a palette its colours.

    Args:
        content: the whole stored bytes.

    Raises:
        ImageFault: as `data.images.decode`, but for transparency, which is kept.
    """
    image = open_image(content)
    name, orientation = FORMATS[image.format], orientation_of(image)
    icc, exif = image.info.get("icc_profile") or b"", _upright_exif(image)
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        return StoredPicture(decode(content), None, b"", exif)
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
    alpha = None if channels == whole.shape[2] else np.ascontiguousarray(whole[:, :, channels])
    return StoredPicture(whole[:, :, :channels], alpha, icc, exif)


def _shallow(image: Image.Image) -> np.ndarray:
    """Return 8-bit pixels: grey, grey and alpha, RGB or RGBA."""
    image.load()
    if image.mode.startswith(("I", "F")):
        raise ImageFault(Reason.UNSUPPORTED, f"mode {image.mode}; 8 or 16 bits were expected")
    hides = "transparency" in image.info or image.mode in ("RGBA", "PA", "LA", "RGBa", "La")
    grey = image.mode in ("1", "L", "LA", "La")
    wanted = ("LA" if grey else "RGBA") if hides else ("L" if grey else "RGB")
    return np.array(image if image.mode == wanted else image.convert(wanted))


def _deep(image: Image.Image, content: bytes) -> np.ndarray:
    """Return 16-bit pixels. Pillow is strict and has no 16-bit colours, OpenCV has them and is not strict."""
    orientation = image.getexif().get(_ORIENTATION, 1) if image.format == "TIFF" else 1
    clear = image.info.get("transparency")
    image.load()
    whole = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if whole is None or whole.dtype != np.uint16:
        raise ImageFault(Reason.UNSUPPORTED, "16-bit pixels in a form that is not read")
    if whole.shape[:2] != image.size[::-1] and orientation == 1:
        raise ImageFault(Reason.UNREADABLE, "pixels: another size than the header says")
    if whole.ndim == 3:
        whole = cv2.cvtColor(whole, cv2.COLOR_BGRA2RGBA if whole.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    if image.format == "PNG" and content[_PNG_COLOUR_AT] == _PNG_GREY_ALPHA:  # both libraries repeat the grey
        whole = np.ascontiguousarray(whole[:, :, [0, 3]])
    if isinstance(clear, int) and whole.ndim == 2:
        whole = np.dstack([whole, np.where(whole == clear, 0, 65535).astype(np.uint16)])
    return whole


def _upright_exif(image: Image.Image) -> bytes:
    """Return the EXIF without rotation and sizes; empty where there is none or it is damaged."""
    try:
        if image.format == "TIFF":
            return b""  # its EXIF stands in tags of the file itself, which are not kept
        exif = Image.Exif()
        exif.load(image.info.get("exif"))
        if not len(exif):
            return b""
        exif.pop(_ORIENTATION, None)
        for tag in _SIZES:
            exif.get_ifd(_SUB_DIRECTORY).pop(tag, None)
        return exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else b""
    except Exception:  # a picture is not refused for what its camera wrote beside it
        return b""
