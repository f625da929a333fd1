"""Alpha (transparency) of videos: find out whether a video has it, and count the frames that do.

No encoder here writes alpha, so it is not kept: users have to learn of it, and how much of the video it concerns.
"""

from fractions import Fraction

import av
import av.filter
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.exhaustion import raise_if_exhausted
from data.video.pyav import VideoPacket, build_filter_graph, plane_array

ALPHA = "alpha (transparency)"
"""How reports call it."""
ALPHA_TAG = "ALPHA_MODE"
"""Matroska's tag of VP8 or VP9 with a second image, the alpha, in each packet. FFmpeg's own decoders skip it."""
_OPAQUE = 0.999
"""Of the largest value: conversions between formats of 16 bits are off by up to 3."""


def has_alpha(stream: VideoStream, frame: VideoFrame) -> bool:
    """Return whether a video may have transparent pixels: by its tags, or by the format of its first frame."""
    if _is_tagged(stream):
        return True
    if frame.format.has_palette:
        return bool((_palette_alphas(frame) < 255).any())
    return any(component.is_alpha for component in frame.format.components)


def without_alpha(frame: VideoFrame) -> VideoFrame:
    """Return planar RGB of more than 8 bits without its alpha; any other frame as it is.

    FFmpeg 8's scaler fills such frames with whatever the memory held when it converts them from one to the other.
    """
    name, bits = frame.format.name, frame.format.components[0].bits
    if not name.startswith("gbrap") or not 8 < bits <= 16 or "f" in name:
        return frame
    opaque = VideoFrame(frame.width, frame.height, name.replace("gbrap", "gbrp"))
    for number in range(3):
        plane_array(opaque, number)[:] = plane_array(frame, number)
    opaque.pts, opaque.time_base = frame.pts, frame.time_base
    return opaque


class AlphaCounter:
    """Counts the frames of one video that are not fully opaque."""

    def __init__(self) -> None:
        self.frames = 0
        """How many frames were not opaque."""
        self._graphs: dict[tuple[str, int, int], av.filter.Graph] = {}

    def count(self, packet: "VideoPacket | None", frames: list[VideoFrame]) -> None:
        """Count what came out of the decoder for a packet; None: at the end.

        FFmpeg's own decoders of VP8 and VP9 skip the alpha, which is beside the image in the packet.
        """
        if packet is not None and packet.has_sidedata("matroska_block_additional"):
            self.frames += _is_tagged(packet.stream)
        self.frames += sum(not self._is_opaque(frame) for frame in frames)

    def report(self, left_out: list[str]) -> list[str]:
        """Return what is left out, with the number of frames that are concerned beside the alpha."""
        others = [text for text in left_out if text != ALPHA]
        has_lost = self.frames or len(others) < len(left_out)
        return [*others, *([f"{ALPHA} of {self.frames} frames"] if has_lost else [])]

    def _is_opaque(self, frame: VideoFrame) -> bool:
        if frame.format.has_palette:
            return bool((_palette_alphas(frame) == 255).all())
        if not any(component.is_alpha for component in frame.format.components):
            return True
        try:
            alpha = self._extract(frame)
        except (
            av.FFmpegError,
            OSError,
        ) as error:  # a format that the filter does not read, such as half floats
            raise_if_exhausted(error)
            return False
        if alpha.format.name.startswith("grayf"):
            return bool(np.frombuffer(memoryview(alpha.planes[0]), "<f4").min() >= _OPAQUE)
        max_value = (1 << alpha.format.components[0].bits) - 1
        return bool(plane_array(alpha, 0).min() >= _OPAQUE * max_value)

    def _extract(self, frame: VideoFrame) -> VideoFrame:
        key = (frame.format.name, frame.width, frame.height)
        if key not in self._graphs:
            self._graphs[key] = build_filter_graph(frame, Fraction(1, 1000), ("alphaextract", ""))
        self._graphs[key].vpush(frame)
        return self._graphs[key].vpull()


def _is_tagged(stream: VideoStream) -> bool:
    return any(name.upper() == ALPHA_TAG and value == "1" for name, value in stream.metadata.items())


def _palette_alphas(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """Return the alphas of the palette's colors that the frame uses, 0 to 255."""
    indices = np.unique(plane_array(frame, 0))
    colors = np.frombuffer(memoryview(frame.planes[1]), "<u4")  # 0xAARRGGBB
    return np.asarray(colors[indices] >> 24, np.uint8)
