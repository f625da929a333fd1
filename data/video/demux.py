"""Demux a video without decoding it: find its video stream, and list when each frame and keyframe shows.

FFmpeg reads the containers, through PyAV. It may open the file itself and nothing else: no playlist, no URL.
"""

import contextlib
import dataclasses
import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import LARGEST_PX, ImageFault
from data.progress import Progress, silent
from data.records import RejectionReason
from data.video.frame_table import FrameTable, place_frames
from data.video.joined_files import find_second_file, find_second_program
from data.video.packet_times import PacketTimes, find_start_shift, find_timeline
from data.video.pyav import AnyPacket, require_time_base
from data.video.truncation import describe_truncation, explain_unreadable, read_statement

_CONTAINERS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,avi,asf,flv,ogg,mxf"
"""FFmpeg's names. Playlists and scripts, which point to other files, are not among them."""
PROGRESSIVE_FIELD_ORDERS = (0, 1)
"""FFmpeg's field orders "unknown" and "progressive"."""
_PROGRESS_INTERVAL = 2000
"""Packets between two progress reports: some milliseconds of reading."""
_MIN_TIMED_SHARE = 0.99
"""Share of the packets that must have a presentation time, besides the leading ones of the first keyframe."""
_LEADING_PACKETS = 16
"""Packets after the first keyframe that may be its leading frames: they refer to frames before the cut."""
_NO_PTS = -(1 << 63)

AV_ERRORS = (av.FFmpegError, LookupError, ValueError)
"""What PyAV raises for damaged files: FFmpeg's errors, and its own when streams appear midway."""

_TIMES_HINT = (
    "Give them times: sr-factory UpscaleVideo --input IN --output-file OUT.mkv --model bicubic --scale 1"
)
DEINTERLACE_HINT = (
    "Deinterlace it first, for example: ffmpeg -i IN -vf bwdif -c:v libx264 -crf 12 -c:a copy OUT.mkv"
)

KEEP_FRAMES_HINT = (
    "Encode it again with its frames as they are:"
    " ffmpeg -i IN -vf setfield=prog -c:v libx264 -crf 12 -c:a copy OUT.mkv"
)


class VideoFault(ImageFault):
    """A video that cannot be used: the reason, what is wrong with it, and what the user can do (`hint`)."""

    def __init__(self, reason: RejectionReason, detail: str, hint: str) -> None:
        super().__init__(reason, detail)
        self.hint = hint


def open_video(path: Path, allow_interlaced: bool = False) -> tuple[InputContainer, VideoStream]:
    """Open a video file and find its video stream. Nothing is decoded, and oversized images never will be.

    Args:
        path: the video.
        allow_interlaced: accept a stream whose header says that it is interlaced.

    Returns:
        The open container, and its first video stream that is not a cover image.

    Raises:
        VideoFault: it is not a video, has no decoder, is too large, or is interlaced.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    try:
        container = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except AV_ERRORS as error:
        raise_if_exhausted(error)
        why, hint = explain_unreadable(path)
        raise VideoFault(
            RejectionReason.UNREADABLE,
            why or f"it contains no video: {error_text(error)}",
            hint or "Check that it is a video, and that it was copied or downloaded completely",
        ) from None
    try:
        stream = _find_video_stream(container, allow_interlaced)
    except VideoFault:
        container.close()
        raise
    return container, stream


@contextlib.contextmanager
def skip_damage() -> Iterator[None]:
    """Suppress what PyAV raises for damaged files, but not a lack of memory or open files."""
    try:
        yield
    except AV_ERRORS as error:
        raise_if_exhausted(error)


def error_text(error: Exception) -> str:
    """Return the message of one of AV_ERRORS, without PyAV's error number and file name."""
    return str(getattr(error, "strerror", None) or error)


def _find_video_stream(container: InputContainer, allow_interlaced: bool) -> VideoStream:
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise VideoFault(
            RejectionReason.UNSUPPORTED, "it has no video stream", "Use a file with a video track"
        )
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise VideoFault(
            RejectionReason.UNSUPPORTED, "FFmpeg has no decoder for its codec", "Convert it to H.264 or HEVC"
        )
    if context.width * context.height > LARGEST_PX:
        detail = f"{context.width}x{context.height} is more than {LARGEST_PX} pixels"
        raise VideoFault(RejectionReason.TOO_LARGE, detail, "Use a smaller version of it")
    if context.width * context.height == 0:
        raise VideoFault(RejectionReason.UNREADABLE, "its header gives no image size", "Remux or convert it")
    if context.field_order not in PROGRESSIVE_FIELD_ORDERS and not allow_interlaced:
        raise VideoFault(
            RejectionReason.UNSUPPORTED, "its header says that it is interlaced", DEINTERLACE_HINT
        )
    # No concealment: errors must not hide behind made-up pixels, and a size that grows midway must not pass.
    context.options = {"err_detect": "crccheck+explode", "max_pixels": str(LARGEST_PX)}
    context.thread_count = 1
    return stream


def read_frame_table(
    path: Path, progress: Progress = silent, allow_interlaced: bool = False, allow_untimed: bool = False
) -> FrameTable:
    """Read all packets of a video once and note when each frame shows.

    Args:
        path: the video.
        progress: called with 0 of 0, and with the share read so far as a note.
        allow_interlaced: see `open_video`.
        allow_untimed: return an empty table if packets have no presentation times, for `restore_order`.

    Raises:
        VideoFault: see `open_video`; or there is no keyframe, or the packets have no presentation times.
    """
    container, stream = open_video(path, allow_interlaced)
    scan = _PacketScan(stream)
    error_found = ""
    with container:
        audio = [other for other in container.streams.audio if other.time_base]
        others = {other.index: PacketTimes(require_time_base(other)) for other in audio}
        file_bytes = max(container.size, 1)
        try:
            for count, packet in enumerate(container.demux([stream, *audio])):
                if packet.stream_index == stream.index:
                    scan.add(packet)
                elif packet.size:
                    others[packet.stream_index].add(packet)
                if count % _PROGRESS_INTERVAL == 0 and packet.pos:
                    progress(0, 0, f"reading {path.name}: {packet.pos / file_bytes:.0%}")
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            error_found = error_text(error)
        stream_id = stream.id
        stated = read_statement(container, stream, scan.last_pts, scan.packets, scan.ends_damaged)
        table = scan.build_table(list(others.values()), container.format.name, allow_untimed)
    _check_single_file(path, stated.container, stream_id, scan.last_byte)
    if table.lacks_times:
        return dataclasses.replace(table, truncation=error_found)
    # Where a clock restarts, a packet is marked as damaged and there may be a gap, but nothing is lost.
    damaged_pts = scan.damaged_pts if table.timeline.is_stored else []
    truncation = describe_truncation(path, table.pts, table.time_base, stated, damaged_pts, error_found)
    return dataclasses.replace(table, truncation=truncation)


def _check_single_file(path: Path, container: str, stream_id: int, last_byte: int) -> None:
    """Raise VideoFault if the file holds a second one that FFmpeg does not read."""
    if container == "mpegts":
        start = find_second_program(path, stream_id, last_byte)
    else:
        start = find_second_file(path, container)
    if start:
        suffix = path.suffix
        raise VideoFault(
            RejectionReason.UNSUPPORTED,
            f"it is several files joined byte by byte, but FFmpeg reads only the first, of {start} bytes",
            f"Cut it there and use each part: head -c {start} IN > 1{suffix}; tail -c +{start + 1} IN > 2{suffix}",
        )


class _PacketScan:
    """The packets of a video stream, as they are read."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._times = PacketTimes(require_time_base(stream))
        self._sizes, self._keyframe_flags = array("q"), array("b")
        self._preroll_keyframes = array("q")
        self._untimed = self._leading_untimed = 0
        self._last = (_NO_PTS, 0)
        self.packets = 0
        """How many there are, damaged and discarded ones too."""
        self.ends_damaged = False
        """Whether the last of them is marked as damaged."""
        self.damaged_pts: list[int] = []
        """The presentation times of all that are marked so, in units of the stream's time base."""

    @property
    def last_byte(self) -> int:
        """Where the last image with a time begins in the file."""
        return self._times.bytes[-1] if self._times.bytes else 0

    @property
    def last_pts(self) -> int:
        """The last presentation time, in units of the stream's time base."""
        return self._last[0]

    def add(self, packet: AnyPacket) -> None:
        """Add a packet; the last, empty one only flushes the decoder."""
        if packet.pts is not None or packet.size:
            self.packets, self.ends_damaged = self.packets + 1, packet.is_corrupt
            if packet.is_corrupt and packet.pts is not None:
                self.damaged_pts.append(packet.pts)
        if packet.size == 0:
            return
        if packet.is_discard:
            # Before a later part of an edit list, times are those of an earlier one: decoding begins there.
            if packet.is_keyframe and packet.pts is not None and not self._times.pts:
                self._preroll_keyframes.append(packet.pts)
            return
        if packet.pts is None:
            is_leading = self.packets <= _LEADING_PACKETS or not self._times.pts
            self._untimed += not is_leading
            self._leading_untimed += is_leading
            return
        self._times.add(packet)
        self._sizes.append(packet.size)
        self._keyframe_flags.append(packet.is_keyframe)
        self._last = max(self._last, (packet.pts, packet.duration or 0))

    def build_table(self, others: list[PacketTimes], container: str, allow_untimed: bool) -> FrameTable:
        """Return the table; `others` are the audio streams, `container` FFmpeg's name.

        Raises:
            VideoFault: see `read_frame_table`.
        """
        times = self._times
        if not self.packets:
            raise VideoFault(RejectionReason.UNREADABLE, "it has no frames", "Copy or rip it again")
        untimed = self._untimed + self._leading_untimed
        lacks_times = not times.pts or len(times.pts) < _MIN_TIMED_SHARE * (len(times.pts) + self._untimed)
        if lacks_times and not allow_untimed:
            raise VideoFault(
                RejectionReason.UNSUPPORTED, f"{untimed} frames have no presentation time", _TIMES_HINT
            )
        codec = self._stream.codec_context.name
        digest = hashlib.sha256(f"{codec} {times.time_base}".encode())
        columns = ((times.pts, "<i8"), (self._sizes, "<i8"), (self._keyframe_flags, "u1"))
        for column, kind in columns:
            digest.update(np.array(column).astype(kind).tobytes())
        timeline = find_timeline(times, others, container)
        keyframes = np.array(self._keyframe_flags, bool)
        table = FrameTable(
            pts=np.zeros(0, np.int64),
            keyframe_pts=np.zeros(0, np.int64),
            time_base=times.time_base,
            codec=codec,
            digest=digest.hexdigest(),
            truncation="",
            last_duration=self._last[1],
            timeline=timeline,
            start_shift_s=find_start_shift(times, others, timeline, container),
            untimed=untimed,
            lacks_times=lacks_times,
        )
        if lacks_times:
            return table
        placed = place_frames(table, times, keyframes, np.array(self._preroll_keyframes))
        if not len(placed.keyframe_pts):
            raise VideoFault(RejectionReason.UNREADABLE, "it has no keyframe", "Convert it to H.264 or HEVC")
        return placed
