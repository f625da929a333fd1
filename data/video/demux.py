"""Demux a video without decoding it: find its video stream, and list when each frame and keyframe shows.

FFmpeg reads the containers, through PyAV. It may open the file itself and nothing else: no playlist, no URL.
"""

import contextlib
import dataclasses
import hashlib
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import LARGEST_PX, ImageFault
from data.progress import Progress, silent
from data.records import RejectionReason
from data.video.pyav import require_time_base
from data.video.truncation import describe_truncation, explain_unreadable, read_statement

_CONTAINERS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,avi,asf,flv,ogg,mxf"
"""FFmpeg's names. Playlists and scripts, which point to other files, are not among them."""
PROGRESSIVE_FIELD_ORDERS = (0, 1)
"""FFmpeg's field orders "unknown" and "progressive"."""
_PROGRESS_INTERVAL = 2000
"""Packets between two progress reports: some milliseconds of reading."""
_MIN_TIMED_SHARE = 0.99
"""Share of the packets that must have a presentation time."""
_NO_PTS = -(1 << 63)

AV_ERRORS = (av.FFmpegError, LookupError, ValueError)
"""What PyAV raises for damaged files: FFmpeg's errors, and its own when streams appear midway."""

DEINTERLACE_HINT = (
    "Deinterlace it first, for example: ffmpeg -i IN -vf bwdif -c:v libx264 -crf 12 -c:a copy OUT.mkv"
)


class VideoFault(ImageFault):
    """A video that cannot be used: the reason, what is wrong with it, and what the user can do (`hint`)."""

    def __init__(self, reason: RejectionReason, detail: str, hint: str) -> None:
        super().__init__(reason, detail)
        self.hint = hint


@dataclasses.dataclass(frozen=True)
class FrameTable:
    """When the frames of a video show, according to its container; times are in units of `time_base`."""

    pts: npt.NDArray[np.int64]
    """Ascending: the presentation times of all frames from the first keyframe on."""
    keyframe_pts: npt.NDArray[np.int64]
    """Ascending: those of the keyframes, where decoding can begin. `keyframe_pts[0] == pts[0]`."""
    time_base: Fraction
    """Seconds in one unit."""
    codec: str
    """FFmpeg's name: h264, hevc, av1 …"""
    digest: str
    """sha256 of all times, packet sizes and keyframe flags: the same for copies of a video under any name."""
    truncation: str
    """Where and why the video is cut short or has a hole; empty if it is complete."""
    last_duration: int = 0
    """How long the last frame shows, in units; 0 if its packet does not say."""

    def seconds(self, pts: int) -> float:
        """Return the time in seconds since the first frame."""
        return float((pts - int(self.pts[0])) * self.time_base)


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


def read_frame_table(path: Path, progress: Progress = silent, allow_interlaced: bool = False) -> FrameTable:
    """Read all packets of a video stream once and note when each frame shows.

    Args:
        path: the video.
        progress: called with 0 of 0, and with the share read so far as a note.
        allow_interlaced: see `open_video`.

    Raises:
        VideoFault: see `open_video`; or there is no keyframe, or the packets have no presentation times.
    """
    container, stream = open_video(path, allow_interlaced)
    pts, sizes, keyframe_flags = array("q"), array("q"), array("b")
    untimed, error_found, last, packets, ends_damaged = 0, "", (_NO_PTS, 0), 0, False
    with container:
        file_bytes = max(container.size, 1)
        try:
            for count, packet in enumerate(container.demux(stream)):
                if packet.pts is not None or packet.size:  # the last, empty one only flushes the decoder
                    packets, ends_damaged = packets + 1, packet.is_corrupt
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    untimed += 1
                    continue
                pts.append(packet.pts)
                sizes.append(packet.size)
                keyframe_flags.append(packet.is_keyframe)
                last = max(last, (packet.pts, packet.duration or 0))
                if count % _PROGRESS_INTERVAL == 0 and packet.pos:
                    progress(0, 0, f"reading {path.name}: {packet.pos / file_bytes:.0%}")
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            error_found = error_text(error)
        stated = read_statement(container, stream, last[0], packets, ends_damaged)
        time_base, codec = require_time_base(stream), stream.codec_context.name
    _check_timed(len(pts), untimed)
    table = _build_table(np.array(pts), np.array(sizes), np.array(keyframe_flags, bool), time_base, codec)
    truncation = describe_truncation(path, table.pts, time_base, stated, error_found)
    return dataclasses.replace(table, truncation=truncation, last_duration=last[1])


def _check_timed(timed: int, untimed: int) -> None:
    if timed == 0 and untimed == 0:
        raise VideoFault(RejectionReason.UNREADABLE, "it has no frames", "Copy or rip it again")
    if timed < _MIN_TIMED_SHARE * (timed + untimed):
        hint = "Remux it, for example: ffmpeg -fflags +genpts -i IN -c copy OUT.mkv"
        raise VideoFault(RejectionReason.UNSUPPORTED, f"{untimed} frames have no presentation time", hint)


def _build_table(
    pts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    is_keyframe: npt.NDArray[np.bool_],
    time_base: Fraction,
    codec: str,
) -> FrameTable:
    """Sort the times, and leave out the frames before the first keyframe."""
    digest = hashlib.sha256(f"{codec} {time_base}".encode())
    for column in (pts.astype("<i8"), sizes.astype("<i8"), is_keyframe.astype("u1")):
        digest.update(column.tobytes())
    keyframe_pts = np.unique(pts[is_keyframe])
    if not len(keyframe_pts):
        raise VideoFault(RejectionReason.UNREADABLE, "it has no keyframe", "Convert it to H.264 or HEVC")
    shown = np.unique(pts[pts >= keyframe_pts[0]])
    return FrameTable(shown, keyframe_pts, time_base, codec, digest.hexdigest(), "")
