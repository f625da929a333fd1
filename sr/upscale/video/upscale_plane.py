"""Upscaling a single plane of samples by bicubic interpolation, with each sample where it lies in the image.

Luma and chroma samples of one frame do not lie in the same places: MPEG's 4:2:0 has its chroma in line with every
second luma column. Upscaled as if it were an image, it would come out an eighth of a sample too far to one side.
"""

import functools

import cv2
import numpy as np

_TAPS = np.arange(-2, 3)


def upscale_plane(
    plane: np.ndarray, scale: int, top: int, shared: tuple[int, int] = (1, 1), siting: str = "center"
) -> np.ndarray:
    """Upscale one plane.

    Bicubic with a = -1/2 (Keys 1981, as Pillow and MATLAB have it); edges repeat.

    Args:
        plane: height x width, uint8 or uint16.
        scale: how many times.
        top: the largest value of a sample.
        shared: luma rows and columns for one of these samples: (1, 1) for luma, (2, 2) for 4:2:0.
        siting: of samples that are shared: left, center or topleft.

    Returns:
        The same type, `scale` times taller and wider, rounded, 0 to `top`.
    """
    height, width = plane.shape
    rows = _phases(scale, shared[0], 0.0 if siting == "topleft" else (shared[0] - 1) / 2)
    columns = _phases(scale, shared[1], (shared[1] - 1) / 2 if siting == "center" else 0.0)
    values = plane.astype(np.float32)
    hr_image = np.empty((height, scale, width, scale), np.float32)
    for y, down in enumerate(rows):
        for x, across in enumerate(columns):
            hr_image[:, y, :, x] = cv2.sepFilter2D(values, -1, across, down, borderType=cv2.BORDER_REPLICATE)
    hr_image = hr_image.reshape(height * scale, width * scale)
    return as_samples(hr_image, plane.dtype, top)


def as_samples(values: np.ndarray, kind: np.dtype, top: int) -> np.ndarray:
    """Round float32 samples to `kind`, 0 to `top`; `values` is written over."""
    if kind == np.uint8:
        return cv2.convertScaleAbs(np.maximum(values, 0, out=values))
    return np.rint(np.clip(values, 0, top, out=values), out=values).astype(kind)


@functools.cache
def _phases(scale: int, shared: int, offset: float) -> list[np.ndarray]:
    """Return the five taps of each of `scale` neighboring samples of the upscaled axis.

    Sample j of an axis lies at luma place shared·j + offset. Luma place X' of the upscaled image is
    (X' + 1/2) / scale - 1/2 of the source's.
    """
    shift = ((offset + 0.5) / scale - 0.5 - offset) / shared
    return [_cubic(np.abs(phase / scale + shift - _TAPS)).astype(np.float32) for phase in range(scale)]


def _cubic(x: np.ndarray) -> np.ndarray:
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))
