"""Find out before the work begins what would fail, or lose something, at its end."""

import contextlib
import os
import tempfile
from pathlib import Path

from data.errors import UserError
from data.video.demux import open_video
from sr.upscale.video.settings import CODECS, VideoUpscaleSettings
from sr.upscale.video.video_info import VideoInfo

_MILLISECOND_SUFFIXES = (".mkv", ".webm")
_LARGEST_LEVEL_PX = 35_651_584
"""Pixels of a frame in the largest levels of H.264 (6.2), HEVC (6.2) and AV1 (6.3)."""


def check_streams(video: VideoInfo, settings: VideoUpscaleSettings) -> None:
    """Check that the streams to leave out exist, and that the video itself is not one of them.

    Raises:
        UserError: one is not there, or is the video.
    """
    if video.stream_index in settings.leave_out:
        raise UserError(
            f"--leave-out {video.stream_index} is the video stream to upscale", "Take it off the list"
        )
    container, _ = open_video(video.path, allow_interlaced=True)
    with container:
        streams = {stream.index: stream.type for stream in container.streams}
    unknown = sorted(set(settings.leave_out) - set(streams))
    if unknown:
        named = ", ".join(
            f"{index} ({kind})" for index, kind in streams.items() if index != video.stream_index
        )
        raise UserError(
            f"--leave-out {','.join(map(str, unknown))} is no stream of {video.path}",
            f"It can leave out {named}" if named else "It has no stream but its video: leave the option out",
        )


def check_times(video: VideoInfo, output: Path) -> None:
    """Check that the output's container can tell all frame times apart.

    Raises:
        UserError: it counts in milliseconds, and some frames are less than one apart.
    """
    if video.shared_milliseconds and output.suffix.lower() in _MILLISECOND_SUFFIXES:
        raise UserError(
            f"{output.suffix} counts time in milliseconds: {video.shared_milliseconds} of {video.frame_count} frames"
            f" of {video.path} would get the time of the frame before",
            "Name the output .mp4 or .mov, which keep the exact times",
        )


def find_level_note(video: VideoInfo, settings: VideoUpscaleSettings, scale: int) -> str:
    """Return a note if frames are larger than any level of the codec allows; empty if they are not."""
    height, width = video.height * scale, video.width * scale
    if height * width <= _LARGEST_LEVEL_PX:
        return ""
    return (
        f"{width}x{height} is more than the largest level of {CODECS[settings.codec].standard} allows"
        f" ({_LARGEST_LEVEL_PX:,} pixels): hardware players may refuse it"
    )


def check_writable(output: Path) -> None:
    """Check that a file can be written where the output goes, by writing an empty one; missing folders are made later.

    Raises:
        UserError: it cannot.
    """
    folder = next(one for one in output.absolute().parents if os.path.lexists(one))
    problem = "is a file" if folder.is_file() else ""
    if not problem:
        try:
            handle, name = tempfile.mkstemp(dir=folder, prefix=".part")
        except OSError as error:
            problem = f"cannot be written to: {error.strerror or error}"
        else:
            os.close(handle)
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
    if problem:
        raise UserError(
            f"--output-file {output} cannot be written: the folder {folder} {problem}",
            "Choose another folder, or make that one writable",
        )
