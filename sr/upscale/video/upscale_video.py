"""Upscale a video, or resume an interrupted run: what the UpscaleVideo task calls.

A resumed run decodes the video from its beginning again, so that each frame is the one that an uninterrupted run would
have seen. Frames whose segment is finished are not upscaled again.
"""

import contextlib
import dataclasses
import functools
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from data.atomic_files import write_json, write_jsonl
from data.errors import UserError
from data.processes.watchdog import DEFAULT_TIMEOUT_S, Watchdog
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import Rejection, RejectionReason
from data.video.pyav import require_pts
from sr.runtime.filters import INTERPOLATION_FILTERS
from sr.upscale.video import preflight
from sr.upscale.video.alpha import AlphaCounter
from sr.upscale.video.concurrent_stages import upscale_frames
from sr.upscale.video.decode_frames import decode_frames
from sr.upscale.video.encode import SegmentEncoder, output_pixel_format
from sr.upscale.video.enhancement import LayerReader, open_layer
from sr.upscale.video.fit_frames import FrameFitter
from sr.upscale.video.frame_network import load_network
from sr.upscale.video.mux import MuxResult, check_muxable, mux_video
from sr.upscale.video.output_file import OutputFile, partial_path
from sr.upscale.video.output_streams import container_format
from sr.upscale.video.probe import no_frames_error, probe_video
from sr.upscale.video.segments import FOLDER, SegmentHeader, read_headers, write_segment
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_frame import FrameUpscaler
from sr.upscale.video.video_info import STAGE, VideoInfo, load_video_info, save_video_info

SCHEMA = 3
RECORD = "video.json"
BICUBIC = "bicubic"
DEFAULT_SCALE = 2
"""Of bicubic."""
_PROGRESS_INTERVAL = 100
"""Frames decoded between two progress reports while a resumed run catches up."""
_IF_STUCK = (
    "Finished segments are kept: run the same command to continue. --upscaling-stall-timeout-s sets how long a run may"
    " stand still."
)


@dataclasses.dataclass(frozen=True)
class _Job:
    """One video to upscale."""

    video: VideoInfo
    settings: VideoUpscaleSettings
    upscaler: FrameUpscaler
    workers: int
    """Threads that upscale."""
    directory: Path
    """Of the store."""
    output: Path
    layer: LayerReader | None
    """The enhancement layer that is added; None if the video has none, or it is left out."""


def load_frame_upscaler(
    model: str | Path, scale: int, video: VideoInfo, settings: VideoUpscaleSettings
) -> tuple[FrameUpscaler, int]:
    """Return the upscaler for a video's frames, and by how many threads to call it.

    Args:
        model: "bicubic", or see `sr.runtime.network_upscalers.load_upscaler`.
        scale: of bicubic; a network has its own.
        video: the video.
        settings: how the result is encoded.

    Raises:
        UserError: the model is not found, or the encoder does not support the result.
    """
    if str(model) in INTERPOLATION_FILTERS and str(model) != BICUBIC:
        raise UserError(
            f"--model {model} upscales images but not videos", "Use bicubic, or the path of a network"
        )
    network = None
    if str(model) != BICUBIC:
        network = load_network(model, video.height, video.width, settings.device)
        if scale not in (DEFAULT_SCALE, network.scale):
            raise UserError(
                f"--scale {scale} is not the scale of {model}, a network of scale {network.scale}",
                "Leave --scale out: it is for bicubic",
            )
        scale = network.scale
    elif scale < 1:
        raise UserError(f"--scale must be at least 1, not {scale}")
    upscaler = FrameUpscaler(network, video, scale, output_pixel_format(video, settings, scale))
    return upscaler, network.workers if network is not None else 2


def upscale_video(
    source: Path,
    output: Path,
    directory: Path,
    model: str | Path,
    settings: VideoUpscaleSettings,
    scale: int = 2,
    progress: Progress = silent,
    tell: Callable[[str], object] = str,
    stall_timeout_s: float = DEFAULT_TIMEOUT_S,
) -> dict[str, Any]:
    """Upscale a video, or resume an interrupted run.

    Args:
        source: the video.
        output: where the upscaled video goes.
        directory: of the store, for segments and, last, video.json.
        model: "bicubic", or see `sr.runtime.network_upscalers.load_upscaler`.
        settings: how the result is encoded.
        scale: of bicubic; a network has its own.
        progress: counts frames.
        tell: called with a line for the user, before the work begins: what of the video will be missing.
        stall_timeout_s: a run that stands still for this long is ended, see `data.processes.watchdog.Watchdog`.

    Returns:
        The content of video.json.

    Raises:
        UserError: the source cannot be used, the container does not support one of its streams, the output cannot be
            written, a file is in its place that was not put there from `directory`, or a thread is stuck.
    """
    job, left_out = _prepare(source, output, directory, model, settings, scale, progress)
    for note in _describe_work(job, left_out):
        tell(note)
    found = list[Rejection](), AlphaCounter(), FrameFitter(job.video, settings.allow_interlaced)
    tell_waiting = functools.partial(tell, f"Another run upscales {source.name}: waiting for it")
    with OutputFile(directory, output).turn(directory / RECORD, settings, tell_waiting) as made:
        if made:
            shutil.rmtree(directory / FOLDER, ignore_errors=True)
            return made
        dog = Watchdog(f"Upscaling {source.name}", _IF_STUCK, stall_timeout_s)
        return _finish(job, _encode_segments(job, dog, *found, progress), *found, progress)


def _describe_work(job: _Job, left_out: list[str]) -> Iterator[str]:
    """Yield what the user may not expect of the result."""
    if note := preflight.find_level_note(job.video, job.settings, job.upscaler.scale):
        yield note
    if job.layer:
        yield f"{job.video.path.name} has an enhancement layer, which is added"
    if left_out:
        yield f"{job.output.name} will be without: {'; '.join(left_out)}"


def _prepare(
    source: Path,
    output: Path,
    directory: Path,
    model: str | Path,
    settings: VideoUpscaleSettings,
    scale: int,
    progress: Progress,
) -> tuple[_Job, list[str]]:
    """Probe the video, load the model, and check everything that can fail before the work begins.

    Returns:
        The job, and what of the video will be missing.
    """
    settings.check()
    container_format(output)
    OutputFile(directory, output).check()
    preflight.check_writable(output)
    video = load_video_info(source, directory / FOLDER) or probe_video(
        source, settings.allow_interlaced, progress
    )
    preflight.check_streams(video, settings)
    preflight.check_times(video, output)
    upscaler, workers = load_frame_upscaler(model, scale, video, settings)
    layer = open_layer(video, upscaler) if settings.enhancement == "on" else None
    left_out = check_muxable(video, settings, upscaler.scale, output)
    save_video_info(video, directory / FOLDER)
    return _Job(video, settings, upscaler, workers, directory, output, layer), left_out


def _encode_segments(
    job: _Job,
    watchdog: Watchdog,
    rejections: list[Rejection],
    alpha: AlphaCounter,
    fitter: FrameFitter,
    progress: Progress,
) -> int:
    """Make the segments that are missing; return how many frames the video has."""
    video, segment_s = job.video, job.settings.segment_s
    existing = {header.number: len(header.pts) for header in read_headers(job.directory)}
    finished, decoded = sum(existing.values()), 0
    progress(finished, video.frame_count)

    def missing_frames() -> Iterator[VideoFrame | None]:
        nonlocal decoded
        for frame in decode_frames(video, job.settings.deinterlace, rejections, alpha, fitter):
            decoded += 1
            exists = video.segment_number(require_pts(frame), segment_s) in existing
            if exists and decoded % _PROGRESS_INTERVAL == 0:
                progress(finished, video.frame_count, f"catching up: {decoded} frames decoded")
            yield None if exists else frame

    upscaled = upscale_frames(missing_frames(), job.upscaler, job.workers, watchdog)
    with contextlib.closing(upscaled):
        for number, frames in itertools.groupby(
            upscaled, key=lambda frame: video.segment_number(require_pts(frame), segment_s)
        ):
            encoder, count = SegmentEncoder(video, job.settings, job.upscaler.scale), 0
            for frame in frames:
                encoder.add(job.layer.enhance(frame) if job.layer else frame)
                count += 1
                progress(finished + count, max(video.frame_count, finished + count))
            packets, extradata = encoder.finish()
            write_segment(job.directory, number, finished, job.upscaler.scale, packets, extradata)
            finished += count
    if not decoded:
        raise no_frames_error(video.path)
    return decoded


def _finish(
    job: _Job,
    frames: int,
    rejections: list[Rejection],
    alpha: AlphaCounter,
    fitter: FrameFitter,
    progress: Progress,
) -> dict[str, Any]:
    """Mux the segments, write the records, and delete what is no longer needed."""
    video, directory = job.video, job.directory
    headers = read_headers(directory)
    if sum(len(header.pts) for header in headers) != frames:
        raise UserError(
            f"{video.path} has changed since its first segments were encoded",
            f"Delete {directory / FOLDER} and run again",
        )
    progress(frames, frames, "muxing")
    OutputFile(directory, job.output).check()
    result = mux_video(directory, headers, video, job.settings, job.upscaler.scale, job.output)
    rejections += result.rejections
    if video.truncation:
        rejections.append(Rejection(video.path.name, STAGE, RejectionReason.TRUNCATED, video.truncation))
    if frames < video.frame_count:
        detail = f"{video.frame_count - frames} frames in the container did not come out of the decoder"
        rejections.append(Rejection(video.path.name, STAGE, RejectionReason.UNREADABLE, detail))
    record = _build_record(job, headers, result, rejections)
    record["concealed_frames"] = fitter.concealed
    record["changes"] = fitter.report()
    record["transparent_frames"] = alpha.frames
    record["not_copied"] = alpha.report(record["not_copied"])
    write_jsonl(directory / "rejections.jsonl", (to_plain(rejection) for rejection in rejections))
    write_json(directory / RECORD, record)
    shutil.rmtree(directory / FOLDER, ignore_errors=True)
    OutputFile(directory, partial_path(job.output)).remove()
    return record


def _build_record(
    job: _Job, headers: list[SegmentHeader], result: MuxResult, rejections: list[Rejection]
) -> dict[str, Any]:
    video, upscaler = job.video, job.upscaler
    times = [pts for header in headers for pts in header.pts]
    return {
        "schema": SCHEMA,
        "source": {
            "name": video.path.name,
            "frame_count": video.frame_count,
            "truncation": video.truncation,
        },
        "model": upscaler.network.name if upscaler.network else BICUBIC,
        "scale": upscaler.scale,
        "width": video.width * upscaler.scale,
        "height": video.height * upscaler.scale,
        "pixel_format": upscaler.pixel_format,
        "frames": result.frames,
        "lost_frames": max(0, video.frame_count - result.frames),
        "time_base": str(video.time_base),
        "first_pts": min(times),
        "last_pts": max(times),
        "times": list(video.timeline.describe()),
        "copied_streams": list(result.copied),
        "converted_streams": list(result.converted),
        "audio": job.settings.audio,
        "enhancement": job.layer is not None,
        "leave_out": sorted(job.settings.leave_out),
        "not_copied": list(result.not_copied),
        "rejections": dict(sorted(Counter(str(rejection.reason) for rejection in rejections).items())),
    }


def save_partial(source: Path, output: Path, directory: Path, settings: VideoUpscaleSettings) -> int:
    """Mux the finished segments of an interrupted run into a playable video at `partial_path(output)`.

    Returns:
        Its number of frames; 0 if no segment is finished, and then nothing is written.

    Raises:
        UserError: it cannot be written, or a file is in its place that was not put there from `directory`.
    """
    OutputFile(directory, partial_path(output)).check()
    headers = read_headers(directory)
    if not headers:
        return 0
    video = load_video_info(source, directory / FOLDER) or probe_video(source, settings.allow_interlaced)
    scale = headers[0].scale
    result = mux_video(directory, headers, video, settings, scale, partial_path(output), is_complete=False)
    return result.frames
