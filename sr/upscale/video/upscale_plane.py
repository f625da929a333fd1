"""Upscale a single plane of samples by bicubic interpolation, with each sample where it lies in the image.

Luma and chroma samples of one frame do not lie in the same places: in MPEG's 4:2:0, chroma is in line with every second
luma column. Upscaled as if it were an image, chroma would be off by an eighth of a sample.
"""

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sr.imaging.resize import cubic_kernel, lanczos3_kernel

BICUBIC, LANCZOS = "bicubic", "lanczos"
_IDENTITY = np.ones(1, np.float32)
_KERNELS = {BICUBIC: (cubic_kernel, np.arange(-2.0, 3.0)), LANCZOS: (lanczos3_kernel, np.arange(-3.0, 4.0))}
"""Each filter's kernel and the samples that it weighs, from the one in the middle."""


def upscale_plane(
    plane: npt.NDArray[Any],
    scale: int,
    max_value: int,
    subsampling: tuple[int, int] = (1, 1),
    chroma_location: str = "center",
    kernel: str = BICUBIC,
) -> npt.NDArray[Any]:
    """Upscale one plane; edges repeat.

    Args:
        plane: height x width, uint8 or uint16.
        scale: how many times taller and wider the result is.
        max_value: the largest value of a sample.
        subsampling: luma rows and columns for each sample: (1, 1) for luma, (2, 2) for 4:2:0 chroma.
        chroma_location: of subsampled planes: left, center or topleft.
        kernel: bicubic (Keys 1981 with a = -1/2, as in Pillow and MATLAB) or lanczos (of three lobes).

    Returns:
        The same dtype, `scale` times taller and wider, rounded, 0 to `max_value`.
    """
    height, width = plane.shape
    row_offset = 0.0 if chroma_location == "topleft" else (subsampling[0] - 1) / 2
    column_offset = (subsampling[1] - 1) / 2 if chroma_location == "center" else 0.0
    row_kernels = _phase_kernels(scale, subsampling[0], row_offset, kernel)
    column_kernels = _phase_kernels(scale, subsampling[1], column_offset, kernel)
    values = plane.astype(np.float32)
    columns = [
        cv2.filter2D(values, -1, taps[None], borderType=cv2.BORDER_REPLICATE) for taps in column_kernels
    ]
    wide = cv2.merge(columns).reshape(height, width * scale)
    upscaled = np.empty((height, scale, width * scale), plane.dtype)
    for y, taps in enumerate(row_kernels):
        # For columns filter2D would be faster still, but adds in another order: a level off in some ties.
        row = np.asarray(
            cv2.sepFilter2D(wide, -1, _IDENTITY, taps, borderType=cv2.BORDER_REPLICATE), np.float32
        )
        upscaled[:, y] = round_samples(row, plane.dtype, max_value)
    return upscaled.reshape(height * scale, width * scale)


def round_samples(values: npt.NDArray[np.float32], dtype: np.dtype[Any], max_value: int) -> npt.NDArray[Any]:
    """Round float32 samples to `dtype`, 0 to `max_value`; `values` is overwritten."""
    clipped = cv2.threshold(values, 0, 0, cv2.THRESH_TOZERO, dst=values)[
        1
    ]  # seven times as fast as np.maximum
    if dtype == np.uint8:
        return np.asarray(cv2.convertScaleAbs(clipped))
    clipped = cv2.threshold(clipped, max_value, 0, cv2.THRESH_TRUNC, dst=clipped)[1]
    return np.asarray(np.rint(clipped, out=clipped).astype(dtype))


@functools.cache
def _phase_kernels(scale: int, subsampling: int, offset: float, kernel: str) -> list[npt.NDArray[np.float32]]:
    """Return the taps of each of `scale` neighboring samples of the upscaled axis.

    Sample j of an axis lies at luma position subsampling·j + offset. Luma position X' of the upscaled image is
    position (X' + 1/2) / scale - 1/2 of the source.
    """
    weigh, places = _KERNELS[kernel]
    shift = ((offset + 0.5) / scale - 0.5 - offset) / subsampling
    taps = [weigh(phase / scale + shift - places) for phase in range(scale)]
    # Cubic weights add up to 1 as they are, and stay the same bits; those of Lanczos are off by up to 1%.
    return [(one / one.sum() if kernel == LANCZOS else one).astype(np.float32) for one in taps]
