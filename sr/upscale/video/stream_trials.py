"""Try, in memory, which containers carry a copy of a stream: a few of its packets are written and read back.

FFmpeg muxes codecs into Matroska that PyAV's table of it does not list (WMA, ADPCM), and tables list some that come out
as another codec. So the table is not asked: only what comes back the same is copied.
"""

import dataclasses
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from data.exhaustion import raise_if_exhausted
from data.video.demux import AV_ERRORS, error_text, open_video
from data.video.pyav import AnyPacket

_MAX_PACKETS = 4
"""Of each stream."""
_MAX_READ, _MAX_READ_BYTES = 2000, 64 << 20
"""Where the search for packets ends: subtitles may begin an hour later."""
_MAX_STRETCH = 2
"""Times of packets, in units of the sound that they hold, that are taken for wrong in AVI, which cannot state a gap."""
_STEP_MS = 20
"""From packet to packet of a trial."""
LOSS = "its copy"
"""How a failure begins that FFmpeg does not notice itself."""
_MPEG_AUDIO = frozenset({"mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float"})
"""MP4 has one number for MPEG's layers, and FFmpeg one decoder."""
_PLACEHOLDERS = {"audio": "aac", "video": "libx264"}
"""Encoders that Matroska's table has, by type of stream."""


def add_copy(container: OutputContainer, stream: Stream) -> Stream:
    """Add a stream for the packets of another one, also if PyAV's table of the container lacks its codec.

    Raises:
        ValueError: the type of stream has no place in the container.
    """
    try:
        return container.add_stream_from_template(stream, opaque=True)
    except ValueError:
        if container.format.name != "matroska" or stream.type not in _PLACEHOLDERS:
            raise  # FFmpeg would put some into .mov in the style of AVI, and says itself that they may be unplayable
    # A filter that changes nothing copies the parameters of its input to a stream that the table allowed.
    with av.open(io.BytesIO(), "w", format="matroska") as scratch:
        placeholder = scratch.add_stream(_PLACEHOLDERS[stream.type])
        copy = container.add_stream_from_template(placeholder, opaque=True)
    av.BitStreamFilterContext("null", stream, copy)
    copy.codec_context.codec_tag = "\0\0\0\0"  # the other container's; the muxer knows its own
    copy.time_base = stream.time_base
    return copy


@dataclasses.dataclass
class _Sample:
    """The first packets of one stream."""

    codec: str
    packets: list[bytes] = dataclasses.field(default_factory=list)
    keyframes: list[bool] = dataclasses.field(default_factory=list)
    times_s: list[float] = dataclasses.field(default_factory=list)
    """When each packet begins, as far as packets say."""
    lengths_s: list[float] = dataclasses.field(default_factory=list)
    """How much sound came out of the decoder for each packet; -1: it cannot be decoded."""

    @property
    def is_decodable(self) -> bool:
        """Whether all packets can be decoded."""
        return min(self.lengths_s, default=0.0) >= 0

    @property
    def states_wrong_times(self) -> bool:
        """Whether the sound is much shorter than the times of its packets say."""
        if len(self.times_s) < len(self.packets) or len(self.packets) < _MAX_PACKETS or not self.is_decodable:
            return False
        return self.times_s[-1] - self.times_s[0] > _MAX_STRETCH * sum(self.lengths_s) > 0


class StreamTrials:
    """Trials with the streams of one video.

    Args:
        path: the video.
        stream_index: of the stream that is not copied but upscaled.
    """

    def __init__(self, path: Path, stream_index: int) -> None:
        self._path, self._stream_index = path, stream_index
        self._samples: dict[int, _Sample] = {}

    def failure(self, index: int, container: str) -> str:
        """Return why a container does not carry a copy of a stream; empty if it does.

        Args:
            index: of the stream in the video.
            container: FFmpeg's name of it.
        """
        sample = self._sample(index)
        source, _ = open_video(self._path, allow_interlaced=True)
        with source:
            if source.format.name == "avi" and sample.states_wrong_times:
                return f"{LOSS} would have gaps: {self._path.suffix} does not say when it is heard"
            return _failure(source.streams[index], sample, container)

    def can_decode(self, stream: Stream) -> bool:
        """Return whether the sound of a stream can be decoded, and its header says what it is."""
        context, lengths_s = stream.codec_context, self._sample(stream.index).lengths_s
        return bool(
            isinstance(stream, AudioStream)
            and context is not None
            and stream.codec_context.sample_rate
            and stream.codec_context.layout.nb_channels
            and (not lengths_s or max(lengths_s) >= 0)
        )

    def _sample(self, index: int) -> _Sample:
        if not self._samples:
            source, _ = open_video(self._path, allow_interlaced=True)
            with source:
                self._samples = _read_samples(source, self._stream_index)
        return self._samples[index]


def _read_samples(source: InputContainer, stream_index: int) -> dict[int, _Sample]:
    streams = [one for one in source.streams if one.type in ("audio", "video", "subtitle")]
    samples = {one.index: _Sample(codec_name(one)) for one in streams}
    lacking, read_bytes = {one.index for one in streams} - {stream_index}, 0
    packets = source.demux(streams)
    for _ in range(_MAX_READ):
        try:
            packet = next(packets, None)
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            break
        if packet is None or not lacking or read_bytes > _MAX_READ_BYTES:
            break
        read_bytes += packet.size
        if packet.size and packet.stream.index in lacking:
            sample = samples[packet.stream.index]
            sample.packets.append(bytes(packet))
            sample.keyframes.append(packet.is_keyframe)
            sample.lengths_s.append(_decode_length_s(packet))
            if packet.pts is not None:
                sample.times_s.append(float(packet.pts * packet.time_base))
            if len(sample.packets) == _MAX_PACKETS:
                lacking.remove(packet.stream.index)
    return samples


def codec_name(stream: Stream) -> str:
    """Return FFmpeg's name of a stream's codec; "an unknown codec" if it has no decoder."""
    # PyAV has no context for a codec that FFmpeg does not decode, whatever its stub says.
    return str(getattr(stream.codec_context, "name", "an unknown codec"))


def _decode_length_s(packet: AnyPacket) -> float:
    """Return how much sound a packet gives, in seconds; -1 if it cannot be decoded. 0 for images and subtitles."""
    if packet.stream.type != "audio" or packet.stream.codec_context is None:
        return 0.0
    try:
        frames: Any = packet.decode()
    except AV_ERRORS as error:
        raise_if_exhausted(error)
        return -1.0
    return float(sum(frame.samples / frame.sample_rate for frame in frames))


def _failure(stream: Stream, sample: _Sample, container: str) -> str:
    try:
        content = _write(stream, sample, container)
        return _difference(content, sample) if sample.packets else ""
    except AV_ERRORS as error:
        raise_if_exhausted(error)
        return error_text(error)


def _write(stream: Stream, sample: _Sample, container: str) -> io.BytesIO:
    content = io.BytesIO()
    with av.open(content, "w", format=container) as trial:
        copy = add_copy(trial, stream)
        trial.start_encoding()
        for number, (one, is_keyframe) in enumerate(zip(sample.packets, sample.keyframes, strict=True)):
            packet = Packet(one)
            packet.pts = packet.dts = number * _STEP_MS
            packet.duration, packet.time_base = _STEP_MS, Fraction(1, 1000)
            packet.stream, packet.is_keyframe = copy, is_keyframe
            trial.mux(packet)
    content.seek(0)
    return content


def _difference(content: io.BytesIO, sample: _Sample) -> str:
    """Return how a written stream differs from its source; empty if it does not."""
    with av.open(content, "r") as trial:
        if not trial.streams:
            return f"{LOSS} comes out empty"
        codec = codec_name(trial.streams[0])
        if codec != sample.codec and not {codec, sample.codec} <= _MPEG_AUDIO:
            return f"{LOSS} comes out as {codec}"
        for packet in trial.demux(trial.streams[0]):
            if sample.is_decodable and _decode_length_s(packet) < 0:
                return f"{LOSS} can no longer be decoded"
    return ""
