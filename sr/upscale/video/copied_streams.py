"""Demux the streams that are copied beside the video: each packet with a decoding time that the new container accepts.

Every packet either goes on as it is or is counted in a Rejection. Nothing is decoded or written here.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.rational import AVRational
from av.stream import Disposition, Stream

from data.exhaustion import raise_if_exhausted
from data.records import Rejection, RejectionReason
from data.video.demux import AV_ERRORS, error_text, open_video
from data.video.pyav import AnyPacket, require_dts, require_pts, require_time_base
from data.video.timeline import AS_STORED, PacketClock, Timeline
from sr.upscale.video.convert_audio import AudioConverter
from sr.upscale.video.video_info import STAGE

COVER_MIMETYPES = {
    "png": "image/png",
    "mjpeg": "image/jpeg",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "webp": "image/webp",
}
"""MIME types of cover images, by FFmpeg's names of their codecs."""
_MAX_INTERLEAVING_S = 10
"""How far apart audio and subtitles may lie in a file: after a packet this much past the end, reading stops."""
_PRIMING_S = Fraction(1, 20)
"""How long before the first sample audio decoders begin at most."""
_MAX_UNTIMED = 32
"""Packets that wait for the first one with a decoding time; decoders reorder at most 16 frames."""


def is_preroll(packet: AnyPacket) -> bool:
    """Return whether a packet of an edit list is decoded but not played, and long before what is.

    What comes just before the first sample is copied: the decoder needs it, and drops what it yields.
    """
    if not packet.is_discard or packet.pts is None:
        return False
    return (packet.pts + (packet.duration or 0)) * packet.time_base < -_PRIMING_S


def is_cover(stream: Stream) -> bool:
    """Return whether a stream is a cover image (an attached image)."""
    return bool(stream.disposition & Disposition.attached_pic)


def read_cover(path: Path, index: int) -> bytes:
    """Return the bytes of a cover image; empty if it cannot be read.

    The video is opened again: after a seek, FFmpeg would begin the other streams at a video keyframe.
    """
    container, _ = open_video(path, allow_interlaced=True)
    with container:
        for packet in container.demux(container.streams[index]):
            return bytes(packet)
    return b""


@dataclasses.dataclass
class _CopiedStream:
    """The state of one copied stream."""

    output: Stream
    needs_unique_dts: bool
    """Whether the container wants different decoding times for all packets."""
    source_end: int | None = None
    """When the sound of the last packet ends, in the source's time base; None if its duration is not known."""
    last_dts: int | None = None
    """Of the last packet that went on, in the output's time base."""
    untimed: list[AnyPacket] = dataclasses.field(default_factory=list)
    """Packets that came before the first one with a decoding time."""
    dropped_s: list[float] = dataclasses.field(default_factory=list)
    """Times in seconds of the packets that were dropped since the last one that went on."""


class CopiedStreams:
    """The copied streams of one video.

    Args:
        source: the video; nothing has been read from it yet.
        outputs: the output streams by the source's stream indices; their time bases are final.
        converters: of the streams whose sound is converted, by the same indices.
        needs_unique_dts: the container wants different decoding times in all streams but subtitles.
        name: of the video, for Rejections.
        timeline: what makes the stored times those of the new container.
    """

    def __init__(
        self,
        source: InputContainer,
        outputs: dict[int, Stream],
        converters: dict[int, AudioConverter],
        needs_unique_dts: bool,
        name: str,
        timeline: Timeline = AS_STORED,
    ) -> None:
        self._source, self._converters, self._name = source, converters, name
        self._clock = PacketClock(timeline)
        self._copies = {
            index: _CopiedStream(output, needs_unique_dts and output.type != "subtitle")
            for index, output in outputs.items()
        }
        self.rejections: list[Rejection] = []

    def packets(self, end_s: Fraction | None) -> Iterator[AnyPacket]:
        """Yield the packets for the new container; those of each stream are in the source's order.

        Args:
            end_s: drop what begins at this time or later; None: drop nothing.
        """
        for packet in self._demux():
            index = packet.stream.index
            copy = self._copies[index]
            for timed in self._assign_dts(copy, packet):
                time_s = require_dts(timed) * timed.time_base
                if end_s is not None and time_s > end_s + _MAX_INTERLEAVING_S:
                    yield from self._finish()
                    return
                if end_s is None or time_s < end_s:
                    yield from self._pass_on(copy, timed, index)
        yield from self._finish()

    def _pass_on(self, copy: _CopiedStream, packet: AnyPacket, index: int) -> Iterator[AnyPacket]:
        """Yield a packet as it goes on, or those that its sound is converted to."""
        converter = self._converters.get(index)
        for one in converter.convert(packet) if converter else [packet]:
            if self._rescale(copy, one, index):
                yield one

    def _finish(self) -> Iterator[AnyPacket]:
        """Yield the packets that waited, and report what was lost."""
        for index, copy in self._copies.items():
            first = min((require_pts(packet) for packet in copy.untimed), default=0)
            for timed in _assign_dts_before(copy.untimed, first):
                yield from self._pass_on(copy, timed, index)
            if converter := self._converters.get(index):
                for packet in converter.finish():
                    if self._rescale(copy, packet, index):
                        yield packet
                self._report_converted(converter, index)
            self._report_dropped(copy, index)

    def _report_converted(self, converter: AudioConverter, index: int) -> None:
        where = f"stream {index} (audio)"
        if converter.failures:
            detail = f"{where}: {len(converter.failures)} packets not decoded: {converter.failures[0]}"
            self._reject("", RejectionReason.UNREADABLE, detail)
        if converter.cut_s:
            detail = f"{where} goes back in time: {converter.cut_s:.3f} s cut"
            self._reject("", RejectionReason.UNREADABLE, detail)
        if converter.silence_s:
            detail = f"{where} has gaps: {converter.silence_s:.3f} s of silence put in"
            self._reject("", RejectionReason.UNREADABLE, detail)

    def _demux(self) -> Iterator[AnyPacket]:
        streams = [stream for stream in self._source.streams if stream.index in self._copies]
        packets = self._source.demux(streams) if streams else iter(())
        while True:
            try:
                packet = next(packets, None)
            except AV_ERRORS as error:
                raise_if_exhausted(error)
                self._reject(
                    "", RejectionReason.TRUNCATED, f"audio and subtitles are cut short: {error_text(error)}"
                )
                return
            if packet is None:
                return
            # A packet without content and time is the demuxer's flush packet.
            if (packet.size or packet.dts is not None) and not is_preroll(packet):
                self._clock.correct(packet)
                yield packet

    def _assign_dts(self, copy: _CopiedStream, packet: AnyPacket) -> list[AnyPacket]:
        """Return the packets that can go on together with this one; each has a decoding time."""
        if is_cover(packet.stream):
            packet.pts = packet.dts = 0
        if packet.dts is None and packet.pts is None and packet.stream.type == "audio":
            packet.dts = packet.pts = copy.source_end  # Ogg's last packet of Vorbis
        if packet.dts is None and packet.pts is None:
            detail = f"a packet of stream {packet.stream.index} ({packet.stream.type}) has no time"
            self._reject("", RejectionReason.UNREADABLE, detail)
            return []
        if packet.dts is None and packet.stream.type != "video":
            packet.dts = packet.pts
        if packet.dts is None:
            copy.untimed.append(packet)
            if copy.last_dts is None and len(copy.untimed) <= _MAX_UNTIMED:
                return []
            first = min(require_pts(waiting) for waiting in copy.untimed)
            timed = _assign_dts_before(copy.untimed, first)
        else:
            timed = [*_assign_dts_before(copy.untimed, packet.dts), packet]
            copy.source_end = packet.dts + packet.duration if packet.duration else None
        copy.untimed = []
        return timed

    def _rescale(self, copy: _CopiedStream, packet: AnyPacket, index: int) -> bool:
        """Convert a packet to the output's time base; return whether it can go on."""
        time_s = float(require_dts(packet) * packet.time_base)
        packet.rescale_ts(AVRational(require_time_base(copy.output)))
        dts = require_dts(packet)
        if copy.needs_unique_dts and dts == copy.last_dts:
            # Two times were rounded to one, here or in the source's container.
            dts = packet.dts = dts + 1
            packet.pts = None if packet.pts is None else max(packet.pts, dts)
        shows_too_early = packet.pts is not None and packet.pts < dts
        if shows_too_early or (copy.last_dts is not None and dts < copy.last_dts):
            copy.dropped_s.append(time_s)
            return False
        if copy.needs_unique_dts and not packet.duration and copy.last_dts is not None:
            packet.duration = dts - copy.last_dts  # MP4 plays nothing of a last packet without one
        self._report_dropped(copy, index)
        copy.last_dts, packet.stream = dts, copy.output
        return True

    def _report_dropped(self, copy: _CopiedStream, index: int) -> None:
        if copy.dropped_s:
            count, first_s = len(copy.dropped_s), copy.dropped_s[0]
            detail = f"stream {index} ({copy.output.type}) goes back in time: {count} packets dropped"
            self._reject(f"@{first_s:.3f}", RejectionReason.UNREADABLE, detail)
            copy.dropped_s = []

    def _reject(self, where: str, reason: RejectionReason, detail: str) -> None:
        self.rejections.append(Rejection(f"{self._name}{where}", STAGE, reason, detail))


def _assign_dts_before(packets: list[AnyPacket], following: int) -> list[AnyPacket]:
    """Give packets the decoding times before `following`, as far apart as their nearest presentation times."""
    times = sorted(require_pts(packet) for packet in packets)
    step = min((later - time for time, later in itertools.pairwise(times) if later > time), default=1)
    for index, packet in enumerate(packets):
        packet.dts = following - step * (len(packets) - index)
    return packets
