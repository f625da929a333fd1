"""Decode a video from a keyframe on: the same frames wherever FFmpeg's own seek happens to land.

Each frame comes with a hash of exactly the stored bytes that decide its pixels: the packets from its keyframe to its
own, in decoding order. Damage in any of them is an ImageFault; concealed (made-up) pixels are never returned.
"""

import hashlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import ImageFault
from data.records import RejectionReason
from data.video.demux import AV_ERRORS, error_text, open_video, skip_damage
from data.video.frame_queue import END_OF_TIME, FrameQueue
from data.video.pyav import VideoPacket, require_time_base

MAX_PACKETS_FROM_KEYFRAME = 1000
"""Most packets to decode from one keyframe: 40 s; encoders place keyframes every 1 to 10 s."""
_OPEN_GOP_PACKETS = 16
"""Packets after a keyframe that begins an open GOP (H.264, as on Blu-ray discs) for which decoder errors are tolerated
at first: the decoder may complain of references that it dropped at the seek. It keeps at most 16. Such a frame still
comes out whole; a damaged one does not come out."""
_MAX_REORDERED = 32
"""Frames by which the order of decoding and of showing may differ: twice the most that a decoder keeps."""
_SEEK_BACK_BYTES = (1 << 16, 1 << 22, 1 << 62)
"""How far before the keyframe to seek where times do not tell; the last is the beginning."""
_PLACE_TOLERANCE = 1 << 13
"""Bytes by which the stated place of a packet may differ from one reading of the file to another."""
_SEEK_BACK_S = (0, 3, 30)
"""How far before the keyframe to seek, one after the other, until a seek lands at or before it. The last resort is to
read from the beginning."""


class VideoReader:
    """An open video, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container, self._stream = open_video(path)
        self._has_headers = False
        self._is_avi = self._container.format.name == "avi"
        self.out_of_order_by = _MAX_REORDERED if self._is_avi else 0
        """By how many units of time frames may come out in another order than their stored times."""

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def decode_from(self, keyframe_pts: int, keyframe_byte: int = -1) -> Iterator[tuple[VideoFrame, str]]:
        """Decode frames from a keyframe on, in presentation order.

        Args:
            keyframe_pts: the presentation time of the keyframe's packet, in units of the stream's time base.
            keyframe_byte: where that packet begins, if times alone do not tell; see `FramePlace`.

        Yields:
            A frame (its `pts` is set), and the sha256 of the bytes that it was decoded from.

        Raises:
            ImageFault: the keyframe is not found, a packet is damaged, or the next keyframe is too far away.
        """
        context = self._stream.codec_context
        extradata = context.extradata or b""
        digest = hashlib.sha256(extradata)
        digests: dict[int | None, list[str]] = {}
        queue = FrameQueue()
        if keyframe_byte >= 0 and self._is_avi:
            queue.first_pts, queue.tolerated_packets = keyframe_pts, _OPEN_GOP_PACKETS
        packets = _without_leading(self._packets_of_run(keyframe_pts, keyframe_byte), keyframe_pts)
        for count, packet in packets:
            if count > MAX_PACKETS_FROM_KEYFRAME:
                detail = f"more than {MAX_PACKETS_FROM_KEYFRAME} frames after its keyframe"
                raise ImageFault(RejectionReason.UNSUPPORTED, detail)
            if count == 0 and context.name == "h264" and not _is_idr(bytes(packet), extradata):
                queue.tolerated_packets = _OPEN_GOP_PACKETS
            if packet.size:
                digest.update(memoryview(packet))
                digests.setdefault(packet.pts, []).append(digest.hexdigest())
            frames, error = _decode_packet(packet)
            # No frame of a packet that does not show could disprove an error that is tolerated.
            if error and not (packet.is_discard and count <= queue.tolerated_packets):
                queue.add_error(packet.pts, error, count)
            for frame in frames:
                if queue.is_leading(frame):
                    continue
                if frame.is_corrupt or not digests.get(frame.pts):
                    raise ImageFault(RejectionReason.UNREADABLE, "decoding: damaged")
                queue.add_frame(frame, digests[frame.pts].pop(0))
            yield from queue.pop_frames()
        queue.raise_errors_before(END_OF_TIME)

    def _packets_of_run(self, keyframe_pts: int, keyframe_byte: int) -> Iterator[VideoPacket]:
        """Yield packets, the keyframe's first; see `decode_from`."""
        if keyframe_byte < 0:
            return self._packets_from_keyframe(keyframe_pts)
        if self._is_avi:
            return self._numbered_packets_from(keyframe_pts)
        return self._packets_from_byte(keyframe_pts, keyframe_byte)

    def _packets_from_keyframe(self, keyframe_pts: int) -> Iterator[VideoPacket]:
        """Yield packets, the keyframe's first.

        Raises:
            ImageFault: the keyframe is not in the file.
        """
        for seek_back_s in (*_SEEK_BACK_S, None):
            packets = self._packets_from(keyframe_pts, seek_back_s)
            for packet in packets:
                if packet.is_keyframe and packet.pts is not None and packet.pts >= keyframe_pts:
                    if packet.pts == keyframe_pts:
                        yield packet
                        yield from packets
                        return
                    if not packet.is_discard:
                        break
        raise ImageFault(RejectionReason.UNREADABLE, "its keyframe is not where the index says")

    def _numbered_packets_from(self, keyframe_dts: int) -> Iterator[VideoPacket]:
        """Yield packets of a container that stores no presentation times, the keyframe's first.

        Their place in the file, which is their decoding time, identifies them instead.

        Raises:
            ImageFault: the keyframe is not in the file.
        """
        self._learn_headers()
        for seek_back_s in (*_SEEK_BACK_S, keyframe_dts):
            found = False
            for packet in self._packets_from(keyframe_dts, seek_back_s):
                if not found and packet.dts is not None and packet.dts > keyframe_dts:
                    break
                found |= packet.dts == keyframe_dts and packet.is_keyframe and packet.size > 0
                if found:
                    packet.pts = packet.dts
                    yield packet
            if found:
                return
        raise ImageFault(RejectionReason.UNREADABLE, "its keyframe is not where the index says")

    def _learn_headers(self) -> None:
        """Decode the first packet once: MPEG-4 may say only there that it packs two frames into one chunk."""
        if not self._has_headers:
            for packet in itertools.islice(self._packets_from(0, None), 1):
                _decode_packet(packet)
            self._has_headers = True

    def _packets_from_byte(self, keyframe_pts: int, keyframe_byte: int) -> Iterator[VideoPacket]:
        """Yield the packets of a section of a file whose clock restarts, the keyframe's first.

        Other sections may have a keyframe with the same time. After a seek, the place that FFmpeg states may differ
        a little.

        Raises:
            ImageFault: the keyframe is not in the file.
        """
        for seek_back in _SEEK_BACK_BYTES:
            place = max(0, keyframe_byte - seek_back)
            last_dts: int | None = None
            found = False
            for packet in self._packets_from_place(place):
                place = place if packet.pos is None else packet.pos
                if not found and place > keyframe_byte + _SEEK_BACK_BYTES[0]:
                    break
                if found and packet.dts is not None and last_dts is not None and packet.dts < last_dts:
                    yield _flush_packet(self._stream)  # the next section begins
                    return
                is_keyframe = packet.is_keyframe and packet.pts == keyframe_pts
                found |= is_keyframe and place >= keyframe_byte - _PLACE_TOLERANCE
                if found:
                    last_dts = last_dts if packet.dts is None else packet.dts
                    yield packet
            if found:
                return
        raise ImageFault(RejectionReason.UNREADABLE, "its keyframe is not where the index says")

    def _packets_from_place(self, byte: int) -> Iterator[VideoPacket]:
        """Yield packets from a byte of the file on."""
        if byte == 0:
            yield from self._packets_from(0, None)
            return
        with skip_damage():
            self._container.seek(byte, stream=self._stream, unsupported_byte_offset=True)
            yield from self._container.demux(self._stream)

    def _packets_from(self, pts: int, seek_back_s: int | None) -> Iterator[VideoPacket]:
        """Yield packets from about `seek_back_s` before a time on; from the beginning of the file for None."""
        if seek_back_s is None:
            self._container.close()
            self._container, self._stream = open_video(self.path)
        else:
            target = pts - round(seek_back_s / require_time_base(self._stream))
            try:
                self._container.seek(target, stream=self._stream)
            except AV_ERRORS as error:
                raise_if_exhausted(error)
                return
        with skip_damage():
            yield from self._container.demux(self._stream)


def _without_leading(packets: Iterator[VideoPacket], keyframe_pts: int) -> Iterator[tuple[int, VideoPacket]]:
    """Yield packets with their number, but no leading frames: they refer to frames before the keyframe.

    No later frame refers to them. A keyframe that does not show begins a part of an edit list; what comes before it
    shows elsewhere, if at all.
    """
    part_pts = keyframe_pts
    for count, packet in enumerate(packets):
        if packet.is_keyframe and packet.is_discard and packet.pts is not None:
            part_pts = packet.pts
        first_pts = part_pts if packet.is_discard else keyframe_pts
        if not packet.size or (packet.pts is not None and packet.pts >= first_pts):
            yield count, packet


def _flush_packet(stream: VideoStream) -> VideoPacket:
    """Return a packet without content, for which the decoder gives the frames that it still holds."""
    packet = Packet()
    packet.stream = stream
    return cast("VideoPacket", packet)


def _decode_packet(packet: VideoPacket) -> tuple[list[VideoFrame], str]:
    """Return the frames that the decoder gives for a packet, and the error if it fails."""
    if packet.is_corrupt:
        return [], "a damaged packet"
    try:
        return packet.decode(), ""
    except AV_ERRORS as error:
        raise_if_exhausted(error)
        return [], error_text(error)


def _is_idr(packet: bytes, extradata: bytes) -> bool:
    """Return whether an H.264 keyframe is an IDR frame, after which nothing refers to earlier frames.

    It is one if it has a NAL unit of type 5. In transport streams units follow a start code (00 00 01); in MKV and MP4
    they follow their own length.
    """
    if extradata[:1] != b"\x01":
        return any(unit[0] & 0x1F == 5 for unit in packet.split(b"\0\0\1")[1:] if unit)
    length_bytes = (extradata[4] & 3) + 1
    offset = 0
    while offset + length_bytes < len(packet):
        if packet[offset + length_bytes] & 0x1F == 5:
            return True
        offset += length_bytes + int.from_bytes(packet[offset : offset + length_bytes], "big")
    return False


class ThreadLocalReaders:
    """One open video for each thread: the one that the thread used last."""

    def __init__(self) -> None:
        self._local = threading.local()

    def get(self, path: Path) -> VideoReader:
        """Return this thread's reader for a video; close the one that it had for another video.

        Raises:
            VideoFault: the video cannot be opened.
        """
        reader: VideoReader | None = getattr(self._local, "reader", None)
        if reader is None or reader.path != path:
            if reader is not None:
                reader.close()
            self._local.reader = None
            reader = self._local.reader = VideoReader(path)
        return reader
