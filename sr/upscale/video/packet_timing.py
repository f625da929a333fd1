"""Give the packets of separately encoded segments the decoding times of one stream. Pure counting."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

from data.video.pyav import AnyPacket
from sr.upscale.video.segments import SegmentHeader, read_packets
from sr.upscale.video.video_info import VideoInfo


def retime_packets(
    directory: Path, headers: list[SegmentHeader], video: VideoInfo, stream: Stream
) -> Iterator[AnyPacket]:
    """Yield the video packets of all segments, with decoding times that ascend over all of them.

    Each segment's encoder counted its own decoding times. Here decoding time i is the i-th presentation time, delayed
    by as many frames as the most reordered packet needs: so no packet is decoded after it shows, in any container.

    Args:
        directory: with the segments.
        headers: of all segments, in order.
        video: the source: its time base, and how long its last frame shows.
        stream: the output stream.
    """
    shown = sorted(pts for header in headers for pts in header.pts)
    rank = {pts: number for number, pts in enumerate(shown)}
    decoded = [pts for header in headers for pts in header.pts]
    delay = max(0, max((index - rank[pts] for index, pts in enumerate(decoded)), default=0))
    step = min((later - pts for pts, later in itertools.pairwise(shown)), default=1)
    last_duration = (shown[-1] == video.last_pts and video.last_duration) or step
    packets = (encoded for header in headers for encoded in read_packets(directory, header))
    for index, encoded in enumerate(packets):
        packet = Packet(encoded.data)
        packet.pts, packet.time_base, packet.stream = encoded.pts, video.time_base, stream
        dts_rank = index - delay
        packet.dts = shown[dts_rank] if dts_rank >= 0 else shown[0] + dts_rank * step
        following = rank[encoded.pts] + 1
        packet.duration = shown[following] - encoded.pts if following < len(shown) else last_duration
        packet.is_keyframe = encoded.is_keyframe
        yield packet
