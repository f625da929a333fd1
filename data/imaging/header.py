"""Open images: their header, format, size and orientation. `data.imaging.decode` reads their pixels.

Pillow reads every header. What Pillow does not know, or reads wrong, is recognized before and refused by name.
"""

import dataclasses
import io
import warnings

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from data.exhaustion import raise_if_exhausted
from data.imaging import jpeg, tiff
from data.imaging.foreign_content import describe_foreign_content
from data.imaging.image_warnings import warn
from data.imaging.png import read_raw_exif, split_large_texts
from data.imaging.webp import is_lossless_webp
from data.records import RejectionReason, WarningReason

FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp", "TIFF": "tiff", "BMP": "bmp"}
"""The formats that are read: Pillow's name and ours. MPO is a JPEG with previews behind it, as cameras write it."""
_OPENED = [name for name in FORMATS if name != "MPO"]
"""Pillow itself finds out which JPEG is an MPO."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""File name suffixes of images, in lower case."""

LARGEST_PX = 1 << 27
"""Pixels in the largest image that is read: 134 million, 11585 x 11585. A larger one may be a decompression bomb."""

_EXIF_ORIENTATION = 0x0112
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", *tiff.SIGNATURES)
"""The first bytes of files of FORMATS: if Pillow can't read the header behind them, the file is damaged."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD_BYTES = 1 << 16
"""Where a PNG's profile stands: before the palette and the pixels."""
_TOO_MUCH_TEXT = ("MAX_TEXT_CHUNK", "MAX_TEXT_MEMORY")
"""Parts of Pillow's messages about a PNG's texts and profile."""


class ImageFault(Exception):
    """An image can't be read.

    Args:
        reason: the reason for the report.
        detail: what was found, as text.
    """

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """The contents of an image's header."""

    width: int
    """In pixels, after the EXIF rotation."""
    height: int
    """In pixels, after the EXIF rotation."""
    format: str
    """A value of `FORMATS`."""
    lossy: bool
    """Whether the compression can leave artifacts: true for every JPEG, and for WebP that is not lossless."""


def open_image(content: bytes) -> ImageFile:
    """Open an image without decoding its pixels.

    Raises:
        ImageFault: not an image, too large, more than one frame, of a kind that is not read, or a damaged header.
    """
    if kind := _unread_kind(content):
        raise ImageFault(RejectionReason.UNSUPPORTED, f"{kind}; this kind is not read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = _open(content)
    except Image.DecompressionBombError as error:
        raise ImageFault(RejectionReason.TOO_LARGE, str(error)) from None
    except UnidentifiedImageError as error:
        raise_if_exhausted(error)
        raise _unidentified(content) from None
    except Exception as error:
        raise_if_exhausted(error)
        is_unread = str(error).startswith("Unsupported BMP")
        reason = RejectionReason.UNSUPPORTED if is_unread else RejectionReason.UNREADABLE
        raise ImageFault(reason, f"header: {error}") from None
    if image.width * image.height > LARGEST_PX:
        detail = f"{image.width}x{image.height} has more than {LARGEST_PX} pixels"
        raise ImageFault(RejectionReason.TOO_LARGE, detail)
    try:
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Exception as error:
        raise_if_exhausted(error)
        raise ImageFault(RejectionReason.UNREADABLE, f"header of a further frame: {error}") from None
    if frames != 1:
        raise ImageFault(RejectionReason.UNSUPPORTED, f"{frames} frames; only images with one frame are read")
    return image


def _open(content: bytes) -> ImageFile:
    """Open an image with Pillow. A PNG's texts and profile, too large or damaged, are no reason to refuse it."""
    try:
        return Image.open(io.BytesIO(content), formats=_OPENED)
    except ValueError as error:
        if not any(text in str(error) for text in _TOO_MUCH_TEXT):
            raise
        warn(
            WarningReason.LARGE_METADATA, "texts or a color profile of more than 1 MB; the texts are not read"
        )
    except UnidentifiedImageError:
        if not content.startswith(_PNG_SIGNATURE) or b"iCCP" not in content[:_HEAD_BYTES]:
            raise
    bare, profile = split_large_texts(content)
    image = Image.open(io.BytesIO(bare), formats=_OPENED)
    if profile is not None:
        image.info["icc_profile"] = profile or None  # None: damaged, as Pillow says it
    return image


def _unread_kind(content: bytes) -> str:
    """Say which kind an image is of that is not read; empty if it may be read, or is damaged, or no image."""
    if content.startswith(tiff.SIGNATURES):
        return tiff.unread_kind(content)
    return jpeg.unread_kind(content) if content.startswith(b"\xff\xd8\xff") else ""


def _unidentified(content: bytes) -> ImageFault:
    """Return the fault of a file that Pillow does not recognize."""
    layout = tiff.read_layout(content) if content.startswith(tiff.SIGNATURES) else None
    if layout:
        return ImageFault(RejectionReason.UNSUPPORTED, f"{layout}; this kind is not read")
    is_webp = content.startswith(b"RIFF") and content[8:12] in (b"", b"WEBP")
    if is_webp or content.startswith(_SIGNATURES):
        return ImageFault(RejectionReason.UNREADABLE, "header: damaged or cut off")
    return ImageFault(*describe_foreign_content(content))


def format_of(image: Image.Image) -> str:
    """Return the format of an image from `open_image`: a value of `FORMATS`."""
    return FORMATS[image.format or ""]


def probe(content: bytes) -> ImageHeader:
    """Read an image's header without decoding its pixels.

    Args:
        content: the stored bytes: the whole file, or at least its header.

    Raises:
        ImageFault: not an image, too large, more than one frame, or a damaged header.
    """
    image = open_image(content)
    width, height = image.size
    if read_orientation(image) >= 5:
        width, height = height, width
    name = format_of(image)
    is_lossy = name == "jpeg" or (name == "webp" and not is_lossless_webp(content))
    return ImageHeader(width=width, height=height, format=name, lossy=is_lossy)


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, as stored before the pixels; 1 for a TIFF, which Pillow rotates itself.

    A PNG may have EXIF data behind its pixels too. It is ignored: finding it would take a whole decoding, and the index
    and the decoder must agree on the orientation.

    Raises:
        ImageFault: the EXIF data is damaged.
    """
    try:
        if image.format == "TIFF":
            return 1
        if image.format == "PNG":
            exif = Image.Exif()
            exif.load(image.info.get("exif") or read_raw_exif(image.info))
        else:
            exif = image.getexif()
        orientation = exif.get(_EXIF_ORIENTATION, 1)
    except Exception as error:
        raise_if_exhausted(error)
        raise ImageFault(RejectionReason.UNREADABLE, f"EXIF: {error}") from None
    return orientation if orientation in range(1, 9) else 1
