"""Decode a video from one keyframe on: the same frames wherever the container's own search happens to land.

A frame is vouched for by the hash of exactly the stored bytes that decide its pixels: the packets from its keyframe
to its own, in decoding order. Damage anywhere in them is an ImageFault; pixels that a decoder made up are never given.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

from av.packet import Packet
from av.video.frame import VideoFrame

from data.imaging.decode import ImageFault
from data.records import Reason
from data.video.demux import FAULTS, explain, open_video

LONGEST_RUN = 1000
"""Packets that are decoded from one keyframe at the most: 40 s; encoders place keyframes every 1 to 10 s."""
_NEVER = 1 << 63
_OPEN_START = 16
"""Packets after a keyframe amid an open group of images (H.264, as on Blu-ray discs) whose decoder may complain of
images that it was told to forget and never had: it keeps 16 at the most. Such a frame comes out whole all the same;
of a damaged one some part is missing, and it does not."""
_BACK_S = (0, 3, 30)
"""How far before the keyframe a search is sent until it lands at or before it; then all is read from the beginning."""


class VideoReader:
    """An open video, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container, self._stream = open_video(path)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames_from(self, key: int) -> Iterator[tuple[VideoFrame, str]]:
        """Decode from a keyframe on, in the order of presentation.

        Args:
            key: the keyframe's presentation time, in the stream's units.

        Yields:
            A frame (its `pts` is its presentation time), and the sha256 of what it was decoded from.

        Raises:
            ImageFault: the keyframe is not found, something in the run is damaged, or the run is too long.
        """
        context = self._stream.codec_context
        extradata = context.extradata or b""
        digest = hashlib.sha256(extradata)
        digests: dict[int, str] = {}
        pending = _Pending()
        for count, packet in enumerate(self._search(key)):
            if count > LONGEST_RUN:
                raise ImageFault(Reason.UNSUPPORTED, f"more than {LONGEST_RUN} frames after its keyframe")
            if packet.size and (packet.pts is None or packet.pts < key):
                # It leans on what came before the keyframe, and nothing that shows after the keyframe leans on it.
                continue
            if count == 0 and context.name == "h264" and not _is_idr(bytes(packet), extradata):
                pending.grace = _OPEN_START
            if packet.size:
                digest.update(packet)
                digests[packet.pts] = digest.hexdigest()
            frames, complaint = _decode(packet)
            if complaint:
                pending.doubt(packet.pts, complaint, count)
            for frame in frames:
                if frame.is_corrupt or frame.pts not in digests:
                    raise ImageFault(Reason.UNREADABLE, "decoding: damaged")
                pending.add(frame, digests.pop(frame.pts))
            yield from pending.release()
        pending.refuse_before(_NEVER)

    def _search(self, key: int) -> Iterator[Packet]:
        """Yield packets, beginning with the keyframe's.

        Raises:
            ImageFault: it is not there.
        """
        for back_s in (*_BACK_S, None):
            packets = self._land(key, back_s)
            for packet in packets:
                if packet.is_keyframe and packet.pts is not None and packet.pts >= key:
                    if packet.pts == key:
                        yield packet
                        yield from packets
                        return
                    break
        raise ImageFault(Reason.UNREADABLE, "its keyframe is not where the index says")

    def _land(self, key: int, back_s: int | None) -> Iterator[Packet]:
        """Yield packets from about `back_s` before the keyframe on; from the beginning for None."""
        if back_s is None:
            self._container.close()
            self._container, self._stream = open_video(self.path)
        else:
            target = key - round(back_s / self._stream.time_base)
            try:
                self._container.seek(target, stream=self._stream)
            except FAULTS:
                return
        with contextlib.suppress(*FAULTS):
            yield from self._container.demux(self._stream)


def _decode(packet: Packet) -> tuple[list[VideoFrame], str]:
    """Return the frames that come out when a packet goes in, and what is wrong with it."""
    if packet.is_corrupt:
        return [], "a damaged packet"
    try:
        return packet.decode(), ""
    except FAULTS as error:
        return [], explain(error)


class _Pending:
    """Frames that wait until nothing that they may lean on is in doubt."""

    def __init__(self) -> None:
        self.grace = 0
        """Packets from the keyframe on whose complaints may prove empty."""
        self._shown = -_NEVER
        self._doubts: dict[int | None, str] = {}
        self._held: list[tuple[VideoFrame, str]] = []

    def doubt(self, time: int | None, complaint: str, count: int) -> None:
        """Note a complaint about a packet; raise it at once where it has no grace."""
        self._doubts[time] = complaint
        if count > self.grace or time is None:
            self.refuse_before(_NEVER)

    def add(self, frame: VideoFrame, digest: str) -> None:
        """Take a frame that came out; it settles what was said about its own packet.

        Raises:
            ImageFault: it came out after one that shows later, so the container's times are not true (AVI has none).
        """
        if frame.pts < self._shown:
            raise ImageFault(Reason.UNSUPPORTED, "its container does not say when frames show")
        self._shown = frame.pts
        self._held.append((frame, digest))
        self._doubts.pop(frame.pts, None)
        self.refuse_before(frame.pts)

    def refuse_before(self, time: int) -> None:
        """Raise what was said about a frame that should have come out before `time`."""
        for one, complaint in self._doubts.items():
            if one is None or one < time:
                raise ImageFault(Reason.UNREADABLE, f"decoding: {complaint}")

    def release(self) -> list[tuple[VideoFrame, str]]:
        """Return the frames that are beyond doubt, and forget them."""
        if self._doubts:
            return []
        held, self._held = self._held, []
        return held


def _is_idr(packet: bytes, extradata: bytes) -> bool:
    """Return whether an H.264 keyframe forgets all that came before: whether a unit of type 5 is in it.

    Units follow a start code (00 00 01) in transport streams, or their own length in MKV and MP4.
    """
    if extradata[:1] != b"\x01":
        return any(unit[0] & 0x1F == 5 for unit in packet.split(b"\0\0\1")[1:] if unit)
    width = (extradata[4] & 3) + 1
    place = 0
    while place + width < len(packet):
        if packet[place + width] & 0x1F == 5:
            return True
        place += width + int.from_bytes(packet[place : place + width], "big")
    return False


class Readers:
    """One open video for each thread: the one that the thread used last."""

    def __init__(self) -> None:
        self._local = threading.local()

    def of(self, path: Path) -> VideoReader:
        """Return this thread's reader of a video.

        Raises:
            VideoFault: it cannot be opened.
        """
        reader = getattr(self._local, "reader", None)
        if reader is None or reader.path != path:
            if reader is not None:
                reader.close()
            self._local.reader = None
            self._local.reader = VideoReader(path)
        return self._local.reader
