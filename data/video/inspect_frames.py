"""Inspect the planned frames of a video: decode each once, and keep what selecting among them needs, not the pixels."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from data.imaging.decode import ImageFault
from data.records import RejectionReason
from data.video.color import read_color_info
from data.video.decode import ThreadLocalReaders, VideoReader
from data.video.frame_table import FrameTable
from data.video.letterbox import Edges, find_edges
from data.video.pyav import plane_array, require_pts, top_down
from data.video.sample import PlannedFrame
from data.video.scenes import FADE_STEP_S, THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, Thumbnail, is_transition

_FLAGS = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_AHEAD = 4
"""Decoding runs in flight for each thread."""
_BLANK = np.zeros((THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class InspectedFrame:
    """What was found out about a planned frame."""

    planned: PlannedFrame
    fault: ImageFault | None
    """Why it cannot be decoded; the other fields are empty then."""
    sha256: str = ""
    """Of the stored bytes that it was decoded from."""
    height: int = 0
    width: int = 0
    chroma_step: tuple[int, int] = (1, 1)
    """Luma rows and columns for each chroma sample."""
    bit_depth: int = 8
    is_interlaced: bool = False
    is_fading: bool = False
    edges: Edges | None = None
    """Where it shows anything; None for a black frame."""
    thumbnail: Thumbnail = dataclasses.field(default_factory=lambda: _BLANK)
    """Of its code values."""


def inspect_frames(
    path: Path,
    table: FrameTable,
    planned: list[PlannedFrame],
    threads: int,
    progress: Callable[[int], None],
) -> list[InspectedFrame]:
    """Decode and inspect planned frames.

    Frames that share a keyframe are decoded together in one run; several runs are decoded at a time.

    Args:
        path: the video.
        table: its frame times.
        planned: ascending.
        threads: runs to decode at the same time.
        progress: called with the number of frames inspected so far.

    Returns:
        One result for each planned frame, in their order.
    """
    runs = [list(run) for _, run in itertools.groupby(planned, key=lambda frame: frame.keyframe_pts)]
    readers = ThreadLocalReaders()
    inspected: list[InspectedFrame] = []
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for start in range(0, len(runs), threads * _AHEAD):
            batch = runs[start : start + threads * _AHEAD]
            for frames in pool.map(lambda run: _inspect_run(readers.get(path), table.time_base, run), batch):
                inspected += frames
                progress(len(inspected))
    return inspected


def _inspect_run(reader: VideoReader, time_base: Fraction, run: list[PlannedFrame]) -> list[InspectedFrame]:
    """Decode from a keyframe to a little after the last of its planned frames. All times are those in the file."""
    start, step = run[0].place, round(FADE_STEP_S / time_base)
    keyframe_pts = start.keyframe_pts
    planned = {frame.place.pts: frame for frame in run}
    end = max(run[-1].place.pts + step, keyframe_pts + 2 * step) + reader.out_of_order_by
    thumbnails: list[tuple[int, Thumbnail]] = []
    inspected: dict[int, InspectedFrame] = {}
    fault = ImageFault(RejectionReason.UNREADABLE, "the video ends before it")
    try:
        for frame, digest in reader.decode_from(keyframe_pts, start.keyframe_byte):
            pts = require_pts(frame)
            thumbnails.append((pts, _make_thumbnail(frame)))
            if pts in planned and pts not in inspected:  # of frames with one time, the first is used
                inspected[pts] = _inspect(planned[pts], frame, digest, thumbnails[-1][1])
            if pts >= end:
                break
    except ImageFault as found:
        fault = found
    fading = {pts: _is_fading(pts, keyframe_pts, step, thumbnails) for pts in inspected}
    return [
        dataclasses.replace(inspected[frame.place.pts], is_fading=fading[frame.place.pts])
        if frame.place.pts in inspected
        else InspectedFrame(frame, fault)
        for frame in run
    ]


def _inspect(planned: PlannedFrame, frame: VideoFrame, digest: str, thumbnail: Thumbnail) -> InspectedFrame:
    color = read_color_info(frame)
    chroma = frame.format.components[-1]
    has_chroma = not frame.format.is_rgb and len(frame.format.components) >= 3
    step = (-(-frame.height // chroma.height), -(-frame.width // chroma.width)) if has_chroma else (1, 1)
    return InspectedFrame(
        planned,
        None,
        sha256=digest,
        height=frame.height,
        width=frame.width,
        chroma_step=step,
        bit_depth=frame.format.components[0].bits,
        is_interlaced=frame.interlaced_frame,
        edges=find_edges(_luma(frame, color.is_full_range)),
        thumbnail=thumbnail,
    )


def _make_thumbnail(frame: VideoFrame) -> Thumbnail:
    small = frame.reformat(
        width=THUMBNAIL_WIDTH, height=THUMBNAIL_HEIGHT, format="rgb24", interpolation=_FLAGS
    )
    return small.to_ndarray().view(np.uint8)


def _luma(frame: VideoFrame, is_full_range: bool) -> npt.NDArray[np.float32]:
    """Return float32 height x width: 0 for black, 1 for white."""
    if frame.format.is_rgb:
        gray = frame.reformat(format="gray", interpolation=_FLAGS).to_ndarray()
        return np.asarray(gray.astype(np.float32) / 255, np.float32)
    values = plane_array(top_down(frame), 0).astype(np.float32)
    unit = 1 << (frame.format.components[0].bits - 8)
    black, white = (0, 256 * unit - 1) if is_full_range else (16 * unit, 235 * unit)
    return np.asarray((values - black) / (white - black), np.float32)


def _is_fading(pts: int, keyframe_pts: int, step: int, thumbnails: list[tuple[int, Thumbnail]]) -> bool:
    """Compare three frames, a step apart: around the one in question or, near the keyframe, from the keyframe on."""
    start = max(pts - step, keyframe_pts)
    found = list(_first_at_or_after([start, start + step, start + 2 * step], thumbnails))
    return len(found) == 3 and is_transition(*found)


def _first_at_or_after(times: list[int], thumbnails: list[tuple[int, Thumbnail]]) -> Iterator[Thumbnail]:
    for time in times:
        thumbnail = next((thumbnail for pts, thumbnail in thumbnails if pts >= time), None)
        if thumbnail is not None:
            yield thumbnail
