"""From a video to an upscaled video, or to some of its frames side by side: what UpscaleVideo calls.

Work goes on where an earlier run was killed: the video is decoded from its beginning again, so that each frame is the
one that an uninterrupted run would have seen, and frames whose segment is finished are not upscaled again.
"""

import contextlib
import itertools
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from data.atomic_files import write_json, write_jsonl
from data.errors import UserError
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import Reason, Rejection
from sr.runtime.upscalers import FORMULAS
from sr.upscale.video.concurrent_stages import upscaled
from sr.upscale.video.decode_frames import frames_of
from sr.upscale.video.encode import SegmentEncoder, output_format
from sr.upscale.video.frame_network import load_network
from sr.upscale.video.mux import Outcome, container_name, join, rehearse
from sr.upscale.video.output_file import Place
from sr.upscale.video.probe import inspect_video
from sr.upscale.video.segments import FOLDER, SegmentHeader, read_headers, write_segment
from sr.upscale.video.settings import VideoSettings
from sr.upscale.video.upscale_frame import Upscaler
from sr.upscale.video.video_info import STAGE, Video, keep, kept

SCHEMA = 1
RECORD = "video.json"
BICUBIC = "bicubic"
_TELL_EVERY = 100
"""Frames that are decoded between two words while a run catches up."""


def partial_path(output: Path) -> Path:
    """Return where what is done so far goes: out.partial.mkv for out.mkv."""
    return output.with_suffix(f".partial{output.suffix}")


def load_upscaler(
    model: str | Path, scale: int, video: Video, settings: VideoSettings
) -> tuple[Upscaler, int]:
    """Return what upscales a video's frames, and by how many threads at once.

    Args:
        model: "bicubic", or what `load_upscaler` takes.
        scale: of bicubic; a network has its own.
        video: the video.
        settings: how it is encoded.

    Raises:
        UserError: no such model, or the encoder does not take what comes out.
    """
    if str(model) in FORMULAS and str(model) != BICUBIC:
        raise UserError(
            "bicubic or a network", str(model), "--model", "images can be upscaled by it, videos not"
        )
    network = (
        None if str(model) == BICUBIC else load_network(model, video.height, video.width, settings.device)
    )
    scale = scale if network is None else network.scale
    upscaler = Upscaler(network, video, scale, output_format(video, settings, scale))
    return upscaler, network.workers if network is not None else 2


def upscale_video(
    source: Path,
    output: Path,
    directory: Path,
    model: str | Path,
    settings: VideoSettings,
    scale: int = 2,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Upscale a video, or go on with it.

    Args:
        source: the video.
        output: where the upscaled video goes.
        directory: of the store, for segments and, last, video.json.
        model: "bicubic", or what `load_upscaler` takes.
        settings: how it is encoded.
        scale: of bicubic; a network has its own.
        progress: counts frames.

    Returns:
        What video.json holds.

    Raises:
        UserError: the source cannot be used, the container does not hold what is in it, or the output cannot be
            written, or a file that was not put there from `directory` stands in its place.
    """
    settings.check()
    container_name(output)
    place = Place(directory, output)
    place.check()
    video = kept(source, directory / FOLDER) or inspect_video(source, settings.deinterlace, progress)
    _check_streams(video, settings)
    upscaler, workers = load_upscaler(model, scale, video, settings)
    rehearse(video, settings, upscaler.scale, output)
    keep(video, directory / FOLDER)
    faults: list[Rejection] = []
    frames = _encode_all(video, settings, upscaler, workers, directory, faults, progress)
    headers = read_headers(directory)
    if sum(len(header.times) for header in headers) != frames:
        raise UserError("the video as it was", "another one", str(source), f"delete {directory / FOLDER}")
    progress(frames, frames, "joining")
    place.check()
    outcome = join(directory, headers, video, settings, upscaler.scale, output)
    faults += outcome.rejections
    if frames < video.frames:
        detail = f"{video.frames - frames} frames that the container lists did not come out of the decoder"
        faults.append(Rejection(source.name, STAGE, Reason.UNREADABLE, detail))
    record = _record(video, settings, upscaler, headers, outcome, faults)
    write_jsonl(directory / "rejections.jsonl", (to_plain(one) for one in faults))
    write_json(directory / RECORD, record)
    shutil.rmtree(directory / FOLDER, ignore_errors=True)
    Place(directory, partial_path(output)).remove()
    return record


def _record(
    video: Video,
    settings: VideoSettings,
    upscaler: Upscaler,
    headers: list[SegmentHeader],
    outcome: Outcome,
    faults: list[Rejection],
) -> dict[str, Any]:
    times = [time for header in headers for time in header.times]
    return {
        "schema": SCHEMA,
        "source": {"name": video.path.name, "frames_listed": video.frames, "broken": video.broken},
        "model": upscaler.network.name if upscaler.network else BICUBIC,
        "scale": upscaler.scale,
        "width": video.width * upscaler.scale,
        "height": video.height * upscaler.scale,
        "pixels": upscaler.pixels,
        "frames": outcome.frames,
        "time_base": str(video.time_base),
        "first": min(times),
        "last": max(times),
        "copied_streams": list(outcome.copied),
        "leave_out": sorted(settings.leave_out),
        "left_out": list(outcome.left),
        "rejections": dict(sorted(Counter(str(one.reason) for one in faults).items())),
    }


def salvage(source: Path, output: Path, directory: Path, settings: VideoSettings) -> int:
    """Join what is finished into a video that plays, under a name that says it is a part; return its frames.

    Raises:
        UserError: it cannot be written, or a file that was not put there by this stands in its place.
    """
    Place(directory, partial_path(output)).check()
    headers = read_headers(directory)
    if not headers:
        return 0
    video = kept(source, directory / FOLDER) or inspect_video(source, settings.deinterlace)
    scale = headers[0].scale
    return join(directory, headers, video, settings, scale, partial_path(output), whole=False).frames


def _check_streams(video: Video, settings: VideoSettings) -> None:
    if video.stream in settings.leave_out:
        raise UserError(
            "streams besides the images", str(video.stream), "--leave-out", "take it off the list"
        )


def _encode_all(
    video: Video,
    settings: VideoSettings,
    upscaler: Upscaler,
    workers: int,
    directory: Path,
    faults: list[Rejection],
    progress: Progress,
) -> int:
    """Make the segments that are not there; return how many frames the video has."""
    there = {header.number: len(header.times) for header in read_headers(directory)}
    finished, decoded = sum(there.values()), 0
    progress(finished, video.frames)

    def unfinished() -> Iterator[VideoFrame | None]:
        nonlocal decoded
        for frame in frames_of(video, settings.deinterlace, faults):
            decoded += 1
            is_there = video.segment_of(frame.pts, settings.segment_s) in there
            if is_there and decoded % _TELL_EVERY == 0:
                progress(finished, video.frames, f"catching up: {decoded} frames decoded")
            yield None if is_there else frame

    def number(frame: VideoFrame) -> int:
        return video.segment_of(frame.pts, settings.segment_s)

    made = upscaled(unfinished(), upscaler, workers)
    with contextlib.closing(made):
        for segment, frames in itertools.groupby(made, key=number):
            encoder, count = SegmentEncoder(video, settings, upscaler.scale), 0
            for frame in frames:
                encoder.add(frame)
                count += 1
                progress(finished + count, max(video.frames, finished + count))
            packets, extradata = encoder.finish()
            write_segment(directory, segment, finished, upscaler.scale, packets, extradata)
            finished += count
    if not decoded:
        raise UserError(
            "a video", "not one frame that can be decoded", str(video.path), "copy or rip it again"
        )
    return decoded
