"""Preview an upscaled video: some frames side by side, bicubic interpolation on the left and the model on the right."""

import collections
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from PIL import Image

from data.atomic_files import atomic_file, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.video.demux import skip_damage
from data.video.pyav import build_filter_graph, require_pts
from sr.upscale.video.decode_frames import decode_frame_at, decode_frames
from sr.upscale.video.enhancement import find_layer
from sr.upscale.video.probe import no_frames_error, probe_video
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_frame import FrameUpscaler
from sr.upscale.video.upscale_video import load_frame_upscaler
from sr.upscale.video.video_info import VideoInfo

RECORD = "preview.json"


def preview_video(
    source: Path,
    directory: Path,
    model: str | Path,
    count: int,
    settings: VideoUpscaleSettings,
    scale: int = 2,
    progress: Progress = silent,
) -> list[str]:
    """Write PNGs of `count` frames that are spread evenly over a video, and then preview.json.

    Args:
        source: the video.
        directory: where to write.
        model: "bicubic", or see `sr.runtime.network_upscalers.load_upscaler`.
        count: how many frames; a short video has fewer.
        settings: as for the video; the preview is not encoded.
        scale: of bicubic; a network has its own.
        progress: counts frames.

    Returns:
        The PNGs' names; each contains the frame's time in seconds.

    Raises:
        UserError: see `upscale_video`; or no frame can be decoded.
    """
    if count < 1:
        raise UserError(f"--preview must be at least 1 frame, not {count}")
    settings.check()
    video = probe_video(source, settings.allow_interlaced)
    upscaler, _ = load_frame_upscaler(model, scale, video, settings)
    bicubic = FrameUpscaler(None, video, upscaler.scale, upscaler.pixel_format)
    names = []
    for number, frame in enumerate(_sample_evenly(video, count, settings.deinterlace)):
        names.append(_write_pair(directory, video, bicubic(frame), upscaler(frame)))
        progress(number + 1, count)
    if not names:
        raise no_frames_error(source)
    record = {"schema": 1, "left": "bicubic", "right": str(model), "images": names}
    record["without_enhancement"] = find_layer(source) is not None
    write_json(directory / RECORD, record | {"truncation": video.truncation})
    return names


def _write_pair(directory: Path, video: VideoInfo, left: VideoFrame, right: VideoFrame) -> str:
    """Write two upscaled frames side by side; return the file's name."""
    time_s = float((require_pts(right) - video.first_pts) * video.time_base)
    name = f"{time_s:010.3f}s.png"
    pair = np.concatenate([to_rgb_image(frame, video) for frame in (left, right)], axis=1)
    with atomic_file(directory / name) as file:
        Image.fromarray(pair).save(file, "PNG")
    return name


def _sample_evenly(video: VideoInfo, count: int, deinterlace: bool) -> Iterator[VideoFrame]:
    """Yield the frames at the middles of `count` equal parts of the video's length, each once."""
    length = video.last_pts - video.first_pts
    targets = [video.first_pts + length * (2 * part + 1) // (2 * count) for part in range(count)]
    if not video.timeline.is_stored:
        yield from _pick_frames(decode_frames(video, deinterlace, []), targets)
        return
    shown: set[int] = set()
    for target in targets:
        frame = None
        with skip_damage():
            frame = decode_frame_at(video, target, deinterlace)
        if frame is not None and require_pts(frame) not in shown:
            shown.add(require_pts(frame))
            yield frame


def _pick_frames(frames: Iterator[VideoFrame], targets: list[int]) -> Iterator[VideoFrame]:
    """Yield the first frame at or after each of some ascending times, each once: where no seek leads to a time."""
    waiting = collections.deque(targets)
    for frame in frames:
        if not waiting:
            return
        if require_pts(frame) >= waiting[0]:
            while waiting and require_pts(frame) >= waiting[0]:
                waiting.popleft()
            yield frame


def to_rgb_image(frame: VideoFrame, video: VideoInfo) -> npt.NDArray[np.uint8]:
    """Convert an upscaled frame to uint8 height x width x 3 RGB, as a player shows it: square pixels, rotated.

    HDR code values are not tone-mapped.
    """
    aspect, square = video.sample_aspect_ratio, Fraction(1)
    # Neither side gets smaller.
    width, height = round(frame.width * max(aspect, square)), round(frame.height / min(aspect, square))
    range_name = "pc" if video.is_full_range else "tv"
    options = f"flags=bicubic+accurate_rnd+full_chroma_int:in_range={range_name}:out_range=pc"
    options += f":in_chroma_loc={video.chroma_location}"
    options += f":in_color_matrix={video.matrix}" if video.matrix else ""
    options += f":w={width}:h={height}"
    graph = build_filter_graph(frame, video.time_base, ("scale", options), ("format", "rgb24"))
    graph.vpush(frame)
    return _rotate(graph.vpull().to_ndarray().view(np.uint8), video.display_matrix)


def _rotate(image: npt.NDArray[np.uint8], display_matrix: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Rotate an image by quarter turns and mirror it, according to FFmpeg's display matrix.

    Numbers 1, 2, 4 and 5 of the matrix, called a, b, c and d, move a pixel from (x, y) to (a x + c y, b x + d y).
    """
    if not display_matrix:
        return image
    across, down = (display_matrix[0], display_matrix[4])
    if abs(display_matrix[1]) > abs(across):
        image = image.transpose(1, 0, 2)
        across, down = display_matrix[3], display_matrix[1]
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
