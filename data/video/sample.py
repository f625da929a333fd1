"""Plan which frames of a video to use: from their times alone, before anything is decoded."""

import dataclasses

import numpy as np

from data.hashing import generator
from data.video.frame_table import FrameTable
from data.video.sampling_settings import FrameSamplingSettings


@dataclasses.dataclass(frozen=True)
class FramePlace:
    """Where a frame is in the file: what decoding it needs, in units of the video's time base."""

    pts: int
    """The time that its packet carries."""
    keyframe_pts: int
    """The time that the packet of its keyframe carries: decoding begins there."""
    keyframe_byte: int = -1
    """Where the packet of the keyframe begins, in a file whose times do not say it; otherwise -1."""


@dataclasses.dataclass(frozen=True)
class PlannedFrame:
    """A frame to decode; both times are in units of the video's time base."""

    pts: int
    """Presentation time of the frame."""
    keyframe_pts: int
    """Presentation time of the last keyframe at or before the frame: decoding begins there."""
    place: FramePlace
    """Where both are in the file."""


def plan_frames(table: FrameTable, settings: FrameSamplingSettings) -> list[PlannedFrame]:
    """Sample frames at random intervals.

    Each interval is drawn from the triangular distribution from the minimum to the maximum spacing, with its peak at
    the typical one (mean 9.67 s for 4, 10, 15). The next frame is the first one that shows at least that long after
    the last, so a spacing is never below the minimum, and above the maximum by less than a frame's duration. The
    first frame is uniform over the typical spacing, or over the whole of a shorter video: every video has one.

    The generator is seeded from the settings' seed and the video's digest: a copy under another name gives the same
    frames, another video gives others.
    """
    settings.check()
    stream = generator("films", settings.seed, table.digest)  # words: ok
    offsets = table.pts - table.pts[0]
    units_per_second = float(1 / table.time_base)
    target = stream.uniform(0, min(settings.typical_spacing_s * units_per_second, float(offsets[-1])))
    planned = []
    while (index := int(np.searchsorted(offsets, target))) < len(offsets):
        planned.append(_plan_frame(table, index))
        target = float(offsets[index]) + units_per_second * _draw_interval_s(stream, settings)
    return planned


def _plan_frame(table: FrameTable, index: int) -> PlannedFrame:
    pts = int(table.pts[index])
    key = int(np.searchsorted(table.keyframe_pts, pts, side="right")) - 1
    keyframe_pts = int(table.keyframe_pts[key])
    place = FramePlace(pts, keyframe_pts)
    if stored := table.stored:
        place = FramePlace(
            int(stored.frames[index]), int(stored.keyframes[key]), int(stored.keyframe_bytes[key])
        )
    return PlannedFrame(pts, keyframe_pts, place)


def _draw_interval_s(stream: np.random.Generator, settings: FrameSamplingSettings) -> float:
    if settings.min_spacing_s == settings.max_spacing_s:
        return settings.min_spacing_s
    return stream.triangular(settings.min_spacing_s, settings.typical_spacing_s, settings.max_spacing_s)
