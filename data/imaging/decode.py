"""Decode images strictly: always uint8, height x width x 3, sRGB, upright. `data.imaging.encode` writes images.

Nothing is guessed: an image that is truncated, damaged, enormous or ambiguous raises `ImageFault` with the reason that
the report will show.

Pillow reads every header, and the pixels of all but the two common kinds: opaque RGB as PNG and as JPEG. Those are
decoded by kornia-rs, which is as strict (tests and `make bench` compare both with Pillow) and several times faster.
"""

import dataclasses
import functools
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import cv2
import kornia_rs
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from data.records import RejectionReason

FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp", "TIFF": "tiff", "BMP": "bmp"}
"""The formats that are read: Pillow's name and ours. MPO is a JPEG with previews behind it, as cameras write it."""
_OPENED = [name for name in FORMATS if name != "MPO"]
"""Pillow itself finds out which JPEG is an MPO."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""File name suffixes of images, in lower case."""

LARGEST_PX = 1 << 27
"""Pixels in the largest image that is read: 134 million, 11585 x 11585. A larger one may be a decompression bomb."""

_EXIF_ORIENTATION = 0x0112
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
_LATTICE_SIDE = 9
_STRIP_ROWS = 256
"""Some conversions need several times the memory of the image: they process this many rows at a time."""
_SHAREABLE = ImageCms.Flags.NOCACHE
"""For LittleCMS: without its one-pixel cache, several threads can use a transform at once."""
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"II*\0", b"MM\0*", b"BM")
"""The first bytes of files of FORMATS: if Pillow can't read the header behind them, the file is damaged."""
_LOSSY = {"jpeg", "webp"}
_BACKGROUNDS = {"black": (0, 0, 0, 255), "white": (255, 255, 255, 255)}
ALPHAS = ("refuse", *_BACKGROUNDS)
"""How transparent images can be handled: refused, or composited over a background."""


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
    """Whether the format can leave compression artifacts: true for every JPEG and WebP."""


def open_image(content: bytes) -> ImageFile:
    """Open an image without decoding its pixels.

    Raises:
        ImageFault: not an image, too large, more than one frame, or a damaged header.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=_OPENED)
    except Image.DecompressionBombError as error:
        raise ImageFault(RejectionReason.TOO_LARGE, str(error)) from None
    except UnidentifiedImageError:
        if content.startswith(_SIGNATURES):
            raise ImageFault(RejectionReason.UNREADABLE, "header: damaged or cut off") from None
        detail = f"no header of {', '.join(dict.fromkeys(FORMATS.values()))}"
        raise ImageFault(RejectionReason.NOT_AN_IMAGE, detail) from None
    except Exception as error:
        raise ImageFault(RejectionReason.UNREADABLE, f"header: {error}") from None
    if image.width * image.height > LARGEST_PX:
        detail = f"{image.width}x{image.height} has more than {LARGEST_PX} pixels"
        raise ImageFault(RejectionReason.TOO_LARGE, detail)
    try:
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Exception as error:
        raise ImageFault(RejectionReason.UNREADABLE, f"header of a further frame: {error}") from None
    if frames != 1:
        raise ImageFault(RejectionReason.UNSUPPORTED, f"{frames} frames; only images with one frame are read")
    return image


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
    return ImageHeader(width=width, height=height, format=name, lossy=name in _LOSSY)


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
            exif.load(image.info.get("exif") or b"")
        else:
            exif = image.getexif()
        orientation = exif.get(_EXIF_ORIENTATION, 1)
    except Exception as error:
        raise ImageFault(RejectionReason.UNREADABLE, f"EXIF: {error}") from None
    return orientation if orientation in _ROTATIONS else 1


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
    fast_kind = _fast_kind(image)
    if fast_kind:
        return apply_orientation(_to_srgb(_decode_fast(content, image, fast_kind), profile), orientation)
    try:
        image.load()
    except Exception as error:
        raise ImageFault(RejectionReason.UNREADABLE, f"pixels: {error}") from None
    if image.mode.startswith(("I", "F")):
        return apply_orientation(_decode_deep_gray(image, alpha), orientation)
    return apply_orientation(_to_srgb(_make_opaque(image, alpha), profile), orientation)


def _fast_kind(image: ImageFile) -> str:
    """Return the kornia-rs decoder for an opened image: jpeg, png or png16; empty if only Pillow can decode it."""
    if image.mode != "RGB" or "transparency" in image.info:
        return ""
    if format_of(image) == "jpeg":
        return "jpeg"
    raw_mode = image.tile[0].args if image.format == "PNG" and image.tile else ""
    return {"RGB": "png", "RGB;16B": "png16"}.get(str(raw_mode), "")


def _decode_fast(content: bytes, image: Image.Image, kind: str) -> npt.NDArray[np.uint8]:
    """Decode opaque RGB: uint8, height x width x 3, as stored (neither rotated nor color-managed)."""
    shape = (image.height, image.width)
    pixels: npt.NDArray[np.uint8]
    try:
        if kind == "jpeg":
            pixels = kornia_rs.io.decode_image_jpegturbo(content, "rgb")
        elif kind == "png":
            pixels = kornia_rs.io.decode_image_png_u8(content, shape, "rgb")
        else:
            pixels = _round_to_8_bits(kornia_rs.io.decode_image_png_u16(content, shape, "rgb"))
        return pixels
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust code is not an Exception
        raise ImageFault(RejectionReason.UNREADABLE, f"pixels: {error}") from None


def apply_orientation(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn an image upright.

    Args:
        image: height x width, with or without channels.
        orientation: EXIF orientation, 1 to 8.
    """
    return _ROTATIONS[orientation](image) if orientation in _ROTATIONS else image


def _round_to_8_bits(deep: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Round 16-bit values to 8 bits: 0 becomes 0, 65535 becomes 255."""
    rounded = np.empty(deep.shape, np.uint8)
    for rows in _strips(deep):
        rounded[rows] = (deep[rows].astype(np.uint32) + 128) // 257
    return rounded


def _strips(image: npt.NDArray[Any]) -> Iterator[slice]:
    """Yield slices that cover the rows of an image, `_STRIP_ROWS` at a time."""
    for top in range(0, len(image), _STRIP_ROWS):
        yield slice(top, top + _STRIP_ROWS)


def _decode_deep_gray(image: Image.Image, alpha: str) -> npt.NDArray[np.uint8]:
    """Convert 16-bit gray to 8-bit RGB; one gray level may mean transparent."""
    if not image.mode.startswith("I;16") and image.mode != "I":
        raise ImageFault(RejectionReason.UNSUPPORTED, f"mode {image.mode}; only integer pixels are read")
    deep = np.asarray(image).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
        raise ImageFault(RejectionReason.UNSUPPORTED, "gray values outside 0..65535")
    hidden = deep == image.info.get("transparency", -1)
    if hidden.any() and alpha not in _BACKGROUNDS:
        raise ImageFault(
            RejectionReason.UNSUPPORTED, "transparent (one gray level); only opaque images are read"
        )
    deep[hidden] = 65535 if alpha == "white" else 0
    return np.repeat(_round_to_8_bits(deep)[:, :, None], 3, axis=2)


def _make_opaque(image: Image.Image, alpha: str) -> Image.Image:
    """Drop an alpha channel that is opaque everywhere; otherwise refuse the image or composite it over a background."""
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        lowest = cast(int, image.getchannel("A").getextrema()[0])
        if lowest < 255 and alpha in _BACKGROUNDS:
            background = Image.new("RGBA", image.size, _BACKGROUNDS[alpha])
            return Image.alpha_composite(background, image).convert("RGB")
        if lowest < 255:
            detail = f"transparent (alpha down to {lowest}); only opaque images are read"
            raise ImageFault(RejectionReason.UNSUPPORTED, detail)
        return image.convert("RGB")
    return image


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a profile to sRGB; None if the profile is sRGB already.

    Most photographs have one of many sRGB profiles. They are recognized by their effect: a profile that changes no
    color of a lattice by more than one level is not applied, which is faster and changes no pixel.

    Raises:
        ImageFault: the profile is damaged, or is for another kind of image.
    """
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            embedded, ImageCms.createProfile("sRGB"), mode, "RGB", flags=_SHAREABLE
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageFault(RejectionReason.UNSUPPORTED, f"color profile: {error}") from None
    if mode != "RGB":
        return transform
    levels = np.linspace(0, 255, _LATTICE_SIDE).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(_LATTICE_SIDE, -1, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(lattice), transform))
    is_srgb = np.abs(moved.astype(int) - lattice).max() <= 1
    return None if is_srgb else transform


def _to_srgb(image: Image.Image | npt.NDArray[np.uint8], profile: bytes | None) -> npt.NDArray[np.uint8]:
    """Return an opaque image as uint8, height x width x 3, sRGB. An array is converted in place."""
    mode = "RGB" if isinstance(image, np.ndarray) else image.mode
    transform = _transform(profile, mode) if profile and mode in ("RGB", "CMYK") else None
    if isinstance(image, Image.Image):
        return np.asarray(ImageCms.applyTransform(image, transform) if transform else image.convert("RGB"))
    if transform:
        for rows in _strips(image):
            image[rows] = np.asarray(ImageCms.applyTransform(Image.fromarray(image[rows]), transform))
    return image
