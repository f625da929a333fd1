"""When packets of separately encoded segments are decoded, once they are one stream. Pure counting."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

from sr.upscale.video.segments import SegmentHeader, read_packets
from sr.upscale.video.video_info import Video


def timed_packets(
    directory: Path, headers: list[SegmentHeader], video: Video, stream: Stream
) -> Iterator[Packet]:
    """Yield the images' packets with decoding times that ascend over all segments.

    Args:
        directory: with the segments.
        headers: of all of them, in order.
        video: the source: its units, and how long its last frame shows.
        stream: that the packets go to.

    Each encoder counted its own. Decoding time i is the i-th presentation time, put off by as many frames as the most
    reordered packet needs: so it never comes after its own presentation, in whatever container.
    """
    shown = sorted(time for header in headers for time in header.times)
    delay, place = 0, 0
    rank = {time: number for number, time in enumerate(shown)}
    for header in headers:
        for time in header.times:
            delay = max(delay, place - rank[time])
            place += 1
    step = min((later - time for time, later in itertools.pairwise(shown)), default=1)
    last = (shown[-1] == video.last and video.last_duration) or step
    place = 0
    for header in headers:
        for one in read_packets(directory, header):
            packet = Packet(one.content)
            packet.pts, packet.time_base, packet.stream = one.time, video.time_base, stream
            early = place - delay
            packet.dts = shown[early] if early >= 0 else shown[0] + early * step
            following = rank[one.time] + 1
            packet.duration = shown[following] - one.time if following < len(shown) else last
            packet.is_keyframe = one.is_key
            place += 1
            yield packet
