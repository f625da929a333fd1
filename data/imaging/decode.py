"""Images from bytes: strict, bounded, always uint8 height x width x 3 sRGB. Writing is `data.imaging.encode`'.

Reading never guesses: what is truncated, damaged, enormous or in a form that has no plain meaning is an
`ImageFault`, with the reason that will stand in the report. The EXIF rotation is applied.

Pillow reads every header, and the pixels of all but the two common forms: opaque RGB as PNG and as JPEG. Those are
decoded by kornia-rs, which is as strict (`make bench` and the tests hold both against Pillow) and several times faster.
"""

import dataclasses
import functools
import io
import warnings
from collections.abc import Callable, Iterator

import cv2
import kornia_rs
import numpy as np
from PIL import Image, ImageCms

from data.records import Reason

FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp", "TIFF": "tiff", "BMP": "bmp"}
"""What is read: Pillow's name for a format and ours. MPO is what cameras write: a JPEG with previews behind it."""
_OPENED = [name for name in FORMATS if name != "MPO"]
"""Pillow finds out by itself which JPEG is an MPO."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")

LARGEST_PX = 1 << 27
"""Pixels in the largest image that is read (134 million: 11585 x 11585); more is taken for a bomb."""

_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""EXIF orientation to what sets the image upright; 5 and above swap height and width."""
_LATTICE_SIDE = 9
_STRIP_ROWS = 256
_SHAREABLE = ImageCms.Flags.NOCACHE
"""LittleCMS: without its cache of one pixel a transform may be used by several threads at once."""
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"II*\0", b"MM\0*", b"BM")
"""What files of FORMATS begin with: one of these and no readable header means damage, not another kind of file."""
_LOSSY = {"jpeg", "webp"}
_BACKGROUNDS = {"black": (0, 0, 0, 255), "white": (255, 255, 255, 255)}
ALPHAS = ("refuse", *_BACKGROUNDS)
"""What may become of transparent images."""


class ImageFault(Exception):
    """An image that is not read, with the reason and what was found."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What an image's header says."""

    width: int
    """Pixels, after the EXIF rotation."""
    height: int
    """Pixels, after the EXIF rotation."""
    format: str
    """A value of `FORMATS`."""
    lossy: bool
    """Whether the format leaves artifacts (every JPEG; every WebP that is not known to be lossless)."""


def open_image(content: bytes) -> Image.Image:
    """Open an image without decoding its pixels, with every refusal an `ImageFault`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=_OPENED)
    except Image.DecompressionBombError as error:
        raise ImageFault(Reason.TOO_LARGE, str(error)) from None
    except Image.UnidentifiedImageError:
        if content.startswith(_SIGNATURES):
            raise ImageFault(Reason.UNREADABLE, "header: damaged or cut off") from None
        raise ImageFault(
            Reason.NOT_AN_IMAGE, f"no header of {', '.join(dict.fromkeys(FORMATS.values()))}"
        ) from None
    except Exception as error:
        raise ImageFault(Reason.UNREADABLE, f"header: {error}") from None
    if image.width * image.height > LARGEST_PX:
        found = f"{image.width}x{image.height} has more than {LARGEST_PX} pixels"
        raise ImageFault(Reason.TOO_LARGE, found)
    try:
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Exception as error:
        raise ImageFault(Reason.UNREADABLE, f"header of a further frame: {error}") from None
    if frames != 1:
        raise ImageFault(Reason.UNSUPPORTED, f"{frames} frames; one was expected")
    return image


def probe(content: bytes) -> ImageHeader:
    """Read an image's header; its pixels are not decoded.

    Args:
        content: the stored bytes (the whole file, or at least its header).

    Raises:
        ImageFault: not an image, too large, or a damaged header.
    """
    image = open_image(content)
    width, height = image.size
    if orientation_of(image) >= 5:
        width, height = height, width
    name = FORMATS[image.format]
    return ImageHeader(width=width, height=height, format=name, lossy=name in _LOSSY)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, from what stands before the pixels; 1 where Pillow turns the image itself.

    A PNG may carry EXIF behind its pixels too. That is not looked at: finding it would cost a whole decoding, and
    the index and the decoder have to agree on which side is up.
    """
    try:
        if image.format == "TIFF":
            return 1
        if image.format == "PNG":
            exif = Image.Exif()
            exif.load(image.info.get("exif"))
        else:
            exif = image.getexif()
        orientation = exif.get(_EXIF_ORIENTATION, 1)
    except Exception as error:
        raise ImageFault(Reason.UNREADABLE, f"EXIF: {error}") from None
    return orientation if orientation in _UPRIGHT else 1


def decode(content: bytes, alpha: str = "refuse") -> np.ndarray:
    """Decode an image.

    Args:
        content: the whole stored bytes.
        alpha: what becomes of a truly transparent image: refuse, or black or white for what it is laid over.

    Returns:
        uint8, height x width x 3, sRGB. Gray, palette, CMYK and 16-bit images are converted (16 bits are rounded
        to 8); an embedded profile is applied; the EXIF rotation is applied.

    Raises:
        ImageFault: truncated, damaged, too large, more than one frame, or truly transparent and not to be composited.
    """
    image = open_image(content)
    orientation = orientation_of(image)
    profile = image.info.get("icc_profile")
    form = _fast_form(image)
    if form:
        return upright(_to_srgb(_decode_fast(content, image, form), profile), orientation)
    try:
        image.load()
    except Exception as error:
        raise ImageFault(Reason.UNREADABLE, f"pixels: {error}") from None
    if image.mode.startswith(("I", "F")):
        return upright(_from_deep_gray(image, alpha), orientation)
    return upright(_to_srgb(_opaque(image, alpha), profile), orientation)


def _fast_form(image: Image.Image) -> str:
    """Return how kornia-rs would read an opened image: jpeg, png or deep-png; empty where Pillow has to."""
    if image.mode != "RGB" or "transparency" in image.info:
        return ""
    if FORMATS[image.format] == "jpeg":
        return "jpeg"
    raw_mode = image.tile[0].args if image.format == "PNG" and image.tile else ""
    return {"RGB": "png", "RGB;16B": "deep-png"}.get(raw_mode, "")


def _decode_fast(content: bytes, image: Image.Image, form: str) -> np.ndarray:
    """Decode opaque RGB: uint8, height x width x 3, as stored (neither turned nor color-managed)."""
    shape = (image.height, image.width)
    try:
        if form == "jpeg":
            return kornia_rs.io.decode_image_jpegturbo(content, "rgb")
        if form == "png":
            return kornia_rs.io.decode_image_png_u8(content, shape, "rgb")
        return _from_deep(kornia_rs.io.decode_image_png_u16(content, shape, "rgb"))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the Rust code is no Exception
        raise ImageFault(Reason.UNREADABLE, f"pixels: {error}") from None


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Set an image upright."""
    return _UPRIGHT[orientation](image) if orientation in _UPRIGHT else image


def _from_deep(deep: np.ndarray) -> np.ndarray:
    """Round 16-bit values to 8 bits: 0 to 65535 becomes 0 to 255, the ends exactly."""
    rounded = np.empty(deep.shape, np.uint8)
    for rows in _strips(deep):
        rounded[rows] = (deep[rows].astype(np.uint32) + 128) // 257
    return rounded


def _strips(image: np.ndarray) -> Iterator[slice]:
    """Yield the rows of an image a few at a time, for what needs several times the memory of what it works on."""
    for top in range(0, len(image), _STRIP_ROWS):
        yield slice(top, top + _STRIP_ROWS)


def _from_deep_gray(image: Image.Image, alpha: str) -> np.ndarray:
    """Turn 16-bit gray into 8-bit RGB, rounded; one level of it may stand for transparent."""
    if not image.mode.startswith("I;16") and image.mode != "I":
        raise ImageFault(Reason.UNSUPPORTED, f"mode {image.mode}; whole numbers were expected")
    deep = np.asarray(image).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
        raise ImageFault(Reason.UNSUPPORTED, "gray values outside 0..65535")
    hidden = deep == image.info.get("transparency", -1)
    if hidden.any() and alpha not in _BACKGROUNDS:
        raise ImageFault(Reason.UNSUPPORTED, "transparent (one gray level); opaque was expected")
    deep[hidden] = 65535 if alpha == "white" else 0
    return np.repeat(_from_deep(deep)[:, :, None], 3, axis=2)


def _opaque(image: Image.Image, alpha: str) -> Image.Image:
    """Drop an alpha channel that hides nothing; refuse one that does, or lay the image over black or white."""
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        lowest = image.getchannel("A").getextrema()[0]
        if lowest < 255 and alpha in _BACKGROUNDS:
            background = Image.new("RGBA", image.size, _BACKGROUNDS[alpha])
            return Image.alpha_composite(background, image).convert("RGB")
        if lowest < 255:
            raise ImageFault(Reason.UNSUPPORTED, f"transparent (alpha down to {lowest}); opaque was expected")
        return image.convert("RGB")
    return image


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a profile to sRGB; None where it is sRGB already.

    Most photographs carry the profile of sRGB itself, in one of many wordings. It is known by what it does: a profile
    that moves no color of a lattice by more than one level is left alone, which is faster and moves no pixel.

    Raises:
        ImageFault: the profile does not read, or is one for another kind of image.
    """
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            embedded, ImageCms.createProfile("sRGB"), mode, "RGB", flags=_SHAREABLE
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageFault(Reason.UNSUPPORTED, f"color profile: {error}") from None
    if mode != "RGB":
        return transform
    levels = np.linspace(0, 255, _LATTICE_SIDE).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(_LATTICE_SIDE, -1, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(lattice), transform))
    is_srgb = np.abs(moved.astype(int) - lattice).max() <= 1
    return None if is_srgb else transform


def _to_srgb(image: Image.Image | np.ndarray, profile: bytes | None) -> np.ndarray:
    """Return an opaque image as uint8, height x width x 3, sRGB."""
    mode = "RGB" if isinstance(image, np.ndarray) else image.mode
    transform = _transform(profile, mode) if profile and mode in ("RGB", "CMYK") else None
    if transform:
        if isinstance(image, Image.Image):
            return np.asarray(ImageCms.applyTransform(image, transform))
        for rows in _strips(image):
            image[rows] = ImageCms.applyTransform(Image.fromarray(image[rows]), transform)
        return image
    return image if isinstance(image, np.ndarray) else np.asarray(image.convert("RGB"))
