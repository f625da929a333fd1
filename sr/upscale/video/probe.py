"""Probe a video before it is upscaled: read its packets once and decode its first frames."""

import io
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.errors import UserError
from data.progress import Progress, silent
from data.video.color import UNSPECIFIED
from data.video.demux import (
    PROGRESSIVE_FIELD_ORDERS,
    VideoFault,
    open_video,
    read_frame_table,
    skip_damage,
)
from data.video.frame_order import restore_order
from data.video.frame_table import FrameTable
from data.video.interlacing import look_at_fields
from data.video.pyav import read_side_data, require_pts
from sr.upscale.video.alpha import ALPHA, has_alpha
from sr.upscale.video.decode_frames import decode_first_frames, open_decoder
from sr.upscale.video.frame_info import describe_frame
from sr.upscale.video.video_info import VideoInfo

_PROBED_FRAMES = 48
"""Frames that are decoded to see whether they are interlaced."""
_MAX_INTERLACED_SHARE = 0.1
"""A video with this share of interlaced frames, or more, is rejected, as it is for crops."""
_MAX_FRAME_RATE = 1000
_DOLBY_VISION = frozenset({"DOVI_RPU_BUFFER", "DOVI_METADATA"})
_DROPPED_METADATA = {
    "A53_CC": "closed captions in the images",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
}
"""FFmpeg's side data that no encoder here writes."""
_MATROSKA_CHROMA_SITING = re.compile(rb"\x55\xb7\x81(.)\x55\xb8\x81(.)", re.DOTALL)
_CHROMA_LOCATIONS = {(b"\1", b"\1"): "topleft", (b"\2", b"\2"): "center"}
"""By Matroska's horizontal and vertical numbers."""


def probe_video(path: Path, allow_interlaced: bool = False, progress: Progress = silent) -> VideoInfo:
    """Read a video's packets once and decode its first frames.

    Args:
        path: the video.
        allow_interlaced: accept videos that are marked as interlaced.
        progress: reports the share read.

    Raises:
        UserError: it is not a video, or is encrypted, interlaced or too large; or no frame can be
            decoded.
    """
    try:
        table = _read_times(path, progress)
        container, stream = open_decoder(path)
    except VideoFault as fault:
        raise UserError(f"{path} cannot be upscaled: {fault.detail}", fault.hint) from None
    with container:
        _check_not_encrypted(container, stream, path)
        timeline = table.timeline.shifted(table.start_shift_s)
        frames = decode_first_frames(path, _PROBED_FRAMES, timeline)
        if not frames:
            raise no_frames_error(path)
        if not allow_interlaced:
            _check_progressive(stream, frames, path)
        last_pts = int(table.pts[-1])
        return VideoInfo(
            path=path,
            stream_index=stream.index,
            time_base=table.time_base,
            first_pts=require_pts(frames[0]),
            last_pts=last_pts + round(table.start_shift_s / table.time_base),
            last_duration=table.last_duration,
            frame_count=len(table.pts),
            shared_milliseconds=_count_shared_milliseconds(table.pts, table.time_base),
            frame_rate=_frame_rate(stream, len(table.pts), table.seconds(last_pts)),
            sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
            truncation=table.truncation,
            timeline=timeline,
            dropped_metadata=_dropped_metadata(
                {name for frame in frames for name in read_side_data(frame)}, frames[0], path
            )
            + ((ALPHA,) if any(has_alpha(stream, frame) for frame in frames) else ()),
            **describe_frame(frames[0], _stated_chroma_location(path)),
        )


def _read_times(path: Path, progress: Progress) -> FrameTable:
    table = read_frame_table(path, progress, allow_interlaced=True, allow_untimed=True)
    return restore_order(path, table, progress)


def no_frames_error(path: Path) -> UserError:
    """Return the error for a video without a frame that can be decoded."""
    return UserError(f"{path} cannot be upscaled: no frame can be decoded", "Copy or rip it again")


def _check_progressive(stream: VideoStream, frames: list[VideoFrame], path: Path) -> None:
    is_stated = stream.codec_context.field_order not in PROGRESSIVE_FIELD_ORDERS
    interlaced = sum(frame.interlaced_frame for frame in frames)
    if is_stated or interlaced >= _MAX_INTERLACED_SHARE * len(frames):
        fields = look_at_fields(path)
        hints = ["Add --deinterlace to make whole frames", "add --progressive to take the frames as they are"]
        raise UserError(
            f"{path} is marked as interlaced, {fields.describe()}",
            "; or ".join([hints[1].capitalize(), hints[0].lower()] if fields.is_whole else hints),
        )


def _check_not_encrypted(container: InputContainer, stream: VideoStream, path: Path) -> None:
    with skip_damage():
        for packet in container.demux(stream):
            if packet.has_sidedata("encryption_info") or packet.has_sidedata("encryption_init_info"):
                raise UserError(f"{path} is encrypted", "Decrypt it first")
            break


def _dropped_metadata(side_data: set[str], frame: VideoFrame, path: Path) -> tuple[str, ...]:
    """Return which side data of the frames cannot be kept.

    Raises:
        UserError: Dolby Vision whose colors are defined by its metadata alone (profile 5).
    """
    if side_data & _DOLBY_VISION and (frame.color_trc, frame.color_primaries) == (UNSPECIFIED, UNSPECIFIED):
        raise UserError(
            f"{path} is Dolby Vision without an HDR10, HLG or SDR base layer, so its colors cannot be kept",
            "Convert it to HDR10 first",
        )
    return tuple(text for name, text in _DROPPED_METADATA.items() if name in side_data)


def _stated_chroma_location(path: Path) -> str:
    """Return the chroma location topleft or center if the video states it; in H.264 and HEVC the default is left.

    PyAV does not expose it. A Matroska header has it (ChromaSitingHorz and ChromaSitingVert), so one is written.
    """
    header = io.BytesIO()
    container, stream = open_video(path, allow_interlaced=True)
    with container, skip_damage(), av.open(header, "w", format="matroska") as matroska:
        matroska.add_stream_from_template(stream, opaque=True)
        matroska.start_encoding()
    found = _MATROSKA_CHROMA_SITING.search(header.getvalue())
    return _CHROMA_LOCATIONS.get((found[1], found[2]), "") if found else ""


def _count_shared_milliseconds(pts: npt.NDArray[np.int64], time_base: Fraction) -> int:
    """Return how many frames get the same time as the one before if times are rounded to milliseconds."""
    ticks, unit = pts * (2000 * time_base.numerator), 2 * time_base.denominator
    return len(pts) - len(np.unique((ticks + time_base.denominator) // unit))


def _frame_rate(stream: VideoStream, frames: int, seconds: float) -> Fraction:
    """Return the stated frame rate if it roughly fits the frame times, otherwise the average of the frames."""
    stated = stream.average_rate or stream.guessed_rate
    counted = Fraction((frames - 1) / seconds).limit_denominator(1001) if seconds > 0 else Fraction(25)
    if stated and 0 < stated <= _MAX_FRAME_RATE and (seconds <= 0 or 0.5 <= stated / counted <= 2):
        return Fraction(stated)
    return min(max(counted, Fraction(1, 1001)), Fraction(_MAX_FRAME_RATE))
