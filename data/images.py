"""Pictures from bytes and to bytes: strict, bounded, always uint8 height x width x 3 sRGB.

Reading never guesses: what is truncated, damaged, enormous or in a form that has no plain meaning is an
`ImageFault`, with the reason that will stand in the report. The EXIF rotation is applied.
"""

import dataclasses
import io
import warnings

import cv2
import fpng_py
import numpy as np
from PIL import Image, ImageCms

from data.records import Reason

FORMATS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "TIFF": "tiff", "BMP": "bmp"}
"""What is read: Pillow's name for a format and ours."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")

LARGEST_PX = 1 << 27
"""Pixels in the largest picture that is read (134 million: 11585 x 11585); more is taken for a bomb."""

JPEG_QUALITY = 95
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what sets the picture upright; 5 and above swap height and width."""
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"II*\0", b"MM\0*", b"BM")
"""What files of FORMATS begin with: one of these and no readable header means damage, not another kind of file."""
_LOSSY = {"jpeg", "webp"}
_BACKGROUNDS = {"black": (0, 0, 0, 255), "white": (255, 255, 255, 255)}
ALPHAS = ("refuse", *_BACKGROUNDS)
"""What may become of transparent pictures."""


class ImageFault(Exception):
    """A picture that is not read, with the reason and what was found."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What a picture's header says."""

    width: int
    """Pixels, after the EXIF rotation."""
    height: int
    """Pixels, after the EXIF rotation."""
    format: str
    """A value of `FORMATS`."""
    lossy: bool
    """Whether the format leaves artefacts (every JPEG; every WebP that is not known to be lossless)."""


def _open(content: bytes) -> Image.Image:
    """Open a picture without decoding its pixels, with every refusal an `ImageFault`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=list(FORMATS))
    except Image.DecompressionBombError as error:
        raise ImageFault(Reason.TOO_LARGE, str(error)) from None
    except Image.UnidentifiedImageError:
        if content.startswith(_SIGNATURES):
            raise ImageFault(Reason.UNREADABLE, "header: damaged or cut off") from None
        raise ImageFault(Reason.NOT_AN_IMAGE, f"no header of {', '.join(FORMATS.values())}") from None
    except Exception as error:
        raise ImageFault(Reason.UNREADABLE, f"header: {error}") from None
    if image.width * image.height > LARGEST_PX:
        found = f"{image.width}x{image.height} has more than {LARGEST_PX} pixels"
        raise ImageFault(Reason.TOO_LARGE, found)
    if getattr(image, "n_frames", 1) != 1:
        raise ImageFault(Reason.UNSUPPORTED, f"{image.n_frames} frames; one was expected")
    return image


def probe(content: bytes) -> ImageHeader:
    """Read a picture's header; its pixels are not decoded.

    Args:
        content: the stored bytes (the whole file, or at least its header).

    Raises:
        ImageFault: not an image, too large, or a damaged header.
    """
    image = _open(content)
    width, height = image.size
    if _orientation(image) >= 5:
        width, height = height, width
    name = FORMATS[image.format]
    return ImageHeader(width=width, height=height, format=name, lossy=name in _LOSSY)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, from what stands before the pixels.

    A PNG may carry EXIF behind its pixels too. That is not looked at: finding it would cost a whole decoding, and
    the index and the decoder have to agree on which side is up.
    """
    try:
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
    """Decode a picture.

    Args:
        content: the whole stored bytes.
        alpha: what becomes of a truly transparent picture: refuse, or black or white for what it is laid over.

    Returns:
        uint8, height x width x 3, sRGB. Grey, palette, CMYK and 16-bit pictures are converted; an embedded
        profile is applied; the EXIF rotation is applied.

    Raises:
        ImageFault: truncated, damaged, too large, more than one frame, or truly transparent and not to be composited.
    """
    image = _open(content)
    orientation = _orientation(image)
    try:
        image.load()
    except Exception as error:
        raise ImageFault(Reason.UNREADABLE, f"pixels: {error}") from None
    profile = image.info.get("icc_profile")
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    return np.asarray(_to_srgb(_opaque(image, alpha), profile))


def _from_deep_grey(image: Image.Image) -> np.ndarray:
    """Turn 16-bit grey into 8-bit RGB, rounded."""
    if not image.mode.startswith("I;16") and image.mode != "I":
        raise ImageFault(Reason.UNSUPPORTED, f"mode {image.mode}; whole numbers were expected")
    deep = np.asarray(image).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
        raise ImageFault(Reason.UNSUPPORTED, "grey values outside 0..65535")
    grey = ((deep + 128) // 257).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _opaque(image: Image.Image, alpha: str) -> Image.Image:
    """Drop an alpha channel that hides nothing; refuse one that does, or lay the picture over black or white."""
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


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(
                image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError) as error:
            raise ImageFault(Reason.UNSUPPORTED, f"colour profile: {error}") from None
    return image.convert("RGB")


def encode_png(picture: np.ndarray) -> bytes:
    """Encode uint8, height x width x 3, RGB as PNG: quickly (fpng), the same bytes every time."""
    height, width, channels = picture.shape
    return fpng_py.fpng_encode_image_to_memory(
        np.ascontiguousarray(picture).tobytes(), width, height, channels
    )


def encode_jpeg(picture: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """Encode uint8, height x width x 3, RGB as a 4:4:4 JPEG.

    Args:
        picture: the pixels.
        quality: 1 to 100, libjpeg's scale.
    """
    options = [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1].tobytes()
