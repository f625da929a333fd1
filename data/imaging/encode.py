"""Images to bytes: PNG at three efforts, and JPEG. Equal pixels give equal bytes. Reading is `data.imaging.decode`'.

Which library at which effort was measured: `make bench` prints time and bytes of each beside Pillow's.
"""

from collections.abc import Callable

import cv2
import fpng_py
import numpy as np

JPEG_QUALITY = 95


def encode_png(image: np.ndarray, effort: str = "fast") -> bytes:
    """Encode an image as PNG.

    Args:
        image: uint8, height x width x 3, RGB.
        effort: a key of `PNG_EFFORTS`.
    """
    return PNG_EFFORTS[effort](image)


def encode_jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """Encode an image as a JPEG whose color has full resolution (4:4:4).

    Args:
        image: uint8, height x width x 3, RGB.
        quality: 1 to 100, libjpeg's scale.
    """
    options = [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _with_fpng(image: np.ndarray) -> bytes:
    height, width, channels = image.shape
    stands_on = image.base
    is_whole = isinstance(stands_on, bytes) and len(stands_on) == image.nbytes and image.flags.c_contiguous
    content = stands_on if is_whole else image.tobytes()
    # The second pass over the pixels (flag 1) is paid back in bytes: four per cent fewer.
    return fpng_py.fpng_encode_image_to_memory(content, width, height, channels, 1)


def _with_opencv(level: int) -> Callable[[np.ndarray], bytes]:
    options = [
        cv2.IMWRITE_PNG_COMPRESSION, level,
        cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FAST_FILTERS,
        cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
    ]  # fmt: skip

    def encode(image: np.ndarray) -> bytes:
        return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()

    return encode


PNG_EFFORTS: dict[str, Callable[[np.ndarray], bytes]] = {
    "fast": _with_fpng,
    "balanced": _with_opencv(2),
    "small": _with_opencv(6),
}
"""By effort, the encoder of a uint8 height x width x 3 RGB image, which may be a part of a larger one."""
