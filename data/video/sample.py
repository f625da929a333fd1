"""Which frames of a video are taken: a matter of times alone, before anything is decoded."""

import dataclasses

import numpy as np

from data.hashing import generator
from data.video.demux import FrameTable
from data.video.sampling_settings import VideoSettings


@dataclasses.dataclass(frozen=True)
class PlannedFrame:
    """A frame that is to be taken, in the video's units of time."""

    time: int
    """When it shows."""
    key: int
    """When the keyframe shows that decoding begins at: the last one at or before the frame."""


def plan_frames(table: FrameTable, settings: VideoSettings) -> list[PlannedFrame]:
    """Choose frames at random intervals.

    Each interval is drawn from the triangular distribution from the least to the greatest spacing, with its peak
    at the usual one (mean 9.67 s for 4, 10, 15), and the next frame is the first one that shows that long after the
    last, so spacings are never below the least, nor more than a frame's duration above the greatest. The first frame
    is uniform over the usual spacing, or over the whole of a shorter video: every video gives one.

    The numbers come from a generator that is seeded by the seed and the video's digest: a copy under another name
    gives the same frames, another video others.
    """
    settings.check()
    stream = generator("videos", settings.seed, table.digest)
    offsets = table.times - table.times[0]
    units = float(1 / table.time_base)
    target = stream.uniform(0, min(settings.typical_spacing_s * units, float(offsets[-1])))
    planned = []
    while (place := int(np.searchsorted(offsets, target))) < len(offsets):
        time = int(table.times[place])
        key = int(table.keys[np.searchsorted(table.keys, time, side="right") - 1])
        planned.append(PlannedFrame(time, key))
        target = float(offsets[place]) + units * _interval_s(stream, settings)
    return planned


def _interval_s(stream: np.random.Generator, settings: VideoSettings) -> float:
    if settings.min_spacing_s == settings.max_spacing_s:
        return settings.min_spacing_s
    return stream.triangular(settings.min_spacing_s, settings.typical_spacing_s, settings.max_spacing_s)
