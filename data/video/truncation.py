"""Find out whether a video is whole: compare what came out of it with what its container states."""

import contextlib
import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from data.foreign_kinds import advise, read_kind
from data.video.containers import read_structure
from data.video.pyav import require_time_base

_TAIL_S = 2.0
"""A video that ends more than this before its stated duration is truncated; audio may well last a little longer."""
_SEEK_BACK_S = 5.0
"""How far before its stated end the last packets of all streams are looked for."""
_HEAD_BYTES = 1 << 16
"""Bytes at the beginning of a file that are looked at for zeros."""
_GAP = 1.5
"""Frames may be missing between two that are this many times as far apart as most are."""

_REORDERED_FRAMES = 8
"""How many frames may lie between the places of a packet in decoding order and in order of presentation."""


@dataclasses.dataclass(frozen=True)
class Statement:
    """What a container states of a video, and where its packets end."""

    container: str
    """FFmpeg's name of its format."""
    duration_s: float
    """0 if it states none. FFmpeg may have estimated it."""
    frames: int
    """Number of frames; 0 if it states none."""
    packets: int
    """Packets of the video that came out of it, damaged and discarded ones too."""
    ends_damaged: bool
    """Whether the last of them is marked as damaged."""
    end_s: float
    """When the last packet of any stream ends, where that was looked up; otherwise 0."""


def read_statement(
    container: InputContainer, stream: VideoStream, last_pts: int, packets: int, ends_damaged: bool
) -> Statement:
    """Return what an open container states, after all packets of its video were read.

    Args:
        container: the container; it is left at another place.
        stream: the video.
        last_pts: the last presentation time of the packets, in units of the stream's time base.
        packets: how many came out.
        ends_damaged: whether the last one is marked as damaged.
    """
    time_base = require_time_base(stream)
    duration_s = (
        float(stream.duration * time_base) if stream.duration else (container.duration or 0) / av.time_base
    )
    # Sound and subtitles may last longer: that is no truncation.
    is_short = last_pts * time_base < duration_s - _TAIL_S
    end_s = _find_end_s(container, duration_s - _SEEK_BACK_S) if is_short else 0.0
    name = container.format.name
    # AVI counts chunks, also those of dropped frames, which FFmpeg passes over.
    frames = 0 if name == "avi" else stream.frames
    return Statement(name, duration_s, frames, packets, ends_damaged, end_s)


def _find_end_s(container: InputContainer, from_s: float) -> float:
    """Return when the last packet of any stream ends; it is looked for from a time on, or else from the beginning."""
    end_s = 0.0
    for start_s in (max(0.0, from_s), 0.0):
        with contextlib.suppress(av.FFmpegError, LookupError, ValueError):
            container.seek(round(start_s * av.time_base))
            for packet in container.demux():
                if packet.pts is not None and packet.time_base:
                    end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if end_s:
            break
    return end_s


def describe_truncation(
    path: Path,
    pts: npt.NDArray[np.int64],
    time_base: Fraction,
    stated: Statement,
    damaged_pts: list[int],
    error: str,
) -> str:
    """Return where and why a video is cut short or has a hole; empty if it is whole, or cannot be known to be not.

    Args:
        path: the video.
        pts: its frame times, ascending, in units of `time_base`.
        time_base: seconds in one unit.
        stated: what its container states.
        damaged_pts: presentation times of the packets that are marked as damaged, in the same units.
        error: with which FFmpeg stopped reading it; empty if it did not.
    """
    times_s = pts.astype(np.float64) * float(time_base)
    structure = read_structure(path, stated.container, _find_gaps_s(times_s))
    found = []
    last_s = float(times_s[-1] - times_s[0])
    duration_s = stated.duration_s if structure.states_duration and not stated.frames else 0.0
    reached_s = max(last_s, float(times_s[-1]), stated.end_s)
    faults = structure.describe()
    is_cut = bool(error or structure.missing_bytes or structure.ends_midway or stated.ends_damaged)
    if is_cut or reached_s < duration_s - _TAIL_S:
        of = f" of {max(stated.duration_s, last_s):.2f} s" if structure.states_duration else ""
        found.append(f"the last frame is at {last_s:.2f} s{of}")
    if is_cut and stated.packets < stated.frames:  # otherwise an edit list leaves frames out
        found.append(f"{stated.packets} of its {stated.frames} frames are in the file")
    if faults:
        found.append(faults)
    elif stated.ends_damaged:
        found.append("the file ends within a packet")
    found += _find_losses(times_s, [float(time * time_base) for time in damaged_pts])
    if error:
        found.append(error)
    return "; ".join(found)


def explain_unreadable(path: Path) -> tuple[str, str]:
    """Return why FFmpeg finds no video in a file, and what helps; empty where that is not known."""
    with contextlib.suppress(OSError):
        structure = read_structure(path, "")
        if not structure.file_bytes:
            return "the file is empty", "Copy or download it again"
        if structure.lacks_index:
            return (
                "its index (the moov box, which is written last) is missing: a download or recording was not finished",
                "Download or copy it again. Programs that repair recordings (untrunc, for one) need an intact video of"
                " the same camera",
            )
        with open(path, "rb") as file:
            if not any(file.read(_HEAD_BYTES)):
                return (
                    "it begins with zeros: its download reserved the space and was not finished",
                    "Let the download finish, or copy the video again",
                )
        if kind := read_kind(path):
            return f"it contains no video: it is {kind}", advise(kind, path.name)
    return "", ""


def _find_losses(times_s: npt.NDArray[np.float64], damaged_s: list[float]) -> list[str]:
    """Return where frames are missing beside packets that are marked as damaged: parts of a stream were lost there.

    The mark alone does not say so: it is also set where two whole streams were joined.
    """
    lost = []
    for damaged in damaged_s:
        index = int(np.searchsorted(times_s, damaged))
        near = slice(max(0, index - _REORDERED_FRAMES), index + _REORDERED_FRAMES)
        steps_s = np.diff(times_s[near])
        if len(steps_s) and steps_s.max() > _GAP * np.median(np.diff(times_s)):
            lost.append(float(times_s[near][int(steps_s.argmax())] - times_s[0]))
    places = sorted({round(time, 2) for time in lost})
    return [f"frames are missing after {', '.join(f'{time:.2f}' for time in places)} s"] if places else []


def _find_gaps_s(times_s: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return where frames may be missing, from and to, in seconds of the container's clock: also at both ends."""
    steps_s = np.diff(times_s)
    wide = np.flatnonzero(steps_s > _GAP * np.median(steps_s)) if len(steps_s) else np.array([], int)
    gaps_s = [(float(times_s[index]), float(times_s[index + 1])) for index in wide]
    return [(-np.inf, float(times_s[0])), *gaps_s, (float(times_s[-1]), np.inf)]
