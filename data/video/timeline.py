"""Correct the stored times of a video, all streams alike: joints where its clock restarts, a start before zero.

A corrected time only ever ascends and is at least zero. The correction of a packet depends on where in the file it
lies, so each pass over the file, whatever streams it reads, gives each packet the same time.
"""

import bisect
import dataclasses
import json
from collections.abc import Iterator
from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

from data.video.pyav import AnyPacket, VideoPacket


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What to add to the stored times of a video's packets. The default adds nothing."""

    starts: tuple[int, ...] = (0,)
    """Ascending: the bytes of the file where a section begins; each section has a clock of its own."""
    shifts_s: tuple[Fraction, ...] = (Fraction(0),)
    """Seconds to add to the times of each section."""
    order: tuple[int, ...] = ()
    """Presentation times of the video's packets, in the order of the file, where the container stores none: in units
    of the stream's time base. Empty for containers that store them."""
    equal: int = 0
    """Frames with the time of another frame."""
    untimed: int = 0
    """Frames without a time: if `order` is empty, they are left out."""

    @property
    def joints(self) -> int:
        """How many restarts of the clock are bridged."""
        return len(self.starts) - 1

    @property
    def is_stored(self) -> bool:
        """Whether the stored times are right as they are."""
        return not self.order and not self.joints and not self.shifts_s[0]

    def shifted(self, shift_s: Fraction) -> "Timeline":
        """Return the timeline with all times later by some seconds."""
        return dataclasses.replace(self, shifts_s=tuple(one + shift_s for one in self.shifts_s))

    def describe(self) -> tuple[str, ...]:
        """Return what was done to the stored times, in words for the result."""
        found = []
        if self.joints:
            found.append(
                f"its clock restarts {self.joints} times" if self.joints > 1 else "its clock restarts once"
            )
            found[-1] += ": bridged, all streams alike"
        if self.shifts_s[0]:
            found.append(f"it begins before time zero: all streams {float(self.shifts_s[0]):.3f} s later")
        if self.order:
            what = (
                f"{self.untimed} of its frames have no time"
                if self.untimed
                else "its container stores no times"
            )
            found.append(f"{what}: put in the order in which they come out of the decoder")
        elif self.untimed:
            found.append(f"{self.untimed} of its frames have no time: left out")
        if self.equal:
            found.append(
                f"{self.equal} of its frames have the time of the frame before: moved towards the next"
            )
        return tuple(found)

    def section(self, byte: int) -> int:
        """Return the number of the section that a byte of the file belongs to."""
        return max(0, bisect.bisect_right(self.starts, byte) - 1)

    def __str__(self) -> str:
        """Return the timeline as text for `parse`."""
        return json.dumps(
            [self.starts, [str(one) for one in self.shifts_s], self.order, self.untimed, self.equal]
        )

    @classmethod
    def parse(cls, text: str) -> "Timeline":
        """Parse what `str` gave."""
        starts, shifts_s, order, untimed, equal = json.loads(text)
        shifts = tuple(Fraction(one) for one in shifts_s)
        return cls(tuple(starts), shifts, tuple(order), untimed=untimed, equal=equal)


AS_STORED = Timeline()
"""Adds nothing."""


class PacketClock:
    """Corrects the packets of one pass over a file, in the order in which the demuxer gives them."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._sections: dict[int, int] = {}
        """Of the last packet of each stream: a demuxer states no place for the second frame of one piece."""

    def correct(self, packet: AnyPacket) -> None:
        """Shift the times of a packet."""
        if packet.pos is not None:
            self._sections[packet.stream_index] = self._timeline.section(packet.pos)
        shift_s = self._timeline.shifts_s[self._sections.get(packet.stream_index, 0)]
        if not shift_s:
            return
        units = round(shift_s / Fraction(packet.time_base))
        packet.pts = None if packet.pts is None else packet.pts + units
        packet.dts = None if packet.dts is None else packet.dts + units


def demux_video(container: InputContainer, stream: VideoStream, timeline: Timeline) -> Iterator[VideoPacket]:
    """Yield the packets of a video stream from the beginning on, with corrected times, and the flush packet last."""
    clock, order = PacketClock(timeline), iter(timeline.order)
    for packet in container.demux(stream):
        clock.correct(packet)
        if packet.size and timeline.order:
            packet.pts = next(order, None)
        yield packet
