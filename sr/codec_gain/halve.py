"""Make video frames half as tall and wide, with every sample where it lies in the image.

The filter is the antialiased bicubic that LR images are made by. Chroma lies beside luma as the video says, in the
large frame and in the small one: filtered as if it were an image of its own, it would move by a quarter of a sample.
"""

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from data.video.pyav import plane_array, require_pts
from sr.imaging.resize import cubic_kernel
from sr.upscale.video.upscale_plane import round_samples
from sr.upscale.video.video_info import VideoInfo

_SCALE = 2
_REACH = 5
"""Samples on each side that a weight may lie on: the stretched kernel reaches 4, and chroma is up to 1/2 off."""


def halve_frame(frame: VideoFrame, video: VideoInfo) -> VideoFrame:
    """Return a frame at half its size.

    Args:
        frame: planar YUV of 8 or 10 bits, whose sides are multiples of 4.
        video: its chroma format and the location of its chroma.
    """
    half = VideoFrame(frame.width // _SCALE, frame.height // _SCALE, frame.format.name)
    max_value = (1 << frame.format.components[0].bits) - 1
    subsampling = {"420": (2, 2), "422": (1, 2)}.get(video.chroma, (1, 1))
    for number in range(len(frame.planes)):
        steps = subsampling if number else (1, 1)
        plane_array(half, number)[:] = halve_plane(
            plane_array(frame, number), max_value, steps, video.chroma_location
        )
    half.pts, half.time_base = require_pts(frame), frame.time_base
    return half


def halve_plane(
    plane: npt.NDArray[Any],
    max_value: int,
    subsampling: tuple[int, int] = (1, 1),
    chroma_location: str = "center",
) -> npt.NDArray[Any]:
    """Make one plane half as tall and wide; edges repeat.

    Args:
        plane: height x width, both even; uint8 or uint16.
        max_value: the largest value of a sample.
        subsampling: luma rows and columns for each sample: (1, 1) for luma, (2, 2) for 4:2:0 chroma.
        chroma_location: of subsampled planes: left, center or topleft.

    Returns:
        The same dtype, height/2 x width/2, rounded, 0 to `max_value`.
    """
    row_offset = 0.0 if chroma_location == "topleft" else (subsampling[0] - 1) / 2
    column_offset = (subsampling[1] - 1) / 2 if chroma_location == "center" else 0.0
    filtered = cv2.sepFilter2D(
        plane.astype(np.float32),
        -1,
        _taps(subsampling[1], column_offset),
        _taps(subsampling[0], row_offset),
        borderType=cv2.BORDER_REPLICATE,
    )
    return round_samples(np.ascontiguousarray(filtered[::_SCALE, ::_SCALE]), plane.dtype, max_value)


@functools.cache
def _taps(subsampling: int, offset: float) -> npt.NDArray[np.float32]:
    """Return the weights of the samples around every second one of an axis.

    Sample j lies at luma position subsampling·j + offset, in the large frame and in the small one. Luma position x of
    the small frame is position 2·x + 1/2 of the large one.
    """
    center = (_SCALE * offset + (_SCALE - 1) / 2 - offset) / subsampling
    weights = cubic_kernel((np.arange(-_REACH, _REACH + 1) - center) / _SCALE)
    return np.asarray(weights / weights.sum(), np.float32)
