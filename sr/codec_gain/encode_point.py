"""Encode a clip at one size and one constant rate factor: what the EncodePoint task calls."""

import dataclasses
import time
from pathlib import Path
from typing import IO, Any

import av
from av.video.stream import VideoStream

from data.atomic_files import atomic_file, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.video.pyav import require_pts
from sr.codec_gain.clip import Clip
from sr.codec_gain.halve import halve_frame
from sr.upscale.video.encode import configure_encoder
from sr.upscale.video.settings import CODECS, VideoUpscaleSettings

FULL, HALF = "full", "half"
SIZES = (FULL, HALF)
SCHEMA = 1
RECORD = "point.json"
STREAM = "stream.mkv"
TIMING = "run/timing.json"
"""What differs from run to run."""
BITEXACT = 0x400
"""AVFMT_FLAGBITEXACT: no random numbers and no clock in the file."""


@dataclasses.dataclass(frozen=True)
class EncodeSettings:
    """What decides the bits of an encoded clip."""

    codec: str
    """A name of `sr.upscale.video.settings.CODECS`."""
    preset: str
    """One of the codec's presets; empty: its default."""
    crf: int
    """Constant rate factor; lower is better."""
    size: str
    """full or half."""

    def video_settings(self) -> VideoUpscaleSettings:
        """Return them as the encoder of UpscaleVideo takes them: same threads, so the bytes are the same everywhere.

        Raises:
            UserError: the codec does not take a value.
        """
        settings = VideoUpscaleSettings(codec=self.codec, preset=self.preset, crf=self.crf)
        settings.check()
        return settings


def encode_point(
    clip: Clip, settings: EncodeSettings, directory: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Write stream.mkv and, last, point.json.

    Args:
        clip: the clip.
        settings: how it is encoded.
        directory: of the store.
        progress: counts frames.

    Returns:
        The content of point.json: schema, codec, preset, crf, size, width, height, frames, bytes (of all packets,
        without the container's), duration_s, kbps.

    Raises:
        UserError: the codec does not take a value or the clip's format, or the clip is damaged.
    """
    encoding_s = 0.0
    with atomic_file(directory / STREAM) as file:
        encoder = _Encoder(file, clip, settings)
        for number, frame in enumerate(clip.frames(), 1):
            begun = time.perf_counter()
            encoder.add(halve_frame(frame, clip.video) if settings.size == HALF else frame)
            encoding_s += time.perf_counter() - begun
            progress(number, clip.source.frame_count)
        begun = time.perf_counter()
        encoder.finish()
        encoding_s += time.perf_counter() - begun
    record = {
        "schema": SCHEMA,
        **dataclasses.asdict(settings),
        "preset": settings.preset or CODECS[settings.codec].preset,
        "width": encoder.video.width,
        "height": encoder.video.height,
        "frames": encoder.frames,
        "bytes": encoder.bytes,
        "duration_s": clip.duration_s,
        "kbps": encoder.bytes * 8 / 1000 / clip.duration_s,
    }
    write_json(directory / TIMING, {"encode_s": encoding_s})
    write_json(directory / RECORD, record)
    return record


class _Encoder:
    """One encoded clip: the whole is one sequence, with the encoder's own distance between keyframes."""

    def __init__(self, file: IO[bytes], clip: Clip, settings: EncodeSettings) -> None:
        self.video = clip.half if settings.size == HALF else clip.video
        self.frames = self.bytes = 0
        video_settings = settings.video_settings()
        self._container = av.open(file, "w", format="matroska")
        self._container.flags |= BITEXACT
        stream = self._container.add_stream(CODECS[settings.codec].encoder, rate=self.video.frame_rate)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{settings.codec} is no video encoder")
        configure_encoder(stream.codec_context, self.video, video_settings, 1)
        stream.time_base = self.video.time_base
        self._stream = stream

    def add(self, frame: av.VideoFrame) -> None:
        frame.pts, frame.time_base = require_pts(frame), self.video.time_base
        frame.pict_type = 0  # the encoder decides anew which frames are keyframes
        self.frames += 1
        self._write(self._stream.encode(frame))

    def finish(self) -> None:
        self._write(self._stream.encode(None))
        self._container.close()
        if not self.bytes:
            raise UserError("The encoder gave no bytes", "Choose another --codec")

    def _write(self, packets: Any) -> None:
        for packet in packets:
            self.bytes += packet.size
            self._container.mux(packet)
