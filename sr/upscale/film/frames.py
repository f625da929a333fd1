"""The frames of a film in order, and what its decoder could not make of it.

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

from data.films.container import FAULTS, explain, open_film
from data.images import LARGEST_PX
from data.records import Reason, Rejection
from sr.upscale.film.description import STAGE, Film


def open_pictures(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a film and its pictures' decoder.

    Raises:
        FilmFault: as `open_film`.
    """
    container, stream = open_film(path, interlaced=True)
    # As players do: damaged parts of a frame are concealed. Only oversized pictures are refused.
    stream.codec_context.options = {"max_pixels": str(LARGEST_PX)}
    return container, stream


def first_frames(path: Path, count: int) -> list[VideoFrame]:
    """Return the first frames that come out of the decoder, as they are.

    Raises:
        FilmFault: the film cannot be opened.
    """
    container, stream = open_pictures(path)
    with container:
        return list(itertools.islice(_decode(container, stream, []), count))


def frames_of(film: Film, deinterlace: bool, faults: list[Rejection]) -> Iterator[VideoFrame]:
    """Decode a film from its beginning.

    Args:
        film: it.
        deinterlace: make whole pictures of the frames that are marked as interlaced.
        faults: what is lost is added to it.

    Yields:
        Frames with ascending times, all of the film's size and in a planar format of its chroma and depth.
    """
    container, stream = open_pictures(film.path)
    with container:
        last = None
        decoded = _decode(container, stream, faults)
        for frame in _deinterlaced(decoded, film) if deinterlace else decoded:
            if last is not None and frame.pts <= last:
                detail = f"a frame at {frame.pts} came out after the one at {last}"
                faults.append(Rejection(f"{film.path.name}@{frame.pts}", STAGE, Reason.UNREADABLE, detail))
                continue
            last = frame.pts
            yield _uniform(frame, film)


def decode_near(film: Film, time: int, deinterlace: bool) -> VideoFrame | None:
    """Decode the first frame at or after a time, from a keyframe before it; None where there is none.

    Where it is deinterlaced, the two frames before it are decoded, too: the filter looks at them.
    """
    container, stream = open_pictures(film.path)
    with container:
        container.seek(time - deinterlace * round(2 / film.rate / film.time_base), stream=stream)
        decoded = _decode(container, stream, [])
        for frame in _deinterlaced(decoded, film) if deinterlace else decoded:
            if frame.pts >= time:
                return _uniform(frame, film)
    return None


def _decode(container: InputContainer, stream: VideoStream, faults: list[Rejection]) -> Iterator[VideoFrame]:
    name = Path(container.name).name
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FAULTS as error:
            faults.append(Rejection(name, STAGE, Reason.TRUNCATED, f"the film breaks off: {explain(error)}"))
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


def _deinterlaced(frames: Iterator[VideoFrame], film: Film) -> Iterator[VideoFrame]:
    graph = None
    for frame in frames:
        frame = _uniform(frame, film)
        if graph is None:
            graph = av.filter.Graph()
            graph.threads = 1
            start = graph.add_buffer(
                width=film.width, height=film.height, format=frame.format, time_base=film.time_base
            )
            graph.link_nodes(
                start, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
            )
            graph.configure()
        graph.vpush(frame)
        yield from _pull(graph, film)
    if graph is not None:
        graph.vpush(None)
        yield from _pull(graph, film)


def _pull(graph: av.filter.Graph, film: Film) -> Iterator[VideoFrame]:
    with contextlib.suppress(BlockingIOError, EOFError):
        while True:
            frame = graph.vpull()
            # The filter counts in half units.
            frame.pts = round(frame.pts * frame.time_base / film.time_base)
            frame.time_base = film.time_base
            yield frame


def _uniform(frame: VideoFrame, film: Film) -> VideoFrame:
    """Return the frame in the film's size and planar format: itself, nearly always."""
    wanted = film.planar(film.bits)
    if film.chroma == "rgb":
        wanted = wanted.replace("yuv444p", "gbrp")
    is_there = frame.format.name.replace("yuvj", "yuv") == wanted
    if is_there and (frame.width, frame.height) == (film.width, film.height):
        return frame
    changed = frame.reformat(film.width, film.height, wanted, interpolation="BICUBIC")
    changed.pts, changed.time_base = frame.pts, frame.time_base
    return changed


def plane_of(frame: VideoFrame, number: int) -> np.ndarray:
    """Return a view of one plane: height x width, uint8, or uint16 for more than 8 bits."""
    plane = frame.planes[number]
    kind = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1).view(kind)
    return rows[:, : plane.width]
