"""Look at the planned frames of a video: decode each once and keep what choosing among them needs, never the pixels."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from data.imaging.decode import ImageFault
from data.records import Reason
from data.video.color import describe
from data.video.decode import Readers, VideoReader
from data.video.demux import FrameTable
from data.video.letterbox import Edges, find_edges
from data.video.sample import PlannedFrame
from data.video.scenes import FADE_STEP_S, THUMB_HEIGHT, THUMB_WIDTH, is_mixed

_FLAGS = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_AHEAD = 4
"""Runs in flight for each thread."""


@dataclasses.dataclass(frozen=True)
class Look:
    """What was seen of a planned frame."""

    planned: PlannedFrame
    fault: ImageFault | None
    """Why it cannot be had; the rest is empty then."""
    sha256: str = ""
    """Of the stored bytes that it was decoded from."""
    height: int = 0
    width: int = 0
    grid: tuple[int, int] = (1, 1)
    """Rows and columns of a chroma sample."""
    bit_depth: int = 8
    is_interlaced: bool = False
    is_fading: bool = False
    edges: Edges | None = None
    """Where it shows anything; None for a black frame."""
    thumb: np.ndarray | None = None
    """uint8, 36 x 64 x 3, of its code values."""


def look_at_frames(
    path: Path, table: FrameTable, planned: list[PlannedFrame], threads: int, told: Callable[[int], None]
) -> list[Look]:
    """Look at planned frames; those of one keyframe's run are decoded together, the runs side by side.

    Args:
        path: the video.
        table: its times.
        planned: ascending.
        threads: runs that are decoded at once.
        told: called with the number of frames that were looked at so far.

    Returns:
        A look for each planned frame, in their order.
    """
    runs = [list(run) for _, run in itertools.groupby(planned, key=lambda frame: frame.key)]
    readers = Readers()
    looks: list[Look] = []
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for start in range(0, len(runs), threads * _AHEAD):
            part = runs[start : start + threads * _AHEAD]
            for seen in pool.map(lambda run: _look_at_run(readers.of(path), table.time_base, run), part):
                looks += seen
                told(len(looks))
    return looks


def _look_at_run(reader: VideoReader, time_base: Fraction, run: list[PlannedFrame]) -> list[Look]:
    """Decode from one keyframe to a little after the last of its planned frames."""
    step = round(FADE_STEP_S / time_base)
    wanted = {frame.time: frame for frame in run}
    end = max(run[-1].time + step, run[0].key + 2 * step)
    thumbs: list[tuple[int, np.ndarray]] = []
    looks: dict[int, Look] = {}
    fault = ImageFault(Reason.UNREADABLE, "the video ends before it")
    try:
        for frame, digest in reader.frames_from(run[0].key):
            thumbs.append((frame.pts, _thumbnail(frame)))
            if frame.pts in wanted:
                looks[frame.pts] = _look(wanted[frame.pts], frame, digest, thumbs[-1][1])
            if frame.pts >= end:
                break
    except ImageFault as found:
        fault = found
    fading = {time: _is_fading(time, run[0].key, step, thumbs) for time in looks}
    return [
        dataclasses.replace(looks[frame.time], is_fading=fading[frame.time])
        if frame.time in looks
        else Look(frame, fault)
        for frame in run
    ]


def _look(planned: PlannedFrame, frame: VideoFrame, digest: str, thumb: np.ndarray) -> Look:
    colors = describe(frame)
    chroma = frame.format.components[-1]
    has_chroma = not frame.format.is_rgb and len(frame.format.components) >= 3
    grid = (-(-frame.height // chroma.height), -(-frame.width // chroma.width)) if has_chroma else (1, 1)
    return Look(
        planned,
        None,
        sha256=digest,
        height=frame.height,
        width=frame.width,
        grid=grid,
        bit_depth=frame.format.components[0].bits,
        is_interlaced=frame.interlaced_frame,
        edges=find_edges(_luma(frame, colors.is_full_range)),
        thumb=thumb,
    )


def _thumbnail(frame: VideoFrame) -> np.ndarray:
    small = frame.reformat(width=THUMB_WIDTH, height=THUMB_HEIGHT, format="rgb24", interpolation=_FLAGS)
    return small.to_ndarray()


def _luma(frame: VideoFrame, is_full_range: bool) -> np.ndarray:
    """Return float32 height x width: 0 for black, 1 for white."""
    if frame.format.is_rgb:
        return frame.reformat(format="gray", interpolation=_FLAGS).to_ndarray().astype(np.float32) / 255
    component = frame.format.components[0]
    kind = np.dtype("u1") if component.bits == 8 else np.dtype(">u2" if frame.format.is_big_endian else "<u2")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    values = rows[:, : plane.width].astype(np.float32)
    unit = 1 << (component.bits - 8)
    black, white = (0, 256 * unit - 1) if is_full_range else (16 * unit, 235 * unit)
    return (values - black) / (white - black)


def _is_fading(time: int, key: int, step: int, thumbs: list[tuple[int, np.ndarray]]) -> bool:
    """Compare three frames, a step apart, that lie around the one in question or, near the keyframe, begin there."""
    start = max(time - step, key)
    found = list(_first_at_or_after([start, start + step, start + 2 * step], thumbs))
    return len(found) == 3 and is_mixed(*found)


def _first_at_or_after(times: list[int], thumbs: list[tuple[int, np.ndarray]]) -> Iterator[np.ndarray]:
    for time in times:
        thumb = next((thumb for shown, thumb in thumbs if shown >= time), None)
        if thumb is not None:
            yield thumb
