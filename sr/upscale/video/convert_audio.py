"""Convert a sound stream to another codec while the video is muxed, at its own times.

The decoder's sound becomes one unbroken row of samples that begins where the source's begins: a gap is filled with
silence, and what overlaps is cut, so that sound and images stay together to the end.
"""

import dataclasses
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer

from data.exhaustion import raise_if_exhausted
from data.video.demux import AV_ERRORS, error_text
from data.video.pyav import AnyPacket

COPY = "copy"
_TOLERANCE_S = 0.03
"""A frame may begin this much beside the end of the last one: containers round times to milliseconds or more."""
_SILENCE_S = 1
"""Silence is written in pieces of at most this length."""


@dataclasses.dataclass(frozen=True)
class AudioCodec:
    """An encoder of sound, and what it takes."""

    encoder: str
    formats: tuple[str, ...]
    """Sample formats for sources of up to 16 bits, and of more."""
    rates: tuple[int, ...]
    """Sample rates, ascending; empty: any."""
    channel_bit_rate: int
    """Bits per second and channel; 0: lossless."""
    containers: tuple[str, ...]
    """Suffixes of the containers that take it."""


AUDIO_CODECS = {
    "aac": AudioCodec(
        "aac",
        ("fltp", "fltp"),
        (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
        96_000,
        (".mkv", ".mp4", ".m4v", ".mov"),
    ),
    "flac": AudioCodec("flac", ("s16", "s32"), (), 0, (".mkv", ".mp4", ".m4v")),
    "opus": AudioCodec(
        "libopus",
        ("flt", "flt"),
        (8000, 12000, 16000, 24000, 48000),
        80_000,
        (".mkv", ".mp4", ".m4v", ".webm"),
    ),
}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Layouts by number of channels, where an encoder does not take the source's; the same speakers, as far as possible."""
_DTYPES = {"s16": np.int16, "s32": np.int32, "flt": np.float32}
_EIGHT_OR_SIXTEEN_BITS = ("u8", "u8p", "s16", "s16p")


def add_encoder(container: OutputContainer, source: AudioStream, codec: AudioCodec) -> AudioStream:
    """Add a stream for the converted sound of another stream, with an encoder that is ready to open.

    Raises:
        ValueError: the container or the encoder does not take it.
    """
    context = source.codec_context
    if not context.sample_rate or not context.layout.nb_channels:
        raise ValueError("its header states no sample rate or channels")
    layout = _choose_layout(context, codec)
    stream = container.add_stream(codec.encoder, rate=_choose_rate(context.sample_rate, codec))
    if not isinstance(stream, AudioStream):
        raise TypeError(f"{codec.encoder} is not an encoder of sound")
    _configure(stream.codec_context, layout, _choose_format(context, codec), codec)
    return stream


def _choose_rate(rate: int, codec: AudioCodec) -> int:
    """Return the sample rate itself, or the next higher one that the encoder takes."""
    return next((one for one in codec.rates if one >= rate), codec.rates[-1]) if codec.rates else rate


def _choose_format(context: AudioCodecContext, codec: AudioCodec) -> str:
    return codec.formats[context.format.name not in _EIGHT_OR_SIXTEEN_BITS]


def _choose_layout(context: AudioCodecContext, codec: AudioCodec) -> str:
    """Return the source's layout of channels if the encoder takes it, or the usual one of as many channels."""
    channels = context.layout.nb_channels
    for layout in (AudioLayout(context.layout.name).name, _LAYOUTS.get(channels, "")):
        trial = av.CodecContext.create(codec.encoder, "w")
        if not isinstance(trial, AudioCodecContext):
            raise TypeError(f"{codec.encoder} is not an encoder of sound")
        trial.sample_rate = _choose_rate(context.sample_rate, codec)
        try:
            _configure(trial, layout, _choose_format(context, codec), codec)
            trial.open()
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            continue
        return layout
    raise ValueError(f"it has {channels} channels")


def _configure(context: AudioCodecContext, layout: str, sample_format: str, codec: AudioCodec) -> None:
    context.layout, context.format = layout, sample_format
    context.time_base = Fraction(1, context.sample_rate)
    context.flags |= Flags.bitexact
    if codec.channel_bit_rate:
        context.bit_rate = codec.channel_bit_rate * context.layout.nb_channels


class AudioConverter:
    """Decodes the packets of one stream and encodes their sound.

    Args:
        source: the stream whose packets are converted.
        output: the stream with the encoder, see `add_encoder`.
        has_times: the container says when each packet is heard. AVI does not, so that its sound has no gaps.
    """

    def __init__(self, source: AudioStream, output: AudioStream, has_times: bool = True) -> None:
        self._has_times = has_times
        self._source, self._output, self._context = source, output, output.codec_context
        self._rate = output.codec_context.sample_rate
        self._format = output.codec_context.format.packed.name  # PyAV reads planes of eight channels wrongly
        self._next: int | None = None
        """The time after the last sample, in samples of the output."""
        self._resampler: AudioResampler | None = None
        self._input: tuple[str, str, int] | None = None
        self.failures: list[str] = []
        """One for each packet that could not be decoded."""
        self.silence_s = 0.0
        """Length of the gaps that were filled."""
        self.cut_s = 0.0
        """Length of what was cut because something was there already."""

    def convert(self, packet: AnyPacket) -> list[AnyPacket]:
        """Return the converted packets that are ready after one of the source."""
        return self._decode(packet)

    def finish(self) -> list[AnyPacket]:
        """Return the last packets."""
        packets = self._decode(None)
        packets += self._encode_all(self._resampler.resample(None) if self._resampler else [])
        if self._next is not None:
            packets += self._output.encode(None)
        return packets

    def _decode(self, packet: "AnyPacket | None") -> list[AnyPacket]:
        try:
            frames = self._source.decode(packet)
        except EOFError:  # the demuxer's own last packet has flushed the decoder
            return []
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            self.failures.append(error_text(error))
            return []
        packets = []
        for frame in frames:
            packets += self._encode_all(self._resample(frame))
        return packets

    def _resample(self, frame: AudioFrame) -> list[AudioFrame]:
        """Convert a frame to the encoder's format; the source's may change midway."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        frames: list[AudioFrame] = []
        if kind != self._input:
            frames = self._resampler.resample(None) if self._resampler else []
            self._resampler = AudioResampler(self._format, self._context.layout, self._rate)
            self._input = kind
        assert self._resampler is not None
        return [*frames, *self._resampler.resample(frame)]

    def _encode_all(self, frames: list[AudioFrame]) -> list[AnyPacket]:
        packets: list[AnyPacket] = []
        for frame in frames:
            for placed in self._place(frame):
                packets += self._output.encode(placed)
        return packets

    def _place(self, frame: AudioFrame) -> list[AudioFrame]:
        """Return a frame at the end of what was encoded, with silence before it, or without what overlaps."""
        is_next = self._next is not None and not self._has_times
        if is_next or frame.pts is None or frame.time_base is None:
            start = self._next or 0
        else:
            start = round(frame.pts * frame.time_base * self._rate)
        gap = 0 if self._next is None else start - self._next
        placed: list[AudioFrame] = []
        if self._next is None:
            self._next = start
        elif gap > _TOLERANCE_S * self._rate:
            self.silence_s += gap / self._rate
            while gap:
                length = min(gap, _SILENCE_S * self._rate)
                placed.append(self._timed(self._silence(length)))
                gap -= length
        elif gap < -_TOLERANCE_S * self._rate:
            cut = min(-gap, frame.samples)
            self.cut_s += cut / self._rate
            if cut == frame.samples:
                return []
            frame = self._without_begin(frame, cut)
        return [*placed, self._timed(frame)]

    def _timed(self, frame: AudioFrame) -> AudioFrame:
        assert self._next is not None
        frame.pts, frame.time_base, frame.sample_rate = self._next, Fraction(1, self._rate), self._rate
        self._next += frame.samples
        return frame

    def _silence(self, samples: int) -> AudioFrame:
        zeros: Any = np.zeros((1, self._context.layout.nb_channels * samples), _DTYPES[self._format])
        return AudioFrame.from_ndarray(zeros, self._format, self._context.layout)

    def _without_begin(self, frame: AudioFrame, samples: int) -> AudioFrame:
        rest: Any = frame.to_ndarray()[:, samples * self._context.layout.nb_channels :]
        return AudioFrame.from_ndarray(np.ascontiguousarray(rest), frame.format, frame.layout)
