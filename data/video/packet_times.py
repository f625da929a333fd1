"""The times of a stream's packets as they are stored, and what they say about restarts of the clock.

Transport streams that were joined byte by byte, VOB files and DVDs begin their clock anew midway. The video says
where: its decoding times jump. All streams of a section get the same shift, so audio stays in sync, and the shift is
as small as it can be without two packets of a stream overlapping.
"""

import dataclasses
import math
from array import array
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from data.video.pyav import AnyPacket
from data.video.timeline import AS_STORED, Timeline

_BACK_S = 0.1
"""Decoding times that go back by more than this are a restart."""
_FORWARD_S = 10.0
"""Decoding times that go forward by more than this are a restart, if no audio plays in between."""
_SILENT_FORWARD_S = 60.0
"""The same for a video without audio: nothing else says whether an image stands still."""
_WRAPPING = frozenset({"mpegts", "mpeg"})
"""FFmpeg's names of the containers whose clock may restart. It is a counter of 33 bits: what comes just before it wraps
has times before zero. The others state all times on one clock."""
_PRIMING_S = 0.5
"""Audio may begin this long before zero in other containers: the decoder needs a little before the first sample."""
_NONE = -(1 << 63)

Times = npt.NDArray[np.float64]


@dataclasses.dataclass
class PacketTimes:
    """The packets of one stream, in the order of the file; times are in units of `time_base`."""

    time_base: Fraction
    pts: "array[int]" = dataclasses.field(default_factory=lambda: array("q"))
    dts: "array[int]" = dataclasses.field(default_factory=lambda: array("q"))
    durations: "array[int]" = dataclasses.field(default_factory=lambda: array("q"))
    bytes: "array[int]" = dataclasses.field(default_factory=lambda: array("q"))
    """Where each packet lies in the file; that of the packet before if the demuxer does not say."""
    is_primed: bool = False
    """Whether the first packet is decoded but, in part or as a whole, not played."""
    _untimed: int = 0
    """How many packets at the end state no decoding time."""

    def add(self, packet: AnyPacket) -> None:
        """Add a packet that has a presentation time or a decoding time."""
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None:
            return
        if not self.pts:
            self.is_primed = packet.is_discard or packet.has_sidedata("skip_samples")
        self.pts.append(pts)
        if packet.dts is not None:
            self._fill_dts(packet.dts)
        self.dts.append(pts if packet.dts is None else packet.dts)
        self._untimed = self._untimed + 1 if packet.dts is None else 0
        self.durations.append(packet.duration or 0)
        previous = self.bytes[-1] if self.bytes else 0
        self.bytes.append(previous if packet.pos is None else packet.pos)

    def _fill_dts(self, dts: int) -> None:
        """Give its decoding time to the packets before it that state none: a section may begin with them."""
        for index in range(len(self.dts) - self._untimed, len(self.dts)):
            self.dts[index] = dts

    def seconds(self, column: "array[int]") -> Times:
        """Return a column in seconds."""
        return np.array(column, np.float64) * float(self.time_base)


def find_timeline(video: PacketTimes, others: list[PacketTimes], container: str) -> Timeline:
    """Find where the clock of a video restarts, and what continues it.

    Args:
        video: the stream whose decoding times tell the restarts.
        others: audio streams.
        container: FFmpeg's name of it.
    """
    if container not in _WRAPPING or len(video.pts) < 2:
        return AS_STORED
    streams = [video, *(other for other in others if other.pts)]
    starts = _find_restarts(video, streams[1:])
    return _measure_shifts(streams, starts) if len(starts) > 1 else AS_STORED


def find_start_shift(
    video: PacketTimes, others: list[PacketTimes], timeline: Timeline, container: str
) -> Fraction:
    """Return how many seconds later all streams must begin so that no frame, and no audio that plays, is before zero.

    Args:
        video: the frames that show.
        others: audio streams.
        timeline: the restarts.
        container: FFmpeg's name of it.
    """
    if not video.pts:
        return Fraction(0)
    earliest = _earliest(video, timeline)
    for other in others:
        if other.pts and not other.is_primed:
            first = _earliest(other, timeline)
            if container in _WRAPPING or first < -_PRIMING_S:
                earliest = min(earliest, first)
    if earliest >= 0:
        return Fraction(0)
    return math.ceil(-earliest / video.time_base) * video.time_base


def _earliest(times: PacketTimes, timeline: Timeline) -> Fraction:
    """Return the first presentation time in seconds."""
    shifts = [round(one / times.time_base) for one in timeline.shifts_s]
    sections = section_numbers(times, timeline.starts)
    return int((np.array(times.pts) + np.array(shifts)[sections]).min()) * times.time_base


def section_numbers(times: PacketTimes, starts: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return the number of each packet's section."""
    return np.maximum(np.searchsorted(np.array(starts), np.array(times.bytes), side="right") - 1, 0)


def _find_restarts(video: PacketTimes, others: list[PacketTimes]) -> tuple[int, ...]:
    """Return the bytes where sections begin; 0 is the first."""
    starts = [0]
    dts_s, places = video.seconds(video.dts), video.bytes
    forward_s = _FORWARD_S if others else _SILENT_FORWARD_S
    for before in _find_jumps(dts_s, forward_s):
        low, high = places[before], places[before + 1]
        if dts_s[before + 1] > dts_s[before] and any(
            _plays_between(other, dts_s[before] + 1, dts_s[before + 1] - 1, low, high) for other in others
        ):
            continue
        # Audio of the new section may stand before its first frame.
        firsts = [_first_jump_between(other, low, high) for other in others]
        start = min([high, *(first for first in firsts if first is not None)])
        if start > starts[-1]:
            starts.append(start)
    return tuple(starts)


def _find_jumps(times_s: Times, forward_s: float) -> list[int]:
    """Return the packets after which the times jump for good: not the one packet whose time alone is wrong."""
    steps = np.diff(times_s)
    jumps: list[int] = []
    returning = -1
    for before in np.flatnonzero((steps < -_BACK_S) | (steps > forward_s)).tolist():
        if before == returning:
            continue
        if before + 2 < len(times_s) and 0 < times_s[before + 2] - times_s[before] <= forward_s:
            returning = before + 1
        else:
            jumps.append(before)
    return jumps


def _plays_between(other: PacketTimes, start_s: float, end_s: float, low: int, high: int) -> bool:
    """Return whether a stream has packets in a stretch of time, and near a place in the file."""
    times_s, places = other.seconds(other.dts), np.array(other.bytes)
    near = (places >= low) & (places <= high)
    return bool(np.any(near & (times_s > start_s) & (times_s < end_s)))


def _first_jump_between(other: PacketTimes, low: int, high: int) -> int | None:
    """Return the place of a stream's first packet after a jump, if it lies between two places."""
    for before in _find_jumps(other.seconds(other.dts), _FORWARD_S):
        if low < other.bytes[before + 1] < high:
            return other.bytes[before + 1]
    return None


def _measure_shifts(streams: list[PacketTimes], starts: tuple[int, ...]) -> Timeline:
    """Return the smallest shifts with which each stream goes on, in each section, where it ended before."""
    unit = streams[0].time_base
    sections = [section_numbers(stream, starts) for stream in streams]
    ends: list[tuple[float, float] | None] = [None] * len(streams)
    shifts: list[Fraction] = []
    for number in range(len(starts)):
        spans = [_span(stream, numbers == number) for stream, numbers in zip(streams, sections, strict=True)]
        needed = [
            max(end[0] - span[0], end[1] - span[1])
            for end, span in zip(ends, spans, strict=True)
            if end is not None and span is not None
        ]
        shift_s = math.ceil(max(needed) / float(unit) - 1e-3) * unit if number and needed else Fraction(0)
        shifts.append(shift_s)
        for index, span in enumerate(spans):
            if span is not None:
                ends[index] = (span[2] + float(shift_s), span[3] + float(shift_s))
    return Timeline(starts, tuple(shifts))


def _span(stream: PacketTimes, is_here: npt.NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    """Return the first presentation and decoding time of a section, and where both go on after it; None if empty."""
    if not is_here.any():
        return None
    pts_s, dts_s = stream.seconds(stream.pts)[is_here], stream.seconds(stream.dts)[is_here]
    durations_s = stream.seconds(stream.durations)[is_here]
    steps_s = np.diff(dts_s)
    if not durations_s.any() and (steps_s > 0).any():  # unstated
        durations_s += np.median(steps_s[steps_s > 0])
    return (
        float(pts_s.min()),
        float(dts_s.min()),
        float((pts_s + durations_s).max()),
        float((dts_s + durations_s).max()),
    )
