"""Decode the formats that are read for upscaling only: GIF, AVIF, HEIC, JPEG XL, JPEG 2000, QOI, TGA, DDS and PPM.

Nothing is guessed here either: what cannot be read without a loss (more bits than the reader gives, several frames) is
refused by name. HEIC and JPEG XL need the packages of the extra `formats`.
"""

import importlib.util
import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import SUFFIXES, apply_orientation
from data.imaging.foreign_content import image_format
from data.imaging.header import LARGEST_PX, ImageFault, read_orientation
from data.imaging.image_warnings import warn
from data.imaging.jxl import read_jxl_header
from data.imaging.original import OriginalImage, read_exif
from data.records import RejectionReason, WarningReason

_PILLOW = {
    "GIF": ("GIF", ".gif"),
    "AVIF": ("AVIF", ".avif"),
    "JPEG XL": ("JXL", ".jxl"),
    "JPEG 2000": ("JPEG2000", ".jp2 .j2k .jpf .jpx .j2c"),
    "QOI": ("QOI", ".qoi"),
    "DDS": ("DDS", ".dds"),
    "TGA": ("TGA", ".tga"),
    "PPM": ("PPM", ".ppm .pgm .pbm .pnm"),
}
"""By the name of a format: Pillow's name, and its suffixes."""
_HEIF_SUFFIXES = ".heic .heif .hif"
_NEEDED = {"HEIC": "pillow_heif", "HEIF": "pillow_heif", "JPEG XL": "pillow_jxl"}
"""By the name of a format: the module that reads it."""
OPTIONAL_KINDS = tuple(_NEEDED)
"""Formats that cannot be read everywhere."""
UPSCALED_SUFFIXES = frozenset(
    (
        *SUFFIXES,
        *[".jfif", ".jpe", ".jif", ".apng"],
        *_HEIF_SUFFIXES.split(),
        *(suffix for _, suffixes in _PILLOW.values() for suffix in suffixes.split()),
    )
)
"""File name suffixes of images that are upscaled, in lower case."""
_BY_SUFFIX = {suffix: name for name in ("TGA", "PPM") for suffix in _PILLOW[name][1].split()}
"""Formats without a signature that is safe to tell them by."""
_SEQUENCES = (b"avis", b"hevc", b"hevx", b"msf1")
"""Brands of files that hold a sequence of images."""


def kind_of(content: bytes, suffix: str) -> str:
    """Return the name of an image's format if it is one of this module's; empty if it is not.

    Args:
        content: the whole file.
        suffix: of its name, in lower case.
    """
    name = image_format(content)
    if not name and content.startswith(b"\xff\x0a"):
        name = "JPEG XL"
    if not name:
        name = _BY_SUFFIX.get(suffix, "")
    return name if name in _PILLOW or name in _NEEDED else ""


def missing_reader(kind: str) -> str:
    """Return why images of a format cannot be read here, and what to do; empty if they can."""
    if kind not in _NEEDED or importlib.util.find_spec(_NEEDED[kind]):
        return ""
    return (
        f"{kind} needs {_NEEDED[kind].replace('_', '-')}; run pip install 'super-resolution-factory[formats]'"
    )


def decode_other(content: bytes, kind: str) -> OriginalImage:
    """Decode an image of one frame, as it is stored.

    Args:
        content: the whole stored bytes.
        kind: what `kind_of` returned.

    Raises:
        ImageFault: damaged, too large, or of a kind that is not read.
    """
    if problem := missing_reader(kind):
        raise ImageFault(RejectionReason.UNSUPPORTED, problem)
    try:
        pixels, image, orientation = (
            _decode_heif(content) if kind in ("HEIC", "HEIF") else _decode(content, kind)
        )
    except ImageFault:
        raise
    except Image.DecompressionBombError as error:
        raise ImageFault(RejectionReason.TOO_LARGE, str(error)) from None
    except BaseException as error:  # a panic in Rust code is not an Exception
        raise_if_exhausted(error)
        raise ImageFault(RejectionReason.UNREADABLE, f"{kind}: {error}") from None
    pixels = apply_orientation(pixels, orientation)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    channels = pixels.shape[2] - 1 + pixels.shape[2] % 2
    alpha = None if channels == pixels.shape[2] else pixels[:, :, channels]
    icc = image.info.get("icc_profile") or b""
    chunks = () if icc else _color_chunks(content)
    return OriginalImage(pixels[:, :, :channels], alpha, icc, read_exif(image), chunks)


def open_other(content: bytes, kind: str) -> Any:
    """Open an image with Pillow without decoding its pixels.

    Raises:
        ImageFault: too large, or of a kind that is not read.
        Exception: damaged.
    """
    if kind == "JPEG XL":
        import pillow_jxl  # noqa: F401  # registers the format

        header = read_jxl_header(content)  # Pillow's reader decodes everything at once
        _check_size(header.width, header.height)
        if header.is_animation:
            raise _unread("an animated JPEG XL; convert it to WebP or APNG")
        if header.is_float or header.bits > 8:
            raise _unread(f"a JPEG XL of {header.bits} bits per channel; convert it to a PNG of 16 bits")
    if kind == "JPEG 2000" and (bits := _jpeg_2000_bits(content)) > 8:
        raise _unread(f"a JPEG 2000 of {bits} bits per channel; convert it to a PNG of 16 bits")
    image = Image.open(io.BytesIO(content), formats=[_PILLOW[kind][0]])
    _check_size(image.width, image.height)
    return image


def _decode(content: bytes, kind: str) -> tuple[npt.NDArray[Any], Image.Image, int]:
    """Decode a still image with Pillow: its pixels, the opened image, and its EXIF orientation."""
    image = open_other(content, kind)
    if image.mode.startswith(("I", "F")) or (kind == "PPM" and _is_deep_ppm(content)):
        raise _unread(f"a {kind} of more than 8 bits per channel; convert it to a PNG of 16 bits")
    if image.mode == "CMYK":
        raise _unread(f"a {kind} of inks (CMYK); convert it to RGB")
    if kind == "AVIF":
        warn_of_deep_avif(content)
    image.load()
    is_upright = kind == "JPEG XL" and not image.jpeg  # libjxl rotates, but not what it stored as a JPEG
    return np.array(to_stored_mode(image)), image, 1 if is_upright else read_orientation(image)


def to_stored_mode(image: Image.Image) -> Image.Image:
    """Convert a decoded image of 8 bits to gray, gray and alpha, RGB or RGBA, whichever holds it."""
    has_alpha = "transparency" in image.info or image.mode in ("RGBA", "PA", "LA", "RGBa", "La")
    is_gray = image.mode in ("1", "L", "LA", "La")
    mode = ("LA" if is_gray else "RGBA") if has_alpha else ("L" if is_gray else "RGB")
    return image if image.mode == mode else image.convert(mode)


def _decode_heif(content: bytes) -> tuple[npt.NDArray[Any], Image.Image, int]:
    """Decode the primary image of a HEIF file; libheif has rotated it."""
    import pillow_heif

    if content[8:12] in _SEQUENCES:
        raise _unread("a sequence of HEIF images; convert it to a video")
    heif = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
    _check_size(*heif.size)
    pixels = np.asarray(heif)
    if pixels.dtype == np.uint16:
        bits = heif.info["bit_depth"]  # stored in the highest bits
        pixels = np.rint((pixels >> (16 - bits)) * (65535.0 / ((1 << bits) - 1))).astype(np.uint16)
    described = Image.new("L", (1, 1))
    described.info |= {name: heif.info.get(name) for name in ("icc_profile", "exif")}
    return pixels, described, 1


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST_PX:
        raise ImageFault(RejectionReason.TOO_LARGE, f"{width}x{height} has more than {LARGEST_PX} pixels")


def _unread(what: str) -> ImageFault:
    return ImageFault(RejectionReason.UNSUPPORTED, what)


def _jpeg_2000_bits(content: bytes) -> int:
    """Return the bits per channel that the codestream's SIZ marker gives. Source: ISO/IEC 15444-1, A.5.1."""
    at = content.find(b"\xff\x4f\xff\x51")
    return 1 + (content[at + 42] & 0x7F) if 0 <= at < len(content) - 42 else 0


def _is_deep_ppm(content: bytes) -> bool:
    """Return whether a PPM's largest value, the fourth word of its header, takes more than 8 bits."""
    lines = [line.partition(b"#")[0] for line in content[:1000].split(b"\n")]
    words = b" ".join(lines).split()[:4]
    return (
        len(words) == 4
        and words[0] in (b"P2", b"P3", b"P5", b"P6")
        and words[3].isdigit()
        and int(words[3]) > 255
    )


def warn_of_deep_avif(content: bytes) -> None:
    """Give a warning if an AVIF has more than 8 bits per channel, which Pillow rounds.

    Source: AV1 Codec ISO Media File Format Binding, 2.3 (av1C).
    """
    at = content.find(b"av1C")
    flags = content[at + 6] if 0 <= at < len(content) - 6 else 0
    if flags & 0x40:
        bits = 12 if flags & 0x20 else 10
        warn(WarningReason.FEWER_BITS, f"an AVIF of {bits} bits per channel, read as 8")


def _color_chunks(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return a PNG chunk with the colors that an AVIF or HEIF gives by numbers, unless they are sRGB's or not given.

    Source: ISO/IEC 23008-12, 6.5.5 (colr); PNG specification, third edition, 11.3.2.6 (cICP).
    """
    at = content.find(b"colrnclx")
    if content[4:8] != b"ftyp" or not 0 <= at < len(content) - 14:
        return ()
    primaries, transfer = struct.unpack_from(">HH", content, at + 8)
    if primaries in (1, 2) and transfer in (1, 2, 6, 13):
        return ()
    return ((b"cICP", bytes([primaries & 255, transfer & 255, 0, 1])),)
