"""Restore the order of frames in containers that store no presentation times.

AVI stores none: FFmpeg counts chunks. That is right without B-frames, and for MPEG-4 with one frame in each chunk,
because FFmpeg works out their order. For H.264 with B-frames, and for MPEG-4 that packs two frames into one chunk (as
DivX and Xvid do), the count follows the decoding order, and each frame would get another frame's time. The decoder
knows the right order. The frames come at a constant rate, so their order gives their times.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import PictureType as FrameType  # words: ok
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.imaging.decode import LARGEST_PX
from data.progress import Progress, silent
from data.records import RejectionReason
from data.video.demux import VideoFault, open_video, skip_damage
from data.video.frame_table import FrameTable, StoredTimes
from data.video.pyav import VideoPacket, require_pts, require_time_base
from data.video.timeline import Timeline

_CHECKED_FRAMES = 48
"""Frames checked from the first B-frame on (from the beginning if there is none): wrong times show within a few."""
_PROGRESS_INTERVAL = 500
"""Packets between two progress reports."""


def restore_order(path: Path, table: FrameTable, progress: Progress = silent) -> FrameTable:
    """Return a video's frame table with the frames in the order in which they show.

    Containers that store presentation times, and AVI files whose frames come out of the decoder in the order of their
    times, keep their table. The others are decoded once as a whole. A frame whose packet has no time gets one between
    its neighbors'.

    Args:
        path: the video.
        table: its frame times, as the container has them.
        progress: called with 0 of 0, and with the share decoded so far as a note.

    Raises:
        VideoFault: the video cannot be opened, or no frame can be decoded.
    """
    if table.lacks_times or is_out_of_order(path):
        return _order_frames(path, table, progress)
    if table.untimed:
        return dataclasses.replace(table, timeline=dataclasses.replace(table.timeline, untimed=table.untimed))
    return table


def is_out_of_order(path: Path) -> bool:
    """Decode the first frames of an AVI file, up to its first B-frames; return whether one came out after a later one.

    A video that cannot be decoded is not: the code that reads its frames reports what is wrong.

    Raises:
        VideoFault: the video cannot be opened.
    """
    container, stream = open_video(path, allow_interlaced=True)
    with container:
        if container.format.name != "avi":
            return False
        context = stream.codec_context
        previous: VideoFrame | None = None
        first_b: int | None = None
        for count, frame in enumerate(_decode_timed(container, stream)):
            if previous is not None and require_pts(frame) < require_pts(previous):
                return True
            previous = frame
            if first_b is None and frame.pict_type == FrameType.B:
                first_b = count
            # If the header announces B-frames, go on until there is one: they may begin late.
            start = first_b if context.has_b_frames else 0
            if start is not None and count >= start + _CHECKED_FRAMES:
                return False
    return False


def _decode_timed(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames that have a presentation time, in the decoder's order; skip damage."""
    with skip_damage():
        for packet in container.demux(stream):
            with skip_damage():
                yield from (frame for frame in packet.decode() if frame.pts is not None)


@dataclasses.dataclass
class _NumberedPackets:
    """The packets of a video, numbered in the order of the file, and the order in which their frames came out."""

    start: int = 0
    """When the video begins, by its container."""
    step: int = 1
    """How long a frame shows, by its container."""
    pts: list[int | None] = dataclasses.field(default_factory=list)
    dts: list[int | None] = dataclasses.field(default_factory=list)
    places: list[int] = dataclasses.field(default_factory=list)
    keyframes: list[bool] = dataclasses.field(default_factory=list)
    shown: list[int] = dataclasses.field(default_factory=list)
    """Numbers of the packets whose frames came out, in that order."""


def _order_frames(path: Path, table: FrameTable, progress: Progress) -> FrameTable:
    """Decode a video, and give its frames ascending times in the order in which they come out."""
    packets = _decode_numbered(path, progress)
    ranks = _rank_frames(packets.shown, len(packets.dts))
    shown = np.array(packets.shown, np.int64)
    keys = shown[np.array(packets.keyframes, bool)[shown]]
    if not len(keys):
        raise VideoFault(RejectionReason.UNREADABLE, "no frame can be decoded", "Copy or rip it again")
    numbers = np.array([0 if one is None else one for one in packets.dts], np.int64)
    order = _fill_times(packets, ranks) if table.lacks_times else np.sort(numbers)[ranks]
    used = shown[order[shown] >= order[keys[0]]]
    return dataclasses.replace(
        table,
        pts=order[used],
        keyframe_pts=order[keys],
        timeline=Timeline(order=tuple(int(one) for one in order), untimed=table.untimed),
        stored=None if table.lacks_times else _find_places(packets, used, keys),
    )


def _find_places(
    packets: _NumberedPackets, used: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]
) -> StoredTimes:
    dts, places = np.array(packets.dts, np.int64), np.array(packets.places, np.int64)
    return StoredTimes(dts[used], dts[keys], places[keys])


def _fill_times(packets: _NumberedPackets, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return a time for each packet: its own, or one between those of the nearest frames that have one.

    Before the first and after the last of these, and where there is none, frames follow each other at the stated rate.
    """
    known = sorted((int(ranks[number]), pts) for number, pts in enumerate(packets.pts) if pts is not None)
    anchors: list[tuple[int, int]] = []
    for rank, pts in known:
        if not anchors or pts - anchors[-1][1] >= rank - anchors[-1][0]:  # times ascend
            anchors.append((rank, pts))
    anchors = anchors or [(0, packets.start)]
    (first, first_pts), (last, last_pts) = anchors[0], anchors[-1]
    end = max(len(ranks), last + 1)
    anchors = [
        (-1, first_pts - (first + 1) * packets.step),
        *anchors,
        (end, last_pts + (end - last) * packets.step),
    ]
    places, times = zip(*anchors, strict=True)
    return np.asarray(np.round(np.interp(ranks, places, times)), np.int64)


def _decode_numbered(path: Path, progress: Progress) -> _NumberedPackets:
    """Decode all packets, with their numbers for times: each frame carries that of its packet."""
    container, stream = open_video(path, allow_interlaced=True)
    rate = stream.average_rate or stream.guessed_rate or 25
    found = _NumberedPackets(stream.start_time or 0, max(1, round(1 / rate / require_time_base(stream))))
    context = stream.codec_context
    context.options = {"max_pixels": str(LARGEST_PX)}
    if context.name == "h264":
        context.thread_count, context.thread_type = 0, "FRAME"
    with container, skip_damage():
        for packet in container.demux(stream):
            if packet.size:
                number = len(found.dts)
                found.pts.append(packet.pts)
                found.dts.append(packet.dts)
                found.places.append(packet.pos or 0)
                found.keyframes.append(packet.is_keyframe)
                packet.pts = number
                if number % _PROGRESS_INTERVAL == 0:
                    share = (packet.pos or 0) / max(container.size, 1)
                    progress(0, 0, f"ordering the frames of {path.name}: {share:.0%}")
            found.shown += _decoded_numbers(packet)
    return found


def _decoded_numbers(packet: VideoPacket) -> list[int]:
    numbers: list[int] = []
    with skip_damage():
        numbers = [frame.pts for frame in packet.decode() if frame.pts is not None]
    return numbers


def _rank_frames(shown: list[int], count: int) -> npt.NDArray[np.int64]:
    """Return the place of each packet's frame among all frames, in the order in which they show.

    A packet without a frame (damage, or a repetition of the frame before) keeps a place: before the frames that came
    out after a packet that stands behind it in the file.

    Example:
        >>> _rank_frames([0, 2, 3, 1], 5).tolist()
        [0, 3, 1, 2, 4]
    """
    is_missing = np.ones(count, bool)
    is_missing[shown] = False
    missing_before = np.concatenate([[0], np.cumsum(is_missing)])
    ranks = np.full(count, -1, np.int64)
    if shown:
        furthest = np.maximum.accumulate(np.array(shown))
        ranks[shown] = np.arange(len(shown)) + missing_before[furthest]
    free = np.setdiff1d(np.arange(count), ranks)
    ranks[is_missing] = free
    return ranks
