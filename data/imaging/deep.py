"""Decode the pixels of 16-bit PNGs and TIFFs without rounding them."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from data.imaging.header import ImageFault, open_image
from data.imaging.tiff import read_layout
from data.records import RejectionReason

_ORIENTATION, _EXTRA_SAMPLES, _PREMULTIPLIED = 0x0112, 338, 1
_PNG_COLOR_AT, _PNG_GRAY_ALPHA = 25, 4
_STRIP_ROWS = 256


def decode_deep(image: ImageFile, content: bytes) -> npt.NDArray[np.uint16]:
    """Decode 16-bit pixels. Pillow is strict but has no 16-bit colors, so it checks the file and OpenCV decodes it.

    Args:
        image: from `open_image`.
        content: the whole stored bytes.

    Returns:
        uint16, height x width (gray), or height x width x 2 (gray, alpha), 3 (RGB) or 4 (RGBA), not premultiplied.

    Raises:
        ImageFault: a kind that is not read.
        Exception: Pillow finds damage.
    """
    pixels = _decode_gray(image, content) if image.mode.startswith("I") else _decode_colors(image, content)
    key = image.info.get("transparency")
    if isinstance(key, int) and pixels.ndim == 2:
        return np.dstack([pixels, np.where(pixels == key, 0, 65535).astype(np.uint16)])
    if isinstance(key, tuple) and pixels.shape[2:] == (3,):
        hidden = (pixels == np.array(key, np.uint16)).all(axis=2)
        return np.dstack([pixels, np.where(hidden, 0, 65535).astype(np.uint16)])
    return pixels


def _decode_gray(image: ImageFile, content: bytes) -> npt.NDArray[np.uint16]:
    image.load()
    stored = np.asarray(image)
    if stored.min() < 0 or stored.max() > 65535:
        raise ImageFault(RejectionReason.UNSUPPORTED, "gray values outside 0..65535")
    pixels = stored.astype(np.uint16)
    layout = read_layout(content) if isinstance(image, TiffImageFile) else None
    return 65535 - pixels if layout and layout.is_white_zero else pixels


def _decode_colors(image: ImageFile, content: bytes) -> npt.NDArray[np.uint16]:
    is_rotated = is_premultiplied = False
    if isinstance(image, TiffImageFile):
        is_rotated = image.getexif().get(_ORIENTATION, 1) != 1
        is_premultiplied = image.tag_v2.get(_EXTRA_SAMPLES, ())[:1] == (_PREMULTIPLIED,)
    open_image(content).load()  # a separate image: its pixels are freed before OpenCV allocates others
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        raise ImageFault(RejectionReason.UNSUPPORTED, "a kind of 16-bit pixels that is not read")
    pixels = np.asarray(decoded, np.uint16)
    if pixels.shape[:2] != image.size[::-1] and not is_rotated:
        raise ImageFault(RejectionReason.UNREADABLE, "pixels: another size than the header says")
    _convert_bgr_to_rgb(pixels, is_premultiplied)
    if isinstance(image, TiffImageFile) and image.mode == "RGB":
        pixels = pixels[:, :, :3]  # a fourth channel is not alpha
    if image.format == "PNG" and content[_PNG_COLOR_AT] == _PNG_GRAY_ALPHA:  # OpenCV repeats the gray channel
        pixels = np.ascontiguousarray(pixels[:, :, [0, 3]])
    return pixels


def _convert_bgr_to_rgb(pixels: npt.NDArray[np.uint16], is_premultiplied: bool) -> None:
    """Convert BGR or BGRA to RGB or RGBA, not premultiplied: in place, a few rows at a time."""
    for top in range(0, len(pixels), _STRIP_ROWS):
        strip = pixels[top : top + _STRIP_ROWS]
        strip[:, :, :3] = strip[:, :, 2::-1].copy()
        if is_premultiplied:
            alpha = strip[:, :, 3:].astype(np.uint32)
            colors = (strip[:, :, :3] * np.uint32(65535) + alpha // 2) // np.maximum(alpha, 1)
            strip[:, :, :3] = np.minimum(colors, 65535)


def round_to_8_bits(deep: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Round 16-bit values to 8 bits: 0 becomes 0, 65535 becomes 255."""
    rounded = np.empty(deep.shape, np.uint8)
    for top in range(0, len(deep), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        rounded[rows] = (deep[rows].astype(np.uint32) + 128) // 257
    return rounded


def composite(pixels: npt.NDArray[np.uint16], background: int | None) -> npt.NDArray[np.uint16]:
    """Return gray or RGB without alpha.

    Args:
        pixels: as `decode_deep` returns them.
        background: level to composite transparent pixels over, 0 or 65535; None to refuse them.

    Raises:
        ImageFault: transparent where the background is None.
    """
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    colors, alpha = pixels[:, :, :-1], pixels[:, :, -1:]
    lowest = (int(alpha.min()) + 128) // 257
    if lowest < 255 and background is None:
        detail = f"transparent (alpha down to {lowest}); only opaque images are read"
        raise ImageFault(RejectionReason.UNSUPPORTED, detail)
    if lowest < 255:
        share = alpha.astype(np.float32) / 65535
        mixed = np.rint(colors * share + np.float32(background or 0) * (1 - share))
        colors = np.clip(mixed, 0, 65535).astype(np.uint16)
    return colors[:, :, 0] if colors.shape[2] == 1 else colors
