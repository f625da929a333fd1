"""The video that is to be upscaled: read once, and its first frames decoded, to learn what it is."""

import contextlib
import io
import math
import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.errors import UserError
from data.imaging.decode import ImageFault
from data.progress import Progress, silent
from data.video.color import describe
from data.video.demux import DEINTERLACE, FAULTS, VideoFault, open_video, read_table
from data.video.frame_order import refuse_untrue_times
from sr.upscale.video.decode_frames import first_frames, open_images
from sr.upscale.video.video_info import Video

_PROBED = 48
"""Frames that are decoded beforehand to see whether they are interlaced."""
_INTERLACED_SHARE = 0.1
"""Of those, from which a video is refused, as videos are for crops."""
_UNSAID = 2
_FULL = 2
_MASTERING = struct.Struct("22i")
_LARGEST_RATE = 1000
_DOLBY_VISION = frozenset({"DOVI_RPU_BUFFER", "DOVI_METADATA"})
_UNKEPT = {
    "A53_CC": "closed captions in the images",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
}
_MATROSKA_SITING = re.compile(rb"\x55\xb7\x81(.)\x55\xb8\x81(.)", re.DOTALL)
_SITINGS = {(b"\1", b"\1"): "topleft", (b"\2", b"\2"): "center"}
"""By Matroska's numbers across and down."""


def inspect_video(path: Path, deinterlace: bool = False, progress: Progress = silent) -> Video:
    """Read a video's packets once and decode its first frames.

    Args:
        path: the video.
        deinterlace: let interlaced videos through.
        progress: told which share was read.

    Raises:
        UserError: no video, no video, encrypted, interlaced, too large, times in another order than the frames, or
            not one frame can be decoded.
    """
    try:
        table = read_table(path, progress, interlaced=True)
        refuse_untrue_times(path)
        container, stream = open_images(path)
    except VideoFault as fault:
        raise UserError("a video", fault.detail, str(path), fault.remedy) from None
    with container:
        _refuse_encrypted(container, stream, path)
        probed = first_frames(path, _PROBED)
        if not probed:
            raise UserError("a video", "not one frame that can be decoded", str(path), "copy or rip it again")
        told = stream.codec_context.field_order not in (0, 1)
        marked = sum(frame.interlaced_frame for frame in probed)
        if not deinterlace and (told or marked >= _INTERLACED_SHARE * len(probed)):
            remedy = f"add --deinterlace, or {DEINTERLACE}"
            raise UserError("a progressive video", "fields of interlaced images", str(path), remedy)
        seconds = table.seconds(int(table.times[-1]))
        return Video(
            path=path,
            stream=stream.index,
            time_base=table.time_base,
            first=probed[0].pts,
            last=int(table.times[-1]),
            last_duration=table.last_duration,
            frames=len(table.times),
            rate=_rate(stream, len(table.times), seconds),
            aspect=stream.sample_aspect_ratio or Fraction(1),
            broken=table.broken,
            unkept=_unkept({kind for frame in probed for kind in _side_data(frame)}, probed[0], path),
            **_describe(probed[0], _stated_siting(path)),
        )


def _unkept(kinds: set[str], frame: VideoFrame, path: Path) -> tuple[str, ...]:
    """Return what goes with the frames and cannot be kept, by FFmpeg's names of side data.

    Raises:
        UserError: Dolby Vision whose colors only its metadata tell (profile 5).
    """
    if kinds & _DOLBY_VISION and (frame.color_trc, frame.color_primaries) == (_UNSAID, _UNSAID):
        found = "Dolby Vision without an HDR10, HLG or SDR base"
        raise UserError("colors that can be kept", found, str(path), "convert it to HDR10 first")
    return tuple(name for kind, name in _UNKEPT.items() if kind in kinds)


def _stated_siting(path: Path) -> str:
    """Return where FFmpeg says that chroma lies, if it says topleft or center; H.264 and HEVC mean left by nothing.

    PyAV does not give it. Matroska's header has it (ChromaSitingHorz and ChromaSitingVert), so one is written.
    """
    head = io.BytesIO()
    container, stream = open_video(path, interlaced=True)
    with container, contextlib.suppress(*FAULTS), av.open(head, "w", format="matroska") as made:
        made.add_stream_from_template(stream, opaque=True)
        made.start_encoding()
    found = _MATROSKA_SITING.search(head.getvalue())
    return _SITINGS.get(found.groups(), "") if found else ""


def _describe(frame: VideoFrame, stated_siting: str) -> dict[str, Any]:
    parts = frame.format.components
    chroma = "rgb" if frame.format.is_rgb or frame.format.has_palette else "gray"
    if len(parts) >= 3 and chroma != "rgb":
        wide = frame.format.chroma_width(64) == 64
        hr_image = frame.format.chroma_height(64) == 64
        chroma = {(True, True): "444", (False, True): "422"}.get((wide, hr_image), "420")
    try:
        colors = describe(frame)
        matrix, siting = colors.matrix, colors.siting
    except ImageFault:
        matrix, siting = "", "left"
    tags = {name: getattr(frame, name) for name in ("color_primaries", "color_trc", "colorspace")}
    tags["color_range"] = _FULL if frame.format.name.startswith("yuvj") else frame.color_range
    if chroma not in ("rgb", "gray") and tags["colorspace"] == _UNSAID:
        tags |= _deduced(tags, matrix, frame.height)
    if chroma == "rgb":  # RGB has no matrix; what is made of it has
        matrix, tags["colorspace"], tags["color_range"] = "bt709", 1, 1
    beside = _side_data(frame)
    master, light = _hdr_side_data(beside)
    turned = beside.get("DISPLAYMATRIX")
    return {
        "width": frame.width,
        "height": frame.height,
        "chroma": chroma,
        "bits": 8 if frame.format.has_palette else min(max(8, *(part.bits for part in parts)), 16),
        "tags": tags,
        "matrix": matrix,
        "siting": stated_siting or siting,
        "display_matrix": struct.unpack("9i", turned) if turned else _turned_by(frame.rotation),
        "master_display": master,
        "light_level": light,
    }


def _deduced(tags: dict[str, int], matrix: str, height: int) -> dict[str, int]:
    """Return the tags that a video without a matrix leaves unsaid, in the numbers of H.273.

    Players guess them from the size, as `describe` does, and would guess others from the upscaled video's.
    """
    if matrix == "bt601":
        if height in (288, 576):
            said = {"colorspace": 5, "color_primaries": 5, "color_trc": 6}
        elif height in (240, 480, 486):
            said = {"colorspace": 6, "color_primaries": 6, "color_trc": 6}
        else:
            said = {"colorspace": 6, "color_primaries": 1, "color_trc": 1}
    elif matrix == "bt2020":
        said = {"colorspace": 9, "color_primaries": 9, "color_trc": 14}
    elif matrix == "bt709":
        said = {"colorspace": 1, "color_primaries": 1, "color_trc": 1}
    else:
        return {}
    return {name: value for name, value in said.items() if tags[name] == _UNSAID}


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    """Return what stands beside a frame's pixels, by FFmpeg's names.

    None of it where there is a kind that PyAV does not know (EXIF of motion JPEG): it gives nothing at all then.
    """
    try:
        return {one.type.name: bytes(one) for one in frame.side_data}
    except ValueError:
        return {}


def _turned_by(degrees: int) -> tuple[int, ...]:
    """Return the display matrix of an image that is turned by quarters, counter-clockwise."""
    if not degrees:
        return ()
    cosine, sine = (round(one(math.radians(-degrees))) << 16 for one in (math.cos, math.sin))
    return cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 30


def _hdr_side_data(beside: dict[str, bytes]) -> tuple[str, str]:
    """Return mastering display and light levels as x264 and x265 take them; empty where they are not stated."""
    master, light = "", ""
    mastering = beside.get("MASTERING_DISPLAY_METADATA", b"")
    if len(mastering) >= _MASTERING.size:
        fields = _MASTERING.unpack_from(mastering)
        value = [Fraction(fields[n], fields[n + 1] or 1) for n in range(0, 20, 2)]
        red, green, blue, white = ([round(one * 50000) for one in value[n : n + 2]] for n in range(0, 8, 2))
        least, peak = round(value[8] * 10000), round(value[9] * 10000)
        if fields[20] and fields[21]:
            pairs = zip(("G", "B", "R", "WP"), (green, blue, red, white), strict=True)
            master = "".join(f"{name}({x},{y})" for name, (x, y) in pairs) + f"L({peak},{least})"
    level = beside.get("CONTENT_LIGHT_LEVEL")
    if level:
        light = "{},{}".format(*struct.unpack_from("2I", level))
    return master, light


def _rate(stream: VideoStream, frames: int, seconds: float) -> Fraction:
    """Return the stated rate where the frames bear it out, or theirs."""
    stated = stream.average_rate or stream.guessed_rate
    counted = Fraction((frames - 1) / seconds).limit_denominator(1001) if seconds > 0 else Fraction(25)
    if stated and 0 < stated <= _LARGEST_RATE and (seconds <= 0 or 0.5 <= stated / counted <= 2):
        return Fraction(stated)
    return min(max(counted, Fraction(1, 1001)), Fraction(_LARGEST_RATE))


def _refuse_encrypted(container: InputContainer, stream: VideoStream, path: Path) -> None:
    with contextlib.suppress(*FAULTS):
        for packet in container.demux(stream):
            if packet.has_sidedata("encryption_info") or packet.has_sidedata("encryption_init_info"):
                raise UserError("a video that can be read", "an encrypted one", str(path), "decrypt it first")
            break
