"""Decode a video from a keyframe on: the same frames wherever FFmpeg's own seek happens to land.

Each frame comes with a hash of exactly the stored bytes that decide its pixels: the packets from its keyframe to its
own, in decoding order. Damage in any of them is an ImageFault; concealed (made-up) pixels are never returned.
"""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

from av.video.frame import VideoFrame

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import ImageFault
from data.records import RejectionReason
from data.video.demux import AV_ERRORS, error_text, open_video, skip_damage
from data.video.pyav import VideoPacket, require_pts, require_time_base

MAX_PACKETS_FROM_KEYFRAME = 1000
"""Most packets to decode from one keyframe: 40 s; encoders place keyframes every 1 to 10 s."""
_END_OF_TIME = 1 << 63
_OPEN_GOP_PACKETS = 16
"""Packets after a keyframe that begins an open GOP (H.264, as on Blu-ray discs) for which decoder errors are tolerated
at first: the decoder may complain of references that it dropped at the seek. It keeps at most 16. Such a frame still
comes out whole; a damaged one does not come out."""
_SEEK_BACK_S = (0, 3, 30)
"""How far before the keyframe to seek, one after the other, until a seek lands at or before it. The last resort is to
read from the beginning."""


class VideoReader:
    """An open video, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container, self._stream = open_video(path)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def decode_from(self, keyframe_pts: int) -> Iterator[tuple[VideoFrame, str]]:
        """Decode frames from a keyframe on, in presentation order.

        Args:
            keyframe_pts: the keyframe's presentation time, in units of the stream's time base.

        Yields:
            A frame (its `pts` is set), and the sha256 of the bytes that it was decoded from.

        Raises:
            ImageFault: the keyframe is not found, a packet is damaged, or the next keyframe is too far away.
        """
        context = self._stream.codec_context
        extradata = context.extradata or b""
        digest = hashlib.sha256(extradata)
        digests: dict[int | None, str] = {}
        queue = _FrameQueue()
        for count, packet in enumerate(self._packets_from_keyframe(keyframe_pts)):
            if count > MAX_PACKETS_FROM_KEYFRAME:
                detail = f"more than {MAX_PACKETS_FROM_KEYFRAME} frames after its keyframe"
                raise ImageFault(RejectionReason.UNSUPPORTED, detail)
            if packet.size and (packet.pts is None or packet.pts < keyframe_pts):
                # A leading frame: it refers to frames before the keyframe, and no later frame refers to it.
                continue
            if count == 0 and context.name == "h264" and not _is_idr(bytes(packet), extradata):
                queue.tolerated_packets = _OPEN_GOP_PACKETS
            if packet.size:
                digest.update(memoryview(packet))
                digests[packet.pts] = digest.hexdigest()
            frames, error = _decode_packet(packet)
            if error:
                queue.add_error(packet.pts, error, count)
            for frame in frames:
                if frame.is_corrupt or frame.pts not in digests:
                    raise ImageFault(RejectionReason.UNREADABLE, "decoding: damaged")
                queue.add_frame(frame, digests.pop(frame.pts))
            yield from queue.pop_frames()
        queue.raise_errors_before(_END_OF_TIME)

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
                    break
        raise ImageFault(RejectionReason.UNREADABLE, "its keyframe is not where the index says")

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


def _decode_packet(packet: VideoPacket) -> tuple[list[VideoFrame], str]:
    """Return the frames that the decoder gives for a packet, and the error if it fails."""
    if packet.is_corrupt:
        return [], "a damaged packet"
    try:
        return packet.decode(), ""
    except AV_ERRORS as error:
        raise_if_exhausted(error)
        return [], error_text(error)


class _FrameQueue:
    """Decoded frames, held back while an earlier packet has an error that its own frame may still disprove."""

    def __init__(self) -> None:
        self.tolerated_packets = 0
        """How many packets from the keyframe on may have such errors; later errors are raised at once."""
        self._last_pts = -_END_OF_TIME
        self._errors: dict[int | None, str] = {}
        self._frames: list[tuple[VideoFrame, str]] = []

    def add_error(self, pts: int | None, error: str, count: int) -> None:
        """Note the error of packet number `count`; raise it at once if it is not tolerated."""
        self._errors[pts] = error
        if count > self.tolerated_packets or pts is None:
            self.raise_errors_before(_END_OF_TIME)

    def add_frame(self, frame: VideoFrame, digest: str) -> None:
        """Add a decoded frame. It disproves the error of its own packet.

        Raises:
            ImageFault: it came out after a frame that shows later, so the container's times are wrong (AVI has none).
        """
        pts = require_pts(frame)
        if pts < self._last_pts:
            raise ImageFault(RejectionReason.UNSUPPORTED, "its container stores no presentation times")
        self._last_pts = pts
        self._frames.append((frame, digest))
        self._errors.pop(pts, None)
        self.raise_errors_before(pts)

    def raise_errors_before(self, pts: int) -> None:
        """Raise the error of a frame that should have come out before a time.

        Raises:
            ImageFault: there is one.
        """
        for error_pts, error in self._errors.items():
            if error_pts is None or error_pts < pts:
                raise ImageFault(RejectionReason.UNREADABLE, f"decoding: {error}")

    def pop_frames(self) -> list[tuple[VideoFrame, str]]:
        """Remove and return all frames; none while an error is open."""
        if self._errors:
            return []
        frames, self._frames = self._frames, []
        return frames


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
