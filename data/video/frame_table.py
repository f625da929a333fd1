"""The table of a video's frames: when each shows, and where it is in the file."""

import dataclasses
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from data.video.packet_times import PacketTimes, section_numbers
from data.video.timeline import AS_STORED, Timeline


@dataclasses.dataclass(frozen=True)
class StoredTimes:
    """Where the frames of a `FrameTable` are in the file, if their times are not those that the container stores."""

    frames: npt.NDArray[np.int64]
    """For each of `pts`: the time that its packet carries in the file."""
    keyframes: npt.NDArray[np.int64]
    """The same for each of `keyframe_pts`."""
    keyframe_bytes: npt.NDArray[np.int64]
    """Where the packet of each keyframe begins in the file."""


@dataclasses.dataclass(frozen=True)
class FrameTable:
    """When the frames of a video show; times are in units of `time_base`."""

    pts: npt.NDArray[np.int64]
    """Ascending: the presentation times of all frames that show, from the first keyframe on."""
    keyframe_pts: npt.NDArray[np.int64]
    """Ascending: those of the keyframes, where decoding can begin. The first is that of the first frame, or of a
    keyframe before it that does not show: the pre-roll of an edit list."""
    time_base: Fraction
    """Seconds in one unit."""
    codec: str
    """FFmpeg's name: h264, hevc, av1 …"""
    digest: str
    """sha256 of all times, packet sizes and keyframe flags: the same for copies of a video under any name."""
    truncation: str
    """Where and why the video is cut short; empty if it is complete."""
    last_duration: int = 0
    """How long the last frame shows, in units; 0 if its packet does not say."""
    timeline: Timeline = AS_STORED
    """How `pts` follow from the stored times."""
    stored: StoredTimes | None = None
    """The stored times, if they are not `pts`."""
    start_shift_s: Fraction = Fraction(0)
    """How much later than here the video and all its other streams must begin so that none is before zero."""
    untimed: int = 0
    """Frames without a presentation time."""
    lacks_times: bool = False
    """Whether so many have none that the table is empty; see `restore_order`."""

    def seconds(self, pts: int) -> float:
        """Return the time in seconds since the first frame."""
        return float((pts - int(self.pts[0])) * self.time_base)


def place_frames(
    table: FrameTable,
    times: PacketTimes,
    is_keyframe: npt.NDArray[np.bool_],
    preroll_keyframes: npt.NDArray[np.int64],
) -> FrameTable:
    """Sort the times of a video's frames, and leave out those before the first keyframe.

    Args:
        table: the video, without frames.
        times: of the packets whose frames show.
        is_keyframe: for each of them.
        preroll_keyframes: presentation times of the keyframes that do not show.

    Returns:
        The table with its frames; without any if there is no keyframe.
    """
    if table.timeline.joints:
        return _place_sections(table, times, is_keyframe)
    pts = np.array(times.pts)
    keyframe_pts = np.unique(np.concatenate([pts[is_keyframe], preroll_keyframes.astype(np.int64)]))
    if not len(keyframe_pts):
        return table
    used = pts[pts >= keyframe_pts[0]]
    shown = np.unique(used)
    timeline = dataclasses.replace(table.timeline, equal=len(used) - len(shown))
    return dataclasses.replace(table, pts=shown, keyframe_pts=keyframe_pts, timeline=timeline)


def _place_sections(table: FrameTable, times: PacketTimes, is_keyframe: npt.NDArray[np.bool_]) -> FrameTable:
    """Put the sections of a video, each with a clock of its own, one after another.

    The frames before the first keyframe of a section are left out: what they refer to is not in the video.
    """
    stored, places = np.array(times.pts), np.array(times.bytes)
    sections = section_numbers(times, table.timeline.starts)
    is_used = np.zeros(len(stored), bool)
    pts = stored.copy()
    for number, shift_s in enumerate(table.timeline.shifts_s):
        here = sections == number
        keys = stored[here & is_keyframe]
        pts[here] += round(shift_s / table.time_base)
        is_used |= here & (stored >= keys.min()) if len(keys) else np.zeros(len(stored), bool)
    if not is_used.any():
        return table
    shown, frames = np.unique(pts[is_used], return_index=True)
    keyframe_pts, keyframes = np.unique(pts[is_used & is_keyframe], return_index=True)
    stored_times = StoredTimes(
        stored[is_used][frames],
        stored[is_used & is_keyframe][keyframes],
        places[is_used & is_keyframe][keyframes],
    )
    return dataclasses.replace(table, pts=shown, keyframe_pts=keyframe_pts, stored=stored_times)
