"""Some frames of a video, side by side: upscaled by bicubic interpolation on the left, by the model on the right."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av.filter
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from data.atomic_files import atomic_file, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.video.demux import FAULTS
from sr.upscale.video.decode_frames import decode_near
from sr.upscale.video.probe import inspect_video
from sr.upscale.video.settings import VideoSettings
from sr.upscale.video.upscale_frame import Upscaler
from sr.upscale.video.upscale_video import load_upscaler
from sr.upscale.video.video_info import Video

RECORD = "preview.json"


def preview_video(
    source: Path,
    directory: Path,
    model: str | Path,
    count: int,
    settings: VideoSettings,
    scale: int = 2,
    progress: Progress = silent,
) -> list[str]:
    """Write `count` PNGs of frames that are spread evenly over a video, and last preview.json.

    Args:
        source: the video.
        directory: where to.
        model: "bicubic", or what `load_upscaler` takes.
        count: how many; a short video has fewer.
        settings: as for the video; what is shown is not encoded.
        scale: of bicubic.
        progress: counts frames.

    Returns:
        The PNGs' names: the frame's time in seconds is in each.

    Raises:
        UserError: as `upscale_video`, or no frame can be decoded.
    """
    if count < 1:
        raise UserError("1 or more frames", str(count), "--preview", "give another number")
    settings.check()
    video = inspect_video(source, settings.deinterlace)
    upscaler, _ = load_upscaler(model, scale, video, settings)
    plain = Upscaler(None, video, upscaler.scale, upscaler.pixels)
    names = []
    for number, frame in enumerate(_spread(video, count, settings.deinterlace)):
        pair = [to_image(one(frame), video) for one in (plain, upscaler)]
        at_s = float((frame.pts - video.first) * video.time_base)
        name = f"{at_s:010.3f}s.png"
        with atomic_file(directory / name) as file:
            Image.fromarray(np.concatenate(pair, axis=1)).save(file, "PNG")
        names.append(name)
        progress(number + 1, count)
    if not names:
        raise UserError("a video", "not one frame that can be decoded", str(source), "copy or rip it again")
    write_json(directory / RECORD, {"schema": 1, "left": "bicubic", "right": str(model), "images": names})
    return names


def _spread(video: Video, count: int, deinterlace: bool) -> Iterator[VideoFrame]:
    """Yield the frames at the middles of `count` equal parts of the video's length, each once."""
    length = video.last - video.first
    shown: set[int] = set()
    for part in range(count):
        wanted = video.first + length * (2 * part + 1) // (2 * count)
        frame = None
        with contextlib.suppress(*FAULTS):
            frame = decode_near(video, wanted, deinterlace)
        if frame is not None and frame.pts not in shown:
            shown.add(frame.pts)
            yield frame


def to_image(frame: VideoFrame, video: Video) -> np.ndarray:
    """Convert an upscaled frame to uint8 height x width x 3 RGB, as a player shows it: square pixels, turned.

    HDR code values are shown as they are.
    """
    options = f"flags=bicubic+accurate_rnd+full_chroma_int:in_range={'pc' if video.is_full_range else 'tv'}:out_range=pc"
    options += f":in_chroma_loc={video.siting}"
    options += f":in_color_matrix={video.matrix}" if video.matrix else ""
    # Neither side gets smaller.
    width = round(frame.width * max(video.aspect, 1))
    height = round(frame.height / min(video.aspect, 1))
    options += f":w={width}:h={height}"
    graph = av.filter.Graph()
    start = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=video.time_base
    )
    graph.link_nodes(
        start, graph.add("scale", options), graph.add("format", "rgb24"), graph.add("buffersink")
    )
    graph.configure()
    graph.vpush(frame)
    return _turned(graph.vpull().to_ndarray(), video.display_matrix)


def _turned(image: np.ndarray, display_matrix: tuple[int, ...]) -> np.ndarray:
    """Turn and mirror an image by quarters, as FFmpeg's display matrix says.

    Its first numbers a, b and fourth and fifth c, d take a pixel from (x, y) to (a x + c y, b x + d y).
    """
    if not display_matrix:
        return image
    across, down = (display_matrix[0], display_matrix[4])
    if abs(display_matrix[1]) > abs(across):
        image = image.transpose(1, 0, 2)
        across, down = display_matrix[3], display_matrix[1]
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
