"""Open a video and learn what its container says, without decoding a pixel: what it is and when each frame shows.

FFmpeg reads the containers, through PyAV. It may open nothing but the file itself: no playlist, no address.
"""

import dataclasses
import hashlib
from array import array
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from data.imaging.decode import LARGEST_PX, ImageFault
from data.progress import Progress, silent
from data.records import Reason

_CONTAINERS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,avi,asf,flv,ogg,mxf"
"""FFmpeg's names; playlists and scripts, which name other files, are not among them."""
_PROGRESSIVE = (0, 1)
"""FFmpeg's field orders: not said, and progressive."""
_TAIL_S = 2.0
"""A video that ends more than this before its container says is broken off; sound may well last a little longer."""
_TELL_EVERY = 2000
"""Packets between two reports: some milliseconds of reading."""
_LEAST_DATED = 0.99
"""Share of packets that must have a presentation time."""

FAULTS = (av.FFmpegError, LookupError, ValueError)
"""What PyAV raises on damaged files: FFmpeg's errors, and its own when streams appear midway."""

DEINTERLACE = (
    "deinterlace it first, for example: ffmpeg -i IN -vf bwdif -c:v libx264 -crf 12 -c:a copy OUT.mkv"
)


class VideoFault(ImageFault):
    """A video that is not read at all, with the reason, what was found, and what a person can do."""

    def __init__(self, reason: Reason, detail: str, remedy: str) -> None:
        super().__init__(reason, detail)
        self.remedy = remedy


@dataclasses.dataclass(frozen=True)
class FrameTable:
    """When the frames of a video show, in whole units of `time_base`, as its container says."""

    times: np.ndarray
    """int64, ascending: the presentation times of all frames from the first keyframe on."""
    keys: np.ndarray
    """int64, ascending: those of the keyframes; a decoder can begin at each. `keys[0] == times[0]`."""
    time_base: Fraction
    """Seconds in one unit."""
    codec: str
    """FFmpeg's name for it: h264, hevc, av1 …"""
    digest: str
    """sha256 of all times, sizes and keyframe marks: equal for copies of a video, whatever they are called."""
    broken: str
    """Where and why the video breaks off; empty when it is whole."""
    last_duration: int = 0
    """How long the last frame shows, in units; 0 where its packet does not say."""

    def seconds(self, time: int) -> float:
        """Return seconds from the first frame."""
        return float((time - int(self.times[0])) * self.time_base)


def open_video(path: Path, interlaced: bool = False) -> tuple[InputContainer, VideoStream]:
    """Open a video and find its images; nothing is decoded, and oversized images never will be.

    Args:
        path: the video.
        interlaced: let it be interlaced.

    Returns:
        The open container and its first video stream that is no cover.

    Raises:
        VideoFault: no video, no decoder, too large, or interlaced.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    try:
        container = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except FAULTS as error:
        remedy = "check that it is a whole video; one that a broken copy cut short may lack its index"
        raise VideoFault(Reason.UNREADABLE, f"no video: {explain(error)}", remedy) from None
    try:
        stream = _image_stream(container, interlaced)
    except VideoFault:
        container.close()
        raise
    return container, stream


def explain(error: Exception) -> str:
    """Return one of FAULTS in FFmpeg's own few words."""
    return getattr(error, "strerror", None) or str(error)


def _image_stream(container: InputContainer, interlaced: bool) -> VideoStream:
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise VideoFault(Reason.NOT_AN_IMAGE, "no video in it", "give a file with a video track")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise VideoFault(
            Reason.UNSUPPORTED, "a codec that FFmpeg cannot decode", "convert it to H.264 or HEVC"
        )
    if context.width * context.height > LARGEST_PX:
        found = f"{context.width}x{context.height} has more than {LARGEST_PX} pixels"
        raise VideoFault(Reason.TOO_LARGE, found, "use a smaller version of it")
    if context.width * context.height == 0:
        raise VideoFault(Reason.UNREADABLE, "its header gives no image size", "remux or convert it")
    if context.field_order not in _PROGRESSIVE and not interlaced:
        raise VideoFault(Reason.UNSUPPORTED, "interlaced, as its header says", DEINTERLACE)
    # Errors must not be hidden by repaired pixels, and a size that grows midway must not pass the check above.
    context.options = {"err_detect": "crccheck+explode", "max_pixels": str(LARGEST_PX)}
    context.thread_count = 1
    return stream


def read_table(path: Path, progress: Progress = silent, interlaced: bool = False) -> FrameTable:
    """Read all packets of a video's images once, from beginning to end, and note when each frame shows.

    Args:
        path: the video.
        progress: called with 0 of 0 and the share that was read, as a note.
        interlaced: let it be interlaced.

    Raises:
        VideoFault: see `open_video`; or there is no keyframe, or the packets carry no times.
    """
    container, stream = open_video(path, interlaced)
    times, sizes, marks = array("q"), array("q"), array("b")
    undated, broken, last = 0, "", (-(1 << 63), 0)
    with container:
        whole = max(container.size, 1)
        try:
            for count, packet in enumerate(container.demux(stream)):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    undated += 1
                    continue
                times.append(packet.pts)
                sizes.append(packet.size)
                marks.append(packet.is_keyframe)
                last = max(last, (packet.pts, packet.duration or 0))
                if count % _TELL_EVERY == 0 and packet.pos:
                    progress(0, 0, f"reading {path.name}: {packet.pos / whole:.0%}")
        except FAULTS as error:
            broken = explain(error)
        stated = _stated_duration_s(container, stream)
        base, codec = Fraction(stream.time_base), stream.codec_context.name
    _check_dated(len(times), undated)
    table = _sort(np.array(times), np.array(sizes), np.array(marks, bool), base, codec)
    return dataclasses.replace(table, broken=_break(table, stated, broken), last_duration=last[1])


def _stated_duration_s(container: InputContainer, stream: VideoStream) -> float:
    """Return how long the video lasts as its header says; 0 where it does not say."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _check_dated(dated: int, undated: int) -> None:
    if dated == 0 and undated == 0:
        raise VideoFault(Reason.UNREADABLE, "not one frame in it", "copy or rip it again")
    if dated < _LEAST_DATED * (dated + undated):
        remedy = "remux it, for example: ffmpeg -fflags +genpts -i IN -c copy OUT.mkv"
        raise VideoFault(Reason.UNSUPPORTED, f"{undated} frames without a presentation time", remedy)


def _sort(times: np.ndarray, sizes: np.ndarray, marks: np.ndarray, base: Fraction, codec: str) -> FrameTable:
    """Put what was read in order; leave out what comes before the first keyframe."""
    digest = hashlib.sha256(f"{codec} {base}".encode())
    for column in (times.astype("<i8"), sizes.astype("<i8"), marks.astype("u1")):
        digest.update(column.tobytes())
    keys = np.unique(times[marks])
    if not len(keys):
        raise VideoFault(Reason.UNREADABLE, "no keyframe in it", "convert it to H.264 or HEVC")
    return FrameTable(np.unique(times[times >= keys[0]]), keys, base, codec, digest.hexdigest(), "")


def _break(table: FrameTable, stated_s: float, error: str) -> str:
    """Return where and why a video breaks off, or nothing."""
    length_s = table.seconds(int(table.times[-1]))
    if not error and length_s >= stated_s - _TAIL_S:
        return ""
    why = f" ({error})" if error else ""
    return f"the last frame is at {length_s:.2f} s of {max(stated_s, length_s):.2f} s{why}"
