"""Decode an encoded clip, upscale it if it is half as large, and compare it with the original: MeasurePoint's work."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from data.atomic_files import atomic_file, read_json, write_json
from data.errors import UserError
from data.processes.watchdog import DEFAULT_TIMEOUT_S, Watchdog
from data.progress import Progress, silent
from data.records import Rejection
from sr.codec_gain import encode_point
from sr.codec_gain.clip import Clip
from sr.codec_gain.video_metrics import Comparison, VideoComparer
from sr.upscale.video.concurrent_stages import upscale_frames
from sr.upscale.video.decode_frames import decode_frames
from sr.upscale.video.frame_network import load_network
from sr.upscale.video.preview import to_rgb_image
from sr.upscale.video.probe import probe_video
from sr.upscale.video.upscale_frame import FrameUpscaler
from sr.upscale.video.upscale_plane import BICUBIC, LANCZOS

NONE = "none"
"""The upscaler of a clip that is encoded at full size."""
FILTERS = (BICUBIC, LANCZOS)
SCHEMA = 1
RECORD = "measured.json"
RESULT, ORIGINAL = "frame.png", "original.png"
SCALE = 2
_WORKERS = 2


def measure_point(
    clip: Clip, encoded: Path, upscaler: str | Path, directory: Path, device: str, progress: Progress = silent
) -> dict[str, Any]:
    """Write frame.png and original.png (the frame in the middle of the clip) and, last, measured.json.

    Args:
        clip: the original.
        encoded: directory of the encoded clip, see `encode_point`.
        upscaler: none for full size; bicubic, lanczos, or see `sr.runtime.load.load_upscaler`.
        directory: of the store.
        device: OpenVINO device for an IR.
        progress: counts frames.

    Returns:
        The content of measured.json: schema, the encoded clip's record under "point", "mean" by metric, "frames".

    Raises:
        UserError: the model does not upscale by 2 or does not fit the clip, or the encoded clip lacks frames.
    """
    point = read_json(encoded / encode_point.RECORD)
    timer = _Timer()
    comparison = _compare(clip, encoded, upscaler, directory, device, timer, progress)
    if len(comparison.frames) != point["frames"]:
        raise UserError(
            f"{encoded / encode_point.STREAM} has {len(comparison.frames)} frames of {point['frames']}",
            f"Delete {encoded} and run again",
        )
    record = {"schema": SCHEMA, "point": point, "mean": comparison.mean, "frames": comparison.frames}
    write_json(directory / encode_point.TIMING, {"decode_s": timer.decode_s, "upscale_s": timer.upscale_s})
    write_json(directory / RECORD, record)
    return record


class _Timer:
    """Seconds of threads: decoding, and upscaling."""

    def __init__(self) -> None:
        self.decode_s = self.upscale_s = 0.0
        self._lock = threading.Lock()

    def of_upscaling(self, upscale: Callable[[VideoFrame], VideoFrame]) -> Callable[[VideoFrame], VideoFrame]:
        def timed(frame: VideoFrame) -> VideoFrame:
            begun = time.perf_counter()
            upscaled = upscale(frame)
            with self._lock:
                self.upscale_s += time.perf_counter() - begun
            return upscaled

        return timed

    def of_decoding(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        while True:
            begun = time.perf_counter()
            frame = next(frames, None)
            self.decode_s += time.perf_counter() - begun
            if frame is None:
                return
            yield frame


def _compare(
    clip: Clip,
    encoded: Path,
    upscaler: str | Path,
    directory: Path,
    device: str,
    timer: _Timer,
    progress: Progress,
) -> Comparison:
    """Compare all frames in order, and keep a image of the one in the middle."""
    middle = clip.source.frame_count // 2
    bit_depth = 8 if clip.video.bit_depth == 8 else 10
    decoded = _decode(clip, encoded, upscaler, device, timer)
    with VideoComparer(clip.video, bit_depth) as comparer:
        for number, original in enumerate(clip.frames()):
            other = next(decoded, None)
            if other is None:
                raise UserError(f"{encoded / encode_point.STREAM} ends after {number} frames", "Run again")
            comparer.add(original, other)
            if number == middle:
                for frame, name in ((other, RESULT), (original, ORIGINAL)):
                    _save(to_rgb_image(frame, clip.video), directory / name)
            progress(number + 1, clip.source.frame_count)
        return comparer.finish()


def _decode(
    clip: Clip, encoded: Path, upscaler: str | Path, device: str, timer: _Timer
) -> Iterator[VideoFrame]:
    """Yield the frames of the encoded clip in the size of the original."""
    rejections: list[Rejection] = []
    video = probe_video(encoded / encode_point.STREAM, allow_interlaced=False)
    frames = timer.of_decoding(decode_frames(video, False, rejections))
    if upscaler == NONE:
        yield from frames
    else:
        upscale, workers = load_frame_upscaler(clip, upscaler, device)
        watchdog = Watchdog(f"Measuring {clip.video.path.name}", "Run again", DEFAULT_TIMEOUT_S)
        yield from upscale_frames(frames, timer.of_upscaling(upscale), workers, watchdog)
    if rejections:
        raise UserError(f"{video.path}: {rejections[0].detail}", f"Delete {encoded} and run again")


def load_frame_upscaler(clip: Clip, upscaler: str | Path, device: str) -> tuple[FrameUpscaler, int]:
    """Return what upscales frames of half the clip's size, and by how many threads to call it.

    Raises:
        UserError: the model is not found, or does not upscale by 2.
    """
    half = clip.half
    pixel_format = half.planar_format(8 if half.bit_depth == 8 else 10)
    if str(upscaler) in FILTERS:
        return FrameUpscaler(None, half, SCALE, pixel_format, str(upscaler)), _WORKERS
    network = load_network(upscaler, half.height, half.width, device)
    if network.scale != SCALE:
        raise UserError(
            f"{upscaler} upscales by {network.scale}, but clips are halved", f"Give a model of scale {SCALE}"
        )
    return FrameUpscaler(network, half, SCALE, pixel_format), network.workers


def _save(image: np.ndarray, path: Path) -> None:
    with atomic_file(path) as file:
        Image.fromarray(image).save(file, "PNG")
