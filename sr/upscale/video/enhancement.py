"""The enhancement layer of a video: a second stream with what the model could not restore, added to what it upscales.

Such a video is a .mkv. Its first video stream is small and plays anywhere; BASE_TAG says that it has a layer. The
second, which LAYER_TAG marks, has a frame of the upscaled size for each of its frames: the original less the upscaled
frame, plus half of the range of a sample. It fits the frames of one model alone, so MODEL_TAG names that.

Source: the structure is that of MPEG-5 LCEVC (ISO/IEC 23094-2); the layer itself is a stream of an ordinary codec.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.video.demux import AV_ERRORS, error_text, open_video, skip_damage
from data.video.pyav import plane_array, require_pts, require_time_base
from sr.upscale.video.upscale_frame import FrameUpscaler
from sr.upscale.video.video_info import VideoInfo

TAG_PREFIX = "SR_ENHANCE"
BASE_TAG, LAYER_TAG, MODEL_TAG = "SR_ENHANCED", "SR_ENHANCEMENT", "SR_ENHANCEMENT_MODEL"
HASH_TAG = "SR_ENHANCEMENT_SHA256"
"""Tag with the sha256 of the layer's packets in order: a decoder makes images of many a damaged packet."""
VERSION = "1"
"""The value of BASE_TAG and LAYER_TAG."""
NAME = "enhancement layer"
WITHOUT = "add --enhancement off to upscale without it"
_Plane = npt.NDArray[np.int32]
_Formula = Callable[[_Plane, _Plane, int], _Plane]
_TOLERANCE_S = Fraction(1, 2000)
"""Half of the millisecond that Matroska counts in."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """Where the enhancement layer of a video is, and what it fits."""

    path: Path
    stream_index: int
    model: str
    """The `identity` of the FrameUpscaler that it was made with."""
    sha256: str
    """Of its packets in order, when it was made."""


def layer_tags(upscaler: FrameUpscaler, packets: Iterable[bytes]) -> dict[str, str]:
    """Return the metadata of the stream of a layer with these packets."""
    return {LAYER_TAG: VERSION, MODEL_TAG: upscaler.identity, HASH_TAG: _hash(packets)}


def is_layer(stream: Stream) -> bool:
    """Return whether a stream is marked as an enhancement layer."""
    return LAYER_TAG in stream.metadata


def find_layer(path: Path) -> Layer | None:
    """Find the enhancement layer of a video; None if it neither has nor names one.

    Raises:
        UserError: the video says that it has one, but there is none, or none that this program can read.
    """
    container, base = open_video(path, allow_interlaced=True)
    with container:
        named = base.metadata.get(BASE_TAG, "")
        layers = [stream for stream in container.streams if is_layer(stream)]
        if not layers and not named:
            return None
        if not layers:
            raise UserError(
                f"{path} says that it has an {NAME}, but the stream is not there",
                f"Get the whole file; or {WITHOUT}",
            )
        layer = layers[0]
        versions = {named, *(one.metadata[LAYER_TAG] for one in layers)}
        if versions != {VERSION} or len(layers) > 1 or not isinstance(layer, VideoStream):
            raise UserError(
                f"{path} has an {NAME} that this program does not know:"
                f" {len(layers)} streams, versions {', '.join(sorted(one or 'none' for one in versions))}",
                f"Use a version of this program that knows it; or {WITHOUT}",
            )
        tags = layer.metadata
        return Layer(path, layer.index, tags.get(MODEL_TAG, ""), tags.get(HASH_TAG, ""))


def open_layer(video: VideoInfo, upscaler: FrameUpscaler) -> "LayerReader | None":
    """Open the enhancement layer of a video; None if it has none.

    Raises:
        UserError: it is damaged, or does not fit what the model makes of the video.
    """
    layer = find_layer(video.path)
    if layer is None:
        return None
    if layer.model != upscaler.identity:
        raise UserError(
            f"The {NAME} of {video.path} was made for another model ({_shorten(layer.model)}) than"
            f" --model ({_shorten(upscaler.identity)})",
            f"Give the --model that it was made for; or {WITHOUT}",
        )
    if not video.timeline.is_stored:
        raise UserError(
            f"The times of the frames of {video.path} are damaged, so its {NAME} cannot be matched",
            f"Remux it; or {WITHOUT}",
        )
    return LayerReader(layer, upscaler)


class LayerReader:
    """Adds the frames of an enhancement layer to upscaled frames, which come in order; some may be left out.

    Args:
        layer: the layer.
        upscaler: what makes the frames that it is added to.

    Raises:
        UserError: it is damaged, or has another size or pixel format than those frames.
    """

    def __init__(self, layer: Layer, upscaler: FrameUpscaler) -> None:
        self._layer, self._upscaler = layer, upscaler
        if _hash(_read_packets(layer)) != layer.sha256:
            raise self._damaged("its packets are not those that were written")
        self._frames = self._decode()
        self._next: tuple[Fraction, VideoFrame] | None = next(self._frames, None)
        if self._next is None:
            raise self._damaged("it has no frame")
        self.frames = 0
        """How many frames were enhanced."""

    def enhance(self, upscaled: VideoFrame) -> VideoFrame:
        """Return an upscaled frame with the frame of the layer for the same time added.

        Raises:
            UserError: the layer has no frame for that time, or is damaged before it.
        """
        time_s = require_pts(upscaled) * require_time_base(upscaled)
        while self._next is not None and self._next[0] < time_s - _TOLERANCE_S:
            self._next = next(self._frames, None)
        if self._next is None or self._next[0] > time_s + _TOLERANCE_S:
            raise self._damaged(f"there is no frame of it for {float(time_s):.3f} s")
        self.frames += 1
        return add_residual(upscaled, self._next[1])

    def _decode(self) -> Iterator[tuple[Fraction, VideoFrame]]:
        """Yield time and frame; nothing damaged is concealed."""
        container, _ = open_video(self._layer.path, allow_interlaced=True)
        with container:
            stream = container.streams[self._layer.stream_index]
            if not isinstance(stream, VideoStream):
                raise self._damaged("it is no video")
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
            stream.codec_context.thread_count = 1
            try:
                for frame in container.decode(stream):
                    self._check(frame)
                    yield require_pts(frame) * require_time_base(frame), frame
            except AV_ERRORS as error:
                raise_if_exhausted(error)
                raise self._damaged(error_text(error)) from None

    def _check(self, frame: VideoFrame) -> None:
        upscaler, video = self._upscaler, self._upscaler.video
        expected = (video.width * upscaler.scale, video.height * upscaler.scale, upscaler.pixel_format)
        found = (frame.width, frame.height, frame.format.name.replace("yuvj", "yuv"))
        if found != expected:
            shown = ["{}x{} {}".format(*one) for one in (found, expected)]
            raise UserError(
                f"The {NAME} of {self._layer.path} is {shown[0]}, but the upscaled video {shown[1]}",
                f"Leave --bits and --scale out; or {WITHOUT}",
            )

    def _damaged(self, why: str) -> UserError:
        return UserError(
            f"The {NAME} of {self._layer.path} is damaged: {why}", f"Get the whole file; or {WITHOUT}"
        )


def _read_packets(layer: Layer) -> Iterator[bytes]:
    """Yield the packets of a layer, as far as the file goes."""
    container, _ = open_video(layer.path, allow_interlaced=True)
    with container, skip_damage():
        for packet in container.demux(container.streams[layer.stream_index]):
            if packet.size:
                yield bytes(packet)


def _hash(packets: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for packet in packets:
        digest.update(packet)
    return digest.hexdigest()


def subtract(original: VideoFrame, upscaled: VideoFrame) -> VideoFrame:
    """Return the frame of the layer: original less upscaled, plus half of the range, clipped."""
    return _combine(original, upscaled, lambda one, other, half: one - other + half)


def add_residual(upscaled: VideoFrame, residual: VideoFrame) -> VideoFrame:
    """Return an upscaled frame with the frame of a layer added: what `subtract` undoes."""
    return _combine(upscaled, residual, lambda one, other, half: one + other - half)


def _combine(first: VideoFrame, second: VideoFrame, formula: _Formula) -> VideoFrame:
    """Return a frame with the time of the first, computed plane by plane."""
    bits = first.format.components[0].bits
    combined = VideoFrame(first.width, first.height, first.format.name)
    for number in range(len(first.planes)):
        one, other = (plane_array(frame, number).astype(np.int32) for frame in (first, second))
        target = plane_array(combined, number)
        target[:] = np.clip(formula(one, other, 1 << (bits - 1)), 0, (1 << bits) - 1).astype(target.dtype)
    combined.pts, combined.time_base = first.pts, first.time_base
    return combined


def _shorten(identity: str) -> str:
    return identity[:12] or "unknown"
