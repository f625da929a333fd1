"""Adds the artifacts of video codecs to an image, by encoding and decoding it with PyAV.

Every encoder uses one thread, so that equal images give equal bytes. No files are written.
"""

import dataclasses
import os
from fractions import Fraction
from typing import Literal, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from numpy.random import Generator

Image = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""
_GRID_PX = 16
"""Images are padded to a multiple of it, with their corner anywhere in the first cell."""
_MIN_SIDE_PX = 64
"""SVT-AV1 rejects smaller frames."""
_MAX_MOTION_PX = 4
_MATRIX = "ITU709"


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder with its options, and the matching decoder, by FFmpeg's names."""

    encoder: str
    decoder: str
    options: dict[str, str]


CODECS: dict[str, Codec] = {
    "h264": Codec(
        "libx264",
        "h264",
        {"preset": "veryfast", "tune": "zerolatency", "x264-params": "log-level=none:threads=1"},
    ),
    "hevc": Codec(
        "libx265",
        "hevc",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x265-params": "log-level=none:pools=none:frame-threads=1:info=0",
        },
    ),
    "av1": Codec(
        "libsvtav1", "libdav1d", {"preset": "10", "svtav1-params": "lp=1:pred-struct=1:lookahead=0"}
    ),
}
"""These presets take 4 to 9 ms of one core for 144x144 pixels."""


def apply_codec(image: Image, codec: str, crf: int, stream: Generator) -> Image:
    """Encode and decode an image, at random as an intra frame or as a predicted frame.

    A predicted frame follows a frame with the same content, shifted by a few pixels, as when a camera moves. The image
    is then predicted from what compression left of that frame.

    Args:
        image: uint8 HWC RGB.
        codec: a name in CODECS.
        crf: the encoder's constant rate factor.
        stream: source of the random numbers: the place on the codec's grid, the kind of frame and the motion.

    Returns:
        uint8 HWC of the same size.
    """
    predicted = bool(stream.integers(2))
    corner = stream.integers(_GRID_PX, size=2)
    motion = stream.integers(-_MAX_MOTION_PX, _MAX_MOTION_PX + 1, size=2)
    height, width = (
        max(_MIN_SIDE_PX, -(-(size + _GRID_PX) // _GRID_PX) * _GRID_PX) for size in image.shape[:2]
    )
    border = _MAX_MOTION_PX
    top, left = (int(at) + border for at in corner)
    bottom, right = height + 2 * border - top - image.shape[0], width + 2 * border - left - image.shape[1]
    padded = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REFLECT).astype(
        np.uint8, copy=False
    )
    shifts = [motion, np.zeros(2, int)] if predicted else [np.zeros(2, int)]
    frames = [
        padded[border + down : border + down + height, border + right : border + right + width]
        for down, right in (shift.tolist() for shift in shifts)
    ]
    decoded = _decode(CODECS[codec], _encode(CODECS[codec], frames, crf))
    top, left = corner.tolist()
    return decoded[top : top + image.shape[0], left : left + image.shape[1]]


def _open_context(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    return cast(VideoCodecContext, av.CodecContext.create(name, mode))


def _encode(codec: Codec, frames: list[Image], crf: int) -> "list[Packet[VideoStream]]":
    os.environ.setdefault("SVT_LOG", "1")  # errors alone; SVT-AV1 has no option for it
    encoder = _open_context(codec.encoder, "w")
    encoder.height, encoder.width = frames[0].shape[:2]
    encoder.pix_fmt, encoder.thread_count = "yuv420p", 1
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = codec.options | {"crf": str(crf)}
    packets: list[Packet[VideoStream]] = []
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_MATRIX)
        frame.pts = number
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)


def _decode(codec: Codec, packets: "list[Packet[VideoStream]]") -> Image:
    """Return the last frame: uint8 HWC RGB."""
    decoder = _open_context(codec.decoder, "r")
    decoder.thread_count = 1
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    rgb = frames[-1].reformat(format="rgb24", src_colorspace=_MATRIX).to_ndarray()
    return rgb.astype(np.uint8, copy=False)
