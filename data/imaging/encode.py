"""Encode images as PNG (at three efforts) or JPEG. Equal pixels give equal bytes. `data.imaging.decode` reads images.

The library of each effort was chosen by measurement: `make bench` prints its time and size beside Pillow's.
"""

from collections.abc import Callable

import cv2
import fpng_py
import numpy as np
import numpy.typing as npt

JPEG_QUALITY = 95


def encode_png(image: npt.NDArray[np.uint8], effort: str = "fast") -> bytes:
    """Encode an image as PNG.

    Args:
        image: uint8, height x width x 3, RGB.
        effort: fast, balanced or small: a key of `PNG_EFFORTS`.
    """
    return PNG_EFFORTS[effort](image)


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """Encode an image as JPEG with full color resolution (4:4:4).

    Args:
        image: uint8, height x width x 3, RGB.
        quality: 1 to 100, on libjpeg's scale.
    """
    options = [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    return _encode_with_opencv(".jpg", image, options)


def _encode_with_opencv(suffix: str, image: npt.NDArray[np.uint8], options: list[int]) -> bytes:
    content: bytes = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
    return content


def _encode_with_fpng(image: npt.NDArray[np.uint8]) -> bytes:
    height, width, channels = image.shape
    base: object = image.base
    covers_base = isinstance(base, bytes) and len(base) == image.nbytes and image.flags.c_contiguous
    pixels = base if covers_base else image.tobytes()
    # Flag 1 makes a second pass over the pixels, which saves four percent of the bytes.
    content: bytes = fpng_py.fpng_encode_image_to_memory(pixels, width, height, channels, 1)
    return content


def _opencv_png_encoder(level: int) -> Callable[[npt.NDArray[np.uint8]], bytes]:
    options = [
        cv2.IMWRITE_PNG_COMPRESSION, level,
        cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FAST_FILTERS,
        cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
    ]  # fmt: skip
    return lambda image: _encode_with_opencv(".png", image, options)


PNG_EFFORTS: dict[str, Callable[[npt.NDArray[np.uint8]], bytes]] = {
    "fast": _encode_with_fpng,
    "balanced": _opencv_png_encoder(2),
    "small": _opencv_png_encoder(6),
}
"""By effort, the function that encodes an image (uint8, height x width x 3, RGB; it may be a view of a larger one)."""
