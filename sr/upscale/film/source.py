"""The film that is to be enlarged: what it is, its frames in order, and what its decoder could not make of it.

Frames come as any player gets them from the decoder, errors concealed, in the order in which they show. A frame that
does not come out is a Rejection, and never an end of the work.
"""

import contextlib
import dataclasses
import itertools
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.errors import UserError
from data.films.colour import describe
from data.films.container import DEINTERLACE, FAULTS, FilmFault, explain, open_film, read_table
from data.images import LARGEST_PX, ImageFault
from data.progress import Progress, silent
from data.records import Reason, Rejection

STAGE = "upscale"
_PROBED = 48
"""Frames that are decoded beforehand to see whether they are interlaced."""
_INTERLACED_SHARE = 0.1
"""Of those, from which a film is refused, as films are for crops."""
_PQ, _HLG = 16, 18
_UNSAID = 2
_FULL = 2
_MASTERING = struct.Struct("22i")
_LARGEST_RATE = 1000


@dataclasses.dataclass(frozen=True)
class Film:
    """What is known of a film before its frames are enlarged."""

    path: Path
    stream: int
    """Number of the video stream that is enlarged."""
    width: int
    height: int
    chroma: str
    """420, 422, 444, gray, or rgb."""
    bits: int
    """Of a sample: 8 to 16."""
    time_base: Fraction
    """Seconds in a unit of its times."""
    first: int
    """Presentation time of its first frame, in units; segments are counted from it."""
    last: int
    """Of its last frame, as its container lists it."""
    frames: int
    """As its container lists them; the decoder may give fewer."""
    rate: Fraction
    """Frames a second, on average: what the encoder is told."""
    aspect: Fraction
    """Of a pixel, width to height."""
    tags: dict[str, int]
    """color_range, color_primaries, color_trc, colorspace: the numbers of H.273 as the film has them."""
    matrix: str
    """Of the scale filter; empty where colours need not or cannot be converted."""
    siting: str
    """Where chroma samples lie: left, center or topleft."""
    display_matrix: tuple[int, ...]
    """Nine numbers that say how the picture is turned; empty: it is not."""
    master_display: str
    light_level: str
    broken: str
    """Where and why its container breaks off; empty when it is whole."""

    @property
    def is_hdr(self) -> bool:
        """Whether its code values are PQ's or HLG's."""
        return self.tags["color_trc"] in (_PQ, _HLG)

    @property
    def is_full_range(self) -> bool:
        """Whether black is 0 and white the largest value."""
        return self.tags["color_range"] == _FULL

    def segment_of(self, time: int, segment_s: float) -> int:
        """Return the number of the segment that a frame belongs to, by its presentation time alone."""
        return int((time - self.first) * self.time_base / Fraction(segment_s))

    def planar(self, bits: int) -> str:
        """Return FFmpeg's name of the planar pixel format with this film's chroma."""
        plain = {"rgb": "yuv444p", "gray": "gray"}.get(self.chroma, f"yuv{self.chroma}p")
        return plain if bits == 8 else f"{plain}{bits}le"


def inspect_film(path: Path, deinterlace: bool = False, progress: Progress = silent) -> Film:
    """Read a film's packets once and decode its first frames.

    Args:
        path: the film.
        deinterlace: let interlaced films through.
        progress: told which share was read.

    Raises:
        UserError: no film, no video, encrypted, interlaced, too large, or not one frame can be decoded.
    """
    try:
        table = read_table(path, progress, interlaced=True)
        container, stream = _open(path)
    except FilmFault as fault:
        raise UserError("a film", fault.detail, str(path), fault.remedy) from None
    with container:
        _refuse_encrypted(container, stream, path)
        probed = _first_frames(path)
        if not probed:
            raise UserError("a film", "not one frame that can be decoded", str(path), "copy or rip it again")
        told = stream.codec_context.field_order not in (0, 1)
        marked = sum(frame.interlaced_frame for frame in probed)
        if not deinterlace and (told or marked >= _INTERLACED_SHARE * len(probed)):
            remedy = f"add --deinterlace, or {DEINTERLACE}"
            raise UserError("a progressive film", "fields of interlaced pictures", str(path), remedy)
        seconds = table.seconds(int(table.times[-1]))
        return Film(
            path=path,
            stream=stream.index,
            time_base=table.time_base,
            first=probed[0].pts,
            last=int(table.times[-1]),
            frames=len(table.times),
            rate=_rate(stream, len(table.times), seconds),
            aspect=stream.sample_aspect_ratio or Fraction(1),
            broken=table.broken,
            **_describe(probed[0]),
        )


def _describe(frame: VideoFrame) -> dict[str, Any]:
    parts = frame.format.components
    chroma = "rgb" if frame.format.is_rgb or frame.format.has_palette else "gray"
    if len(parts) >= 3 and chroma != "rgb":
        wide = frame.format.chroma_width(64) == 64
        high = frame.format.chroma_height(64) == 64
        chroma = {(True, True): "444", (False, True): "422"}.get((wide, high), "420")
    try:
        colours = describe(frame)
        matrix, siting = colours.matrix, colours.siting
    except ImageFault:
        matrix, siting = "", "left"
    tags = {name: getattr(frame, name) for name in ("color_primaries", "color_trc", "colorspace")}
    tags["color_range"] = _FULL if frame.format.name.startswith("yuvj") else frame.color_range
    if chroma == "rgb":  # RGB has no matrix; what is made of it has
        matrix, tags["colorspace"], tags["color_range"] = "bt709", 1, 1
    master, light = _hdr_side_data(frame)
    turned = frame.side_data.get("DISPLAYMATRIX")
    return {
        "width": frame.width,
        "height": frame.height,
        "chroma": chroma,
        "bits": max((part.bits for part in parts), default=8) if not frame.format.has_palette else 8,
        "tags": tags,
        "matrix": matrix,
        "siting": siting,
        "display_matrix": struct.unpack("9i", bytes(turned)) if turned is not None else (),
        "master_display": master,
        "light_level": light,
    }


def _hdr_side_data(frame: VideoFrame) -> tuple[str, str]:
    """Return mastering display and light levels as x264 and x265 take them; empty where they are not stated."""
    master, light = "", ""
    mastering = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if mastering is not None and len(bytes(mastering)) >= _MASTERING.size:
        fields = _MASTERING.unpack_from(bytes(mastering))
        value = [Fraction(fields[n], fields[n + 1] or 1) for n in range(0, 20, 2)]
        red, green, blue, white = ([round(one * 50000) for one in value[n : n + 2]] for n in range(0, 8, 2))
        least, peak = round(value[8] * 10000), round(value[9] * 10000)
        if fields[20] and fields[21]:
            pairs = zip(("G", "B", "R", "WP"), (green, blue, red, white), strict=True)
            master = "".join(f"{name}({x},{y})" for name, (x, y) in pairs) + f"L({peak},{least})"
    level = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    if level is not None:
        light = "{},{}".format(*struct.unpack_from("2I", bytes(level)))
    return master, light


def _rate(stream: VideoStream, frames: int, seconds: float) -> Fraction:
    """Return the stated rate where the frames bear it out, or theirs."""
    stated = stream.average_rate or stream.guessed_rate
    counted = Fraction((frames - 1) / seconds).limit_denominator(1001) if seconds > 0 else Fraction(25)
    if stated and 0 < stated <= _LARGEST_RATE and (seconds <= 0 or 0.5 <= stated / counted <= 2):
        return Fraction(stated)
    return min(max(counted, Fraction(1, 1001)), Fraction(_LARGEST_RATE))


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    container, stream = open_film(path, interlaced=True)
    # As players do: damaged parts of a frame are concealed. Only oversized pictures are refused.
    stream.codec_context.options = {"max_pixels": str(LARGEST_PX)}
    return container, stream


def _refuse_encrypted(container: InputContainer, stream: VideoStream, path: Path) -> None:
    with contextlib.suppress(*FAULTS):
        for packet in container.demux(stream):
            if packet.has_sidedata("encryption_info") or packet.has_sidedata("encryption_init_info"):
                raise UserError("a film that can be read", "an encrypted one", str(path), "decrypt it first")
            break


def _first_frames(path: Path) -> list[VideoFrame]:
    container, stream = _open(path)
    with container:
        return list(itertools.islice(_decode(container, stream, []), _PROBED))


def frames_of(film: Film, deinterlace: bool, faults: list[Rejection]) -> Iterator[VideoFrame]:
    """Decode a film from its beginning.

    Args:
        film: it.
        deinterlace: make whole pictures of the frames that are marked as interlaced.
        faults: what is lost is added to it.

    Yields:
        Frames with ascending times, all of the film's size and in a planar format of its chroma and depth.
    """
    container, stream = _open(film.path)
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


def decode_near(film: Film, time: int) -> VideoFrame | None:
    """Decode the first frame at or after a time, from the keyframe before it; None where there is none."""
    container, stream = _open(film.path)
    with container:
        container.seek(time, stream=stream)
        for frame in _decode(container, stream, []):
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
