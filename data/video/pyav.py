"""What several modules need of PyAV: definite types where its stubs say "optional", planes as arrays, filter graphs."""

from fractions import Fraction
from typing import Any, TypeAlias

import av.filter
import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

VideoPacket: TypeAlias = "Packet[VideoStream]"
AnyPacket: TypeAlias = "Packet[Any]"


def require_pts(item: "VideoFrame | AnyPacket") -> int:
    """Return the presentation time of a frame or packet, in units of its time base.

    Raises:
        TypeError: it has none; callers sort such frames and packets out first.
    """
    if item.pts is None:
        raise TypeError("a frame or packet without a presentation time")
    return item.pts


def require_dts(packet: AnyPacket) -> int:
    """Return the decoding time of a packet, in units of its time base.

    Raises:
        TypeError: it has none.
    """
    if packet.dts is None:
        raise TypeError("a packet without a decoding time")
    return packet.dts


def require_time_base(item: Stream | VideoFrame) -> Fraction:
    """Return the time base in seconds of an open stream or a decoded frame.

    Raises:
        TypeError: it has none; an open container gives every stream one.
    """
    if item.time_base is None:
        raise TypeError("a stream or frame without a time base")
    return Fraction(item.time_base)


def read_side_data(frame: VideoFrame) -> dict[str, bytes]:
    """Return a frame's side data by FFmpeg's names, such as MASTERING_DISPLAY_METADATA.

    Empty if there is a kind that PyAV does not know (for example EXIF in motion JPEG): PyAV returns nothing then.
    """
    try:
        entries: Any = frame.side_data  # the stub has a dictionary; it is a sequence of SideData
        return {entry.type.name: bytes(entry) for entry in entries}
    except ValueError:
        return {}


def plane_array(frame: VideoFrame, number: int) -> npt.NDArray[Any]:
    """Return a writable view of one plane of a planar frame.

    Returns:
        height x width of the plane; uint8 for up to 8 bits per sample, otherwise uint16 in the frame's byte order.

    Raises:
        ValueError: the rows go from bottom to top, see `top_down`.
    """
    plane = frame.planes[number]
    if plane.line_size < 0:
        raise ValueError("a frame whose rows go from bottom to top")
    wide = ">u2" if frame.format.is_big_endian else "<u2"
    samples = np.frombuffer(memoryview(plane), "u1" if frame.format.components[0].bits <= 8 else wide)
    rows = samples.reshape(plane.height, -1)
    return rows[:, : plane.width]


def top_down(frame: VideoFrame) -> VideoFrame:
    """Return a decoded frame with its rows from top to bottom in memory: almost always the frame itself.

    Some decoders (AMV, raw video in AVI) give them from bottom to top, which FFmpeg's filters understand. PyAV's planes
    begin with the last row then, and end in other memory.
    """
    if all(frame.planes[number].line_size >= 0 for number in range(len(frame.planes))):
        return frame
    graph = build_filter_graph(frame, Fraction(1, 1000), ("copy", ""))
    graph.vpush(frame)
    copy = graph.vpull()
    copy.pts, copy.time_base = frame.pts, frame.time_base
    return copy


def build_filter_graph(frame: VideoFrame, time_base: Fraction, *filters: tuple[str, str]) -> av.filter.Graph:
    """Build an FFmpeg filter chain that runs in the calling thread.

    Args:
        frame: the chain takes frames of this one's size and pixel format.
        time_base: of the frames, in seconds.
        filters: name and options of each filter, in order.

    Example:
        graph = build_filter_graph(frame, Fraction(1, 25), ("scale", "w=64:h=36"), ("format", "rgb24"))
        graph.vpush(frame)
        small = graph.vpull()
    """
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=time_base
    )
    nodes = [graph.add(name, options) for name, options in filters]
    graph.link_nodes(source, *nodes, graph.add("buffersink"))
    graph.configure()
    return graph
