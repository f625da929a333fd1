"""The packets of what is copied beside the images, each with a decoding time that its new container takes.

A packet goes on as it is or is a Rejection; nothing is lost without a word. Nothing is decoded or written here.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.rational import AVRational
from av.stream import Disposition, Stream

from data.records import Reason, Rejection
from data.video.demux import FAULTS, explain, open_video
from sr.upscale.video.video_info import STAGE

COVERS = {"png": "image/png", "mjpeg": "image/jpeg", "gif": "image/gif", "bmp": "image/bmp"} | {
    "tiff": "image/tiff",
    "webp": "image/webp",
}
"""Kinds of attached images: FFmpeg's names of the codecs, and what an attachment is called."""
_LAPSE_S = 10
"""How far sound and subtitles may lie apart in a file: what comes later than this after an end is not looked for."""
_WAITING = 32
"""Packets that wait for the first one with a decoding time; decoders reorder 16 frames at the most."""


def is_cover(stream: Stream) -> bool:
    """Return whether a stream is an attached image."""
    return bool(stream.disposition & Disposition.attached_pic)


def read_cover(path: Path, number: int) -> bytes:
    """Return the bytes of an attached image; none where it cannot be read.

    The video is opened anew: after a search, FFmpeg would begin the other streams at a keyframe of the images.
    """
    container, _ = open_video(path, interlaced=True)
    with container:
        for packet in container.demux(container.streams[number]):
            return bytes(packet)
    return b""


@dataclasses.dataclass
class _Copy:
    """One copied stream."""

    made: Stream
    is_strict: bool
    """Whether its container wants decoding times that differ."""
    last: int | None = None
    """Decoding time of the last packet that went on, in the new container's units."""
    waiting: list[Packet] = dataclasses.field(default_factory=list)
    """Packets that came before the first one with a decoding time."""
    lost: list[float] = dataclasses.field(default_factory=list)
    """Times in seconds of packets that did not go on, since the last one that did."""


class Others:
    """The copied streams of one video."""

    def __init__(self, source: InputContainer, copies: dict[int, Stream], is_strict: bool, name: str) -> None:
        """Prepare.

        Args:
            source: the video, nothing of it read yet.
            copies: the new container's streams by the source's numbers; their units are settled.
            is_strict: the container wants decoding times that differ, of all but subtitles.
            name: of the video, for Rejections.
        """
        self._source, self._name = source, name
        self._copies = {
            number: _Copy(made, is_strict and made.type != "subtitle") for number, made in copies.items()
        }
        self.rejections: list[Rejection] = []

    def packets(self, end_s: Fraction | None) -> Iterator[Packet]:
        """Yield the packets for the new container, those of each stream in order, as the source has them.

        Args:
            end_s: leave out what begins later; None: everything.
        """
        for packet in self._demux():
            number = packet.stream.index
            copy = self._copies[number]
            for dated in self._date(copy, packet):
                at_s = dated.dts * dated.time_base
                if end_s is not None and at_s > end_s + _LAPSE_S:
                    return
                if (end_s is None or at_s < end_s) and self._fit(copy, dated, number):
                    yield dated
        for number, copy in self._copies.items():
            for dated in _dated_backwards(copy.waiting, min((one.pts for one in copy.waiting), default=0)):
                if self._fit(copy, dated, number):
                    yield dated
            self._tell_lost(copy, number)

    def _demux(self) -> Iterator[Packet]:
        streams = [stream for stream in self._source.streams if stream.index in self._copies]
        packets = self._source.demux(streams) if streams else iter(())
        while True:
            try:
                packet = next(packets, None)
            except FAULTS as error:
                self._reject("", Reason.TRUNCATED, f"sound and subtitles break off: {explain(error)}")
                return
            if packet is None:
                return
            if packet.size or packet.dts is not None:  # otherwise the demuxer's last words
                yield packet

    def _date(self, copy: _Copy, packet: Packet) -> list[Packet]:
        """Return the packets that can go on with this one; each has a decoding time."""
        if is_cover(packet.stream):
            packet.pts = packet.dts = 0
        if packet.dts is None and packet.pts is None:
            detail = f"a packet of stream {packet.stream.index} ({packet.stream.type}) without a time"
            self._reject("", Reason.UNREADABLE, detail)
            return []
        if packet.dts is None and packet.stream.type != "video":
            packet.dts = packet.pts
        if packet.dts is None:
            copy.waiting.append(packet)
            if copy.last is None and len(copy.waiting) <= _WAITING:
                return []
            first = min(one.pts for one in copy.waiting)
            ready = _dated_backwards(copy.waiting, first)
        else:
            ready = [*_dated_backwards(copy.waiting, packet.dts), packet]
        copy.waiting = []
        return ready

    def _fit(self, copy: _Copy, packet: Packet, number: int) -> bool:
        """Turn a packet over to the new container's stream; return whether it can go on."""
        at_s = float(packet.dts * packet.time_base)
        packet.rescale_ts(AVRational(copy.made.time_base))
        if (
            copy.is_strict and packet.dts == copy.last
        ):  # rounded to one time, there or by the source's container
            packet.dts += 1
            packet.pts = None if packet.pts is None else max(packet.pts, packet.dts)
        is_early = packet.pts is not None and packet.pts < packet.dts
        if is_early or (copy.last is not None and packet.dts < copy.last):
            copy.lost.append(at_s)
            return False
        self._tell_lost(copy, number)
        copy.last, packet.stream = packet.dts, copy.made
        return True

    def _tell_lost(self, copy: _Copy, number: int) -> None:
        if copy.lost:
            count, first = len(copy.lost), copy.lost[0]
            detail = f"stream {number} ({copy.made.type}) goes back in time: {count} packets left out"
            self._reject(f"@{first:.3f}", Reason.UNREADABLE, detail)
            copy.lost = []

    def _reject(self, where: str, reason: Reason, detail: str) -> None:
        self.rejections.append(Rejection(f"{self._name}{where}", STAGE, reason, detail))


def _dated_backwards(packets: list[Packet], following: int) -> list[Packet]:
    """Give packets the decoding times before `following`, as far apart as their nearest presentation times."""
    times = sorted(packet.pts for packet in packets)
    step = min((later - time for time, later in itertools.pairwise(times) if later > time), default=1)
    for place, packet in enumerate(packets):
        packet.dts = following - step * (len(packets) - place)
    return packets
