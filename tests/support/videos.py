"""Make test videos with a counter in each frame that survives compression and tone mapping."""

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from images import textured

BITS = 12
SQUARE = 16
TOP, LEFT = 64, 32
HEIGHT, WIDTH = 180, 320
X265 = "log-level=none:pools=none:frame-threads=1"
PQ = {"color_primaries": 9, "color_trc": 16, "colorspace": 9}
"""BT.2020 primaries, PQ, BT.2020 matrix, by the numbers of H.273."""


def numbered(number: int, height: int = HEIGHT, width: int = WIDTH, shot: int = 0) -> np.ndarray:
    """Draw a frame of a moving image, colored by the shot, with its number in black and white squares."""
    image = np.roll(_texture(shot, height, width), number * 5, axis=1)
    for bit in range(BITS):
        left = LEFT + bit * SQUARE
        image[TOP : TOP + SQUARE, left : left + SQUARE] = 235 if number >> bit & 1 else 16
    return image


@functools.lru_cache(maxsize=16)
def _texture(shot: int, height: int, width: int) -> np.ndarray:
    hue = np.uint8([[[shot * 47 % 180, 200, 255]]])
    color = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB).astype(np.float32) / 255
    return (textured(shot, height, width)[..., :1] * color).astype(np.uint8)


def counter(image: np.ndarray, top: int = TOP, left: int = LEFT) -> int:
    """Read the number in a frame."""
    inner = [
        image[top + 4 : top + 12, left + bit * SQUARE + 4 : left + bit * SQUARE + 12] for bit in range(BITS)
    ]
    return sum((square.mean() > 128) << bit for bit, square in enumerate(inner))


def make_video(
    path: Path,
    draw: Callable[[int], np.ndarray] = numbered,
    frames: int = 240,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    fps: int = 24,
    times: Sequence[int] | None = None,
    colors: dict[str, int] | None = None,
) -> Path:
    """Encode a video.

    Args:
        path: where to write; the suffix selects the container.
        draw: returns frame number n, uint8 height x width x 3.
        frames: how many.
        codec: FFmpeg's encoder.
        options: for the encoder.
        pixels: FFmpeg's pixel format.
        fps: frames per second.
        times: presentation times in 1/fps s, for a variable frame rate; default 0, 1, 2 …
        colors: color_primaries, color_trc, colorspace, color_range: numbers to write into the stream.
    """
    first = draw(0)
    with av.open(str(path), "w") as container:
        quickly = {"preset": "veryfast"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=fps, options=quickly | (options or {"bf": "3", "g": "48"}))
        stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], pixels
        stream.codec_context.thread_count = 1  # the same video on any number of cores
        for name, value in (colors or {}).items():
            setattr(stream.codec_context, name, value)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number), "rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = times[number] if times else number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def packed_video(path: Path, frames: int = 75) -> Path:
    """Encode MPEG-4 in AVI as DivX and Xvid do: a chunk with a frame and a B-frame, then an empty chunk."""
    plain = make_video(
        path.with_stem("plain"),
        frames=frames,
        codec="mpeg4",
        options={"bf": "1", "b_strategy": "0", "g": "48"},
    )
    with av.open(str(plain)) as source, av.open(str(path), "w") as video:
        stream = video.add_stream_from_template(source.streams.video[0], opaque=True)
        pieces = [bytes(one) for one in source.demux(video=0) if one.size]
        at = pieces[0].index(b"\0\0\1\xb3")
        pieces[0] = pieces[0][:at] + b"\0\0\1\xb2DivX503b1393p" + pieces[0][at:]
        for number, piece in enumerate(pieces):
            kind, following = _mpeg4_kind(piece), "".join(map(_mpeg4_kind, pieces[number + 1 : number + 2]))
            content = b"\0\0\1\xb6\x51\x4f" if kind == "B" else piece
            packet = av.Packet(content + pieces[number + 1] if following == "B" else content)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 24), stream, kind == "I"
            video.mux(packet)
    plain.unlink()
    return path


def _mpeg4_kind(packet: bytes) -> str:
    return "IPBS"[packet[packet.index(b"\0\0\1\xb6") + 4] >> 6]


def interlaced_video(path: Path, frames: int = 8) -> Path:
    """Encode a bar that moves by 8 pixels from field to field, top field first, so that its edges are combs."""

    def draw(number: int) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        for field in range(2):
            left = 40 + (2 * number + field) * 8
            image[field::2, left : left + 60] = 220
        return image

    # Every frame is a keyframe, with little loss.
    options = {"flags": "+ildct+ilme", "g": "1", "qmin": "1", "qmax": "2", "b": "20000000"}
    return make_video(path, draw, frames, "mpeg2video", options)


def woven(number: int) -> np.ndarray:
    """Draw two moments, line by line, as an interlaced camera takes them."""
    frame = numbered(2 * number).copy()
    frame[1::2] = numbered(2 * number + 1)[1::2]
    return frame


def frame_of(planes: Sequence[np.ndarray], pixels: str) -> av.VideoFrame:
    """Return a frame with these planes, uint8 or uint16."""
    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], pixels)
    for plane, values in zip(frame.planes, planes, strict=True):
        content = np.zeros((plane.height, plane.line_size), np.uint8)
        row = np.ascontiguousarray(values).view(np.uint8)
        content[:, : row.shape[1]] = row
        plane.update(content.tobytes())
    return frame
