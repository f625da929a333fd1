"""Decode an encoded clip, upscale it if it is half as large, and compare it with the original: MeasurePoint's work."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from data.atomic_files import atomic_file, read_json, write_json
from data.errors import UserError
from data.progress import Progress, silent
from sr.codec_gain import encode_point
from sr.codec_gain.clip import Clip
from sr.codec_gain.decode_point import PointDecoder
from sr.codec_gain.video_metrics import LPIPS, Comparison, VideoComparer
from sr.upscale.video.preview import to_rgb_image

LPIPS_EVERY = 5
SCHEMA = 1
RECORD = "measured.json"
RESULT, ORIGINAL = "frame.png", "original.png"


def measure_point(
    clip: Clip,
    encoded: Path,
    upscaler: str | Path,
    directory: Path,
    device: str,
    progress: Progress = silent,
    lpips_weights: Path | None = None,
) -> dict[str, Any]:
    """Write frame.png and original.png (the frame in the middle of the clip) and, last, measured.json.

    Args:
        clip: the original.
        encoded: directory of the encoded clip, see `encode_point`.
        upscaler: none for full size; bicubic, lanczos, or see `sr.runtime.load.load_upscaler`.
        directory: of the store.
        device: OpenVINO device for an IR.
        progress: counts frames.
        lpips_weights: directory of the weights of LPIPS; None: it is not measured.

    Returns:
        The content of measured.json: schema, the encoded clip's record under "point", "mean" by metric, "frames".

    Raises:
        UserError: the model does not upscale by 2 or does not fit the clip, or the encoded clip lacks frames.
    """
    point = read_json(encoded / encode_point.RECORD)
    decoder = PointDecoder(clip, encoded / encode_point.STREAM, upscaler, device)
    lpips = _LpipsMean(clip, lpips_weights) if lpips_weights else None
    comparison = _compare(clip, decoder, directory, lpips, progress)
    if len(comparison.frames) != point["frames"]:
        raise UserError(
            f"{encoded / encode_point.STREAM} has {len(comparison.frames)} frames of {point['frames']}",
            f"Delete {encoded} and run again",
        )
    mean = comparison.mean | ({LPIPS: 1 - lpips.mean()} if lpips else {})
    record = {"schema": SCHEMA, "point": point, "mean": mean, "frames": comparison.frames}
    timer = decoder.timer
    write_json(directory / encode_point.TIMING, {"decode_s": timer.decode_s, "upscale_s": timer.upscale_s})
    write_json(directory / RECORD, record)
    return record


class _LpipsMean:
    """The mean LPIPS of every LPIPS_EVERY-th frame, as RGB."""

    def __init__(self, clip: Clip, weights: Path) -> None:
        from sr.evaluation.lpips import Lpips

        self._lpips, self._video = Lpips(weights), clip.video
        self._distances: list[float] = []

    def add(self, original: VideoFrame, other: VideoFrame) -> None:
        first, second = (to_rgb_image(frame, self._video) for frame in (original, other))
        self._distances.append(self._lpips.distance(self._lpips.features(first), second))

    def mean(self) -> float:
        return sum(self._distances) / len(self._distances)


def _compare(
    clip: Clip, decoder: PointDecoder, directory: Path, lpips: _LpipsMean | None, progress: Progress
) -> Comparison:
    """Compare all frames in order, and keep an image of the one in the middle."""
    middle = clip.source.frame_count // 2
    bit_depth = 8 if clip.video.bit_depth == 8 else 10
    decoded = decoder.frames()
    with contextlib.closing(decoded), VideoComparer(clip.video, bit_depth) as comparer:
        for number, original in enumerate(clip.frames()):
            other = next(decoded, None)
            if other is None:
                raise UserError(f"{decoder.video.path} ends after {number} frames", "Run again")
            comparer.add(original, other)
            if lpips and number % LPIPS_EVERY == 0:
                lpips.add(original, other)
            if number == middle:
                for frame, name in ((other, RESULT), (original, ORIGINAL)):
                    _save(to_rgb_image(frame, clip.video), directory / name)
            progress(number + 1, clip.source.frame_count)
        return comparer.finish()


def _save(image: np.ndarray, path: Path) -> None:
    with atomic_file(path) as file:
        Image.fromarray(image).save(file, "PNG")
