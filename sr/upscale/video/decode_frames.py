"""The frames of a video in order, and what its decoder could not make of it.

Frames come as any player gets them from the decoder, errors concealed, in the order in which they show. A frame that
does not come out is a Rejection, and never an end of the work.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import av.filter
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.imaging.decode import LARGEST_PX
from data.records import Reason, Rejection
from data.video.demux import FAULTS, explain, open_video
from sr.upscale.video.video_info import STAGE, Video


def open_images(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a video and its images' decoder.

    Raises:
        VideoFault: as `open_video`.
    """
    container, stream = open_video(path, interlaced=True)
    # As players do: damaged parts of a frame are concealed. Only oversized images are refused.
    stream.codec_context.options = {"max_pixels": str(LARGEST_PX)}
    return container, stream


def first_frames(path: Path, count: int) -> list[VideoFrame]:
    """Return the first frames that come out of the decoder, as they are.

    Raises:
        VideoFault: the video cannot be opened.
    """
    container, stream = open_images(path)
    with container:
        return list(itertools.islice(_decode(container, stream, []), count))


def frames_of(video: Video, deinterlace: bool, faults: list[Rejection]) -> Iterator[VideoFrame]:
    """Decode a video from its beginning.

    Args:
        video: it.
        deinterlace: make whole images of the frames that are marked as interlaced.
        faults: what is lost is added to it.

    Yields:
        Frames with ascending times, all of the video's size and in a planar format of its chroma and depth.
    """
    container, stream = open_images(video.path)
    with container:
        last = None
        decoded = _decode(container, stream, faults)
        for frame in _deinterlaced(decoded, video) if deinterlace else decoded:
            if last is not None and frame.pts <= last:
                detail = f"a frame at {frame.pts} came out after the one at {last}"
                faults.append(Rejection(f"{video.path.name}@{frame.pts}", STAGE, Reason.UNREADABLE, detail))
                continue
            last = frame.pts
            yield _uniform(frame, video)


def decode_near(video: Video, time: int, deinterlace: bool) -> VideoFrame | None:
    """Decode the first frame at or after a time, from a keyframe before it; None where there is none.

    Where it is deinterlaced, the two frames before it are decoded, too: the filter looks at them.
    """
    container, stream = open_images(video.path)
    with container:
        container.seek(time - deinterlace * round(2 / video.rate / video.time_base), stream=stream)
        decoded = _decode(container, stream, [])
        for frame in _deinterlaced(decoded, video) if deinterlace else decoded:
            if frame.pts >= time:
                return _uniform(frame, video)
    return None


def _decode(container: InputContainer, stream: VideoStream, faults: list[Rejection]) -> Iterator[VideoFrame]:
    name = Path(container.name).name
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FAULTS as error:
            faults.append(Rejection(name, STAGE, Reason.TRUNCATED, f"the video breaks off: {explain(error)}"))
            packet = None
        try:
            frames = packet.decode() if packet is not None else stream.decode(None)
        except EOFError:  # the demuxer's own last packet has drained the decoder
            frames = []
        except FAULTS as error:
            frames = []
            at = packet.pts if packet is not None else "its end"
            faults.append(Rejection(f"{name}@{at}", STAGE, Reason.UNREADABLE, f"decoding: {explain(error)}"))
        for frame in frames:
            if frame.pts is not None:
                yield frame
            else:
                faults.append(Rejection(name, STAGE, Reason.UNREADABLE, "a frame without a time"))
        if packet is None:
            return


def _deinterlaced(frames: Iterator[VideoFrame], video: Video) -> Iterator[VideoFrame]:
    graph = None
    for frame in frames:
        frame = _uniform(frame, video)
        if graph is None:
            graph = av.filter.Graph()
            graph.threads = 1
            start = graph.add_buffer(
                width=video.width, height=video.height, format=frame.format, time_base=video.time_base
            )
            graph.link_nodes(
                start, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
            )
            graph.configure()
        graph.vpush(frame)
        yield from _pull(graph, video)
    if graph is not None:
        graph.vpush(None)
        yield from _pull(graph, video)


def _pull(graph: av.filter.Graph, video: Video) -> Iterator[VideoFrame]:
    with contextlib.suppress(BlockingIOError, EOFError):
        while True:
            frame = graph.vpull()
            # The filter counts in half units.
            frame.pts = round(frame.pts * frame.time_base / video.time_base)
            frame.time_base = video.time_base
            yield frame


def _uniform(frame: VideoFrame, video: Video) -> VideoFrame:
    """Return the frame in the video's size and planar format: itself, nearly always."""
    wanted = video.planar(video.bits)
    if video.chroma == "rgb":
        wanted = wanted.replace("yuv444p", "gbrp")
    is_there = frame.format.name.replace("yuvj", "yuv") == wanted
    if is_there and (frame.width, frame.height) == (video.width, video.height):
        return frame
    changed = frame.reformat(video.width, video.height, wanted, interpolation="BICUBIC")
    changed.pts, changed.time_base = frame.pts, frame.time_base
    return changed


def plane_of(frame: VideoFrame, number: int) -> np.ndarray:
    """Return a view of one plane: height x width, uint8, or uint16 for more than 8 bits."""
    plane = frame.planes[number]
    kind = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1).view(kind)
    return rows[:, : plane.width]
