"""Bring frames that differ from a video's first ones into its form: size, orientation, pixel aspect, format, colors.

Recordings change midway: a phone is turned, a broadcast switches from 4:3 to 16:9, pieces are joined. The encoder and
the network take one size. So other frames are scaled to fit it in their own aspect, between black bars.
"""

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

import av.filter
from av.video.frame import VideoFrame

from data.video.color import FULL_RANGE
from data.video.pyav import build_filter_graph, plane_array, require_pts
from sr.upscale.video.alpha import without_alpha
from sr.upscale.video.frame_info import describe_frame
from sr.upscale.video.video_info import VideoInfo

_SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none"
_QUARTER_TURNS = {0: (), 1: ("cclock",), 2: ("cclock", "cclock"), 3: ("clock",)}
"""Directions of FFmpeg's transpose filter, by quarter turns counter-clockwise."""
_CHROMA_STEPS = {"420": (2, 2), "422": (2, 1)}
"""Luma columns and rows for each chroma sample."""
_LIMITED_RANGE = 1
"""By its number in FFmpeg."""
_HDR_NAMES = {16: "HDR (PQ)", 18: "HDR (HLG)"}
"""By the transfer's number of H.273."""

_Key: TypeAlias = "tuple[Any, ...]"
Fit: TypeAlias = "Callable[[VideoFrame], VideoFrame]"


@dataclasses.dataclass
class _Change:
    """Frames that differ from the video's first ones in the same way."""

    text: str
    """How; empty if they do not."""
    fit: Fit
    first_pts: int = 0
    frames: int = 0


class FrameFitter:
    """Converts the frames of one video, and counts those that differ from its first ones.

    Args:
        video: the video; its fields are those of its first frame.
        allow_interlaced: do not report frames that are marked as interlaced.
    """

    def __init__(self, video: VideoInfo, allow_interlaced: bool = True) -> None:
        self._video, self._allow_interlaced = video, allow_interlaced
        self.concealed = 0
        """How many frames are damaged: the decoder made up what is missing in them."""
        self.first_aspect: Fraction | None = None
        """The pixel aspect that the decoder states at the beginning; None if it states none."""
        self._changes: dict[_Key, _Change] = {}

    def fit(self, frame: VideoFrame, aspect: Fraction | None = None) -> VideoFrame:
        """Return a frame in the video's size and planar format: almost always the frame itself.

        Args:
            frame: as it comes from the decoder.
            aspect: the pixel aspect that the decoder states now.
        """
        tags = (frame.color_range, frame.colorspace, frame.color_trc, frame.color_primaries)
        marked = frame.interlaced_frame and not self._allow_interlaced
        key = (frame.width, frame.height, frame.format.name, frame.rotation, *tags, aspect, marked)
        change = self._changes.get(key)
        if change is None:
            change = self._changes[key] = self._plan(frame, aspect)
            change.first_pts = require_pts(frame)
        change.frames += 1
        self.concealed += frame.is_corrupt
        fitted = change.fit(without_alpha(frame))
        if fitted is not frame:
            fitted.pts, fitted.time_base = frame.pts, frame.time_base
        return fitted

    def report(self) -> list[str]:
        """Return how many frames differed, from when on, how, and what became of them."""
        changes = sorted((one for one in self._changes.values() if one.text), key=lambda one: one.first_pts)
        start, time_base = self._video.first_pts, self._video.time_base
        return [
            f"{one.frames} frames from {float((one.first_pts - start) * time_base):.2f} s on {one.text}"
            for one in changes
        ]

    def _plan(self, frame: VideoFrame, aspect: Fraction | None) -> _Change:
        """Find out in what a frame differs, and how it is converted."""
        video, own = self._video, describe_frame(frame, "")
        if frame.color_range == _LIMITED_RANGE:  # the format's name (yuvj…) stays where the range changes
            own["color_tags"]["color_range"] = _LIMITED_RANGE
        turns = _quarter_turns(own["display_matrix"], frame.rotation) - _quarter_turns(
            video.display_matrix, None
        )
        ratio = Fraction(aspect or 1) / Fraction(self.first_aspect or 1)
        texts = []
        if (frame.width, frame.height) != (video.width, video.height):
            texts.append(f"are {frame.width}x{frame.height} instead of {video.width}x{video.height}")
        if turns % 4:
            texts.append(f"are turned by {turns % 4 * 90} degrees")
        if ratio != 1:
            texts.append(f"have pixels {float(ratio):.3f} times as wide")
        done = "scaled to fit, between black bars where they do not fill it" if texts else "converted"
        for name, was, now in (
            ("chroma", video.chroma, own["chroma"]),
            ("bits", video.bit_depth, own["bit_depth"]),
            ("matrix", video.matrix, own["matrix"]),
            ("range", _range_name(video.color_tags), _range_name(own["color_tags"])),
        ):
            if was != now:
                texts.append(f"have {name} {now} instead of {was}")
        convert = _Converter(video, own, turns % 4, ratio) if texts else self._convert_format
        parts = [f"{' and '.join(texts)} ({done})"] if texts else []
        was, now = _light_name(video.color_tags), _light_name(own["color_tags"])
        if was != now:
            parts.append(f"are {now} instead of {was} (not converted)")
        if frame.interlaced_frame and not self._allow_interlaced:
            parts.append("are marked as interlaced (taken as they are; --deinterlace makes whole frames)")
        return _Change(" and ".join(parts), convert)

    def _convert_format(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame in the planar format of the video's chroma and bit depth."""
        video, pixel_format = self._video, planar_format(self._video)
        if frame.format.name.replace("yuvj", "yuv") == pixel_format:
            return frame
        return frame.reformat(video.width, video.height, pixel_format, interpolation="BICUBIC")


class _Converter:
    """Turns, scales and converts frames of one kind, and centers them between black bars."""

    def __init__(self, video: VideoInfo, own: dict[str, Any], turns: int, ratio: Fraction) -> None:
        self._video, self._own, self._turns = video, own, turns
        self._graph: av.filter.Graph | None = None
        is_turned = bool(turns % 2)
        width, height = (own["height"], own["width"]) if is_turned else (own["width"], own["height"])
        aspect, own_aspect = video.sample_aspect_ratio, video.sample_aspect_ratio * ratio
        # Its width in the video's pixels, as high as they are
        shown_width = width * (1 / own_aspect if is_turned else own_aspect) / aspect
        factor = min(video.width / shown_width, Fraction(video.height, height))
        step_x, step_y = _CHROMA_STEPS.get(video.chroma, (1, 1))
        self._width = _to_multiple(shown_width * factor, step_x, video.width)
        self._height = _to_multiple(height * factor, step_y, video.height)
        self._left = (video.width - self._width) // 2 // step_x * step_x
        self._top = (video.height - self._height) // 2 // step_y * step_y

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame of this kind in the video's form."""
        if frame.format.name.startswith("yuvj"):
            frame = _without_range(frame)
        if self._graph is None:
            self._graph = self._build_graph(frame)
        self._graph.vpush(frame)
        scaled, video = self._graph.vpull(), self._video
        if (scaled.width, scaled.height) == (video.width, video.height):
            return scaled
        fitted = VideoFrame(video.width, video.height, planar_format(video))
        for number in range(len(fitted.planes)):
            target, content = plane_array(fitted, number), plane_array(scaled, number)
            step_x = video.width // target.shape[1] if number else 1
            step_y = video.height // target.shape[0] if number else 1
            target[:] = self._black(number)
            top, left = self._top // step_y, self._left // step_x
            target[top : top + content.shape[0], left : left + content.shape[1]] = content
        return fitted

    def _black(self, number: int) -> int:
        """Return the value of black in a plane."""
        video = self._video
        if video.chroma == "rgb" or (not number and video.is_full_range):
            return 0
        return (128 if number else 16) << video.bit_depth - 8

    def _build_graph(self, frame: VideoFrame) -> av.filter.Graph:
        video, own = self._video, self._own
        is_full = own["color_tags"]["color_range"] == FULL_RANGE or own["chroma"] == "rgb"
        to_full = video.is_full_range or video.chroma == "rgb"
        options = f"w={self._width}:h={self._height}:{_SCALE}"
        options += f":in_range={'pc' if is_full else 'tv'}:out_range={'pc' if to_full else 'tv'}"
        if own["matrix"] and own["chroma"] != "rgb":
            options += f":in_color_matrix={own['matrix']}"
        if video.matrix and video.chroma != "rgb":
            options += f":out_color_matrix={video.matrix}"
        turns = [("transpose", f"dir={direction}") for direction in _QUARTER_TURNS[self._turns]]
        filters = [*turns, ("scale", options), ("format", planar_format(video))]
        return build_filter_graph(frame, video.time_base, *filters)


def planar_format(video: VideoInfo) -> str:
    """Return FFmpeg's name of the planar format that frames are brought into."""
    pixel_format = video.planar_format(video.bit_depth)
    return pixel_format.replace("yuv444p", "gbrp") if video.chroma == "rgb" else pixel_format


def _without_range(frame: VideoFrame) -> VideoFrame:
    """Return a frame whose format does not say its range: FFmpeg's scaler would believe that, not its options."""
    copy = VideoFrame(frame.width, frame.height, frame.format.name.replace("yuvj", "yuv"))
    for number in range(len(frame.planes)):
        plane_array(copy, number)[:] = plane_array(frame, number)
    return copy


def _range_name(tags: dict[str, int]) -> str:
    return "full" if tags["color_range"] == FULL_RANGE else "limited"


def _light_name(tags: dict[str, int]) -> str:
    return _HDR_NAMES.get(tags["color_trc"], "SDR")


def _to_multiple(length: Fraction, step: int, most: int) -> int:
    """Round a length to a multiple of a step; the whole of `most` stays whole."""
    rounded = round(length)
    return most if rounded >= most else max(step, round(Fraction(rounded, step)) * step)


def _quarter_turns(matrix: tuple[int, ...], rotation: int | None) -> int:
    """Return by how many quarter turns counter-clockwise a display matrix turns a frame."""
    if rotation is None:
        rotation = round(-math.degrees(math.atan2(matrix[1], matrix[0]))) if matrix else 0
    return round(rotation / 90)
