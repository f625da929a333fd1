"""What video codecs leave of an image: encoded and decoded by the codecs themselves, through PyAV.

Every encoder is set to one thread, so that equal images give equal bytes. Writes no file.
"""

import dataclasses
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.random import Generator

_GRID_PX = 16
"""Images are padded to a multiple of it; their corner lies anywhere on it."""
_LEAST_SIDE_PX = 64
"""SVT-AV1 takes none smaller."""
_FARTHEST_MOTION_PX = 4
_MATRIX = "ITU709"


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder with its settings, and the decoder for what it writes."""

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
"""Presets that take 4 to 9 ms of one core for 144x144 pixels."""


def through_codec(image: np.ndarray, codec: str, crf: int, chance: Generator) -> np.ndarray:
    """Encode and decode an image, as an intra frame or as the frame after one.

    In the second case the frame before shows the same, a few pixels aside, as when a camera moves: the image
    is then predicted from what is left of that frame.

    Args:
        image: uint8 HWC RGB.
        codec: a name in CODECS.
        crf: the encoder's constant rate factor.
        chance: decides the place on the codec's grid, the kind of frame and the motion.

    Returns:
        uint8 HWC of the same size.
    """
    predicted = bool(chance.integers(2))
    corner = chance.integers(_GRID_PX, size=2)
    motion = chance.integers(-_FARTHEST_MOTION_PX, _FARTHEST_MOTION_PX + 1, size=2)
    height, width = (
        max(_LEAST_SIDE_PX, -(-(size + _GRID_PX) // _GRID_PX) * _GRID_PX) for size in image.shape[:2]
    )
    reach = _FARTHEST_MOTION_PX
    top, left = (int(at) + reach for at in corner)
    bottom, right = height + 2 * reach - top - image.shape[0], width + 2 * reach - left - image.shape[1]
    wide = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REFLECT)
    shifts = [motion, np.zeros(2, int)] if predicted else [np.zeros(2, int)]
    frames = [
        wide[reach + down : reach + down + height, reach + aside : reach + aside + width]
        for down, aside in (shift.tolist() for shift in shifts)
    ]
    decoded = _decode(CODECS[codec], _encode(CODECS[codec], frames, crf))
    down, aside = corner.tolist()
    return decoded[down : down + image.shape[0], aside : aside + image.shape[1]]


def _encode(codec: Codec, frames: list[np.ndarray], crf: int) -> list[av.Packet]:
    encoder = av.CodecContext.create(codec.encoder, "w")
    encoder.height, encoder.width = frames[0].shape[:2]
    encoder.pix_fmt, encoder.thread_count = "yuv420p", 1
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = codec.options | {"crf": str(crf)}
    packets = []
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_MATRIX)
        frame.pts = number
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)


def _decode(codec: Codec, packets: list[av.Packet]) -> np.ndarray:
    """The last image: uint8 HWC RGB."""
    decoder = av.CodecContext.create(codec.decoder, "r")
    decoder.thread_count = 1
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    return frames[-1].reformat(format="rgb24", src_colorspace=_MATRIX).to_ndarray()
