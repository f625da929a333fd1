"""Read animated images frame by frame: GIF, APNG, WebP and AVIF. Each frame is the whole image, as it is shown.

Pillow composites what a file stores as the difference from the frame before, and applies its disposal.
"""

import dataclasses
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import apply_orientation
from data.imaging.foreign_content import image_format
from data.imaging.header import LARGEST_PX, ImageFault, read_orientation
from data.imaging.original import OriginalImage, read_exif
from data.imaging.other_formats import warn_of_deep_avif
from data.imaging.png import check_chunks
from data.imaging.webp import is_animated_webp, is_lossless_webp
from data.records import RejectionReason

_PILLOW = {"GIF": "GIF", "PNG": "PNG", "WebP": "WEBP", "AVIF": "AVIF"}
"""Formats of animations: our names and Pillow's."""


@dataclasses.dataclass(frozen=True)
class Animation:
    """An animated image."""

    format: str
    """GIF, PNG, WebP or AVIF."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    frame_count: int
    """With the default image of an APNG."""
    plays: int
    """How often it is played; 0: without end."""
    has_default_image: bool
    """Whether the first frame is only for programs that do not know APNG."""
    is_lossless: bool
    content: bytes
    """The whole file."""

    def frames(self) -> Iterator[tuple[OriginalImage, float]]:
        """Yield each frame with its duration in ms.

        Raises:
            ImageFault: a frame is damaged or missing.
        """
        image, number = _open(self.content, self.format), 0
        orientation = read_orientation(image)
        try:
            for number in range(self.frame_count):
                image.seek(number)
                image.load()
                pixels = apply_orientation(np.array(image.convert("RGBA")), orientation)
                alpha = pixels[:, :, 3] if pixels[:, :, 3].min() < 255 else None
                icc = image.info.get("icc_profile") or b""
                yield (
                    OriginalImage(pixels[:, :, :3], alpha, icc, read_exif(image)),
                    image.info.get("duration") or 0,
                )
        except (ImageFault, GeneratorExit):
            raise
        except BaseException as error:
            raise_if_exhausted(error, self.width * self.height)
            detail = f"frame {number + 1} of {self.frame_count}: {error}"
            raise ImageFault(RejectionReason.UNREADABLE, detail) from None


def open_animation(content: bytes) -> Animation | None:
    """Open an animated image; return None for one that is no animation.

    Raises:
        ImageFault: it is damaged or too large, or has 16 bits per channel.
    """
    name = image_format(content)
    if not _may_be_animated(content, name):
        return None
    try:
        image = _open(content, name)
        count, is_whole = _count(image), name != "GIF" or _ends_whole(content)
        if name == "PNG":
            check_chunks(content)
    except ImageFault:
        raise
    except Image.DecompressionBombError as error:
        raise ImageFault(RejectionReason.TOO_LARGE, str(error)) from None
    except BaseException as error:
        raise_if_exhausted(error)
        raise ImageFault(RejectionReason.UNREADABLE, f"{name}: {error}") from None
    if not is_whole:
        raise ImageFault(RejectionReason.UNREADABLE, f"a GIF that is cut off at frame {count}")
    if count == 1:
        return None
    if image.width * image.height > LARGEST_PX:
        raise ImageFault(
            RejectionReason.TOO_LARGE, f"{image.width}x{image.height} has more than {LARGEST_PX} pixels"
        )
    if name == "PNG" and content[24] == 16:
        raise ImageFault(
            RejectionReason.UNSUPPORTED, f"an animated PNG of 16 bits per channel ({count} frames)"
        )
    if name == "AVIF":
        warn_of_deep_avif(content)
    upright = image.size[::-1] if read_orientation(image) >= 5 else image.size
    has_default = bool(image.info.get("default_image"))
    is_lossless = name in ("GIF", "PNG") or (name == "WebP" and is_lossless_webp(content))
    return Animation(name, *upright, count, _plays(image), has_default, is_lossless, content)


def _may_be_animated(content: bytes, name: str) -> bool:
    if name == "PNG":
        return -1 < content.find(b"acTL") < content.find(b"IDAT")
    return is_animated_webp(content) if name == "WebP" else name in ("GIF", "AVIF")


def _open(content: bytes, name: str) -> ImageFile:
    return Image.open(io.BytesIO(content), formats=[_PILLOW[name]])


def _count(image: ImageFile) -> int:
    return int(getattr(image, "n_frames", 1))


def _plays(image: ImageFile) -> int:
    """Return how often an animation is played. A GIF gives how often it is repeated, or nothing for once."""
    if image.format == "GIF":
        repeats = image.info.get("loop")
        return 1 if repeats is None else repeats + 1 if repeats else 0
    return int(image.info.get("loop") or 0)


def _ends_whole(content: bytes) -> bool:
    """Return whether a GIF ends between two of its blocks: Pillow counts only the frames that are there.

    Source: GIF89a, sections 18 to 27.
    """
    flags = content[10]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    try:
        while at < len(content) and content[at] != 0x3B:
            if content[at] == 0x2C:  # an image: its descriptor, colors and code size
                flags = content[at + 9]
                at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            else:  # an extension
                at += 2
            while size := content[at]:
                at += 1 + size
            at += 1
    except IndexError:
        return False
    return at <= len(content)
