"""Some frames of a film, side by side: enlarged by bicubic interpolation on the left, by the model on the right."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av.filter
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from data.errors import UserError
from data.files import atomic_file, write_json
from data.films.container import FAULTS
from data.progress import Progress, silent
from sr.upscale.film.description import Film
from sr.upscale.film.enlarge import Enlarger
from sr.upscale.film.frames import decode_near
from sr.upscale.film.settings import FilmSettings
from sr.upscale.film.source import inspect_film
from sr.upscale.film.upscale_film import load_enlarger

RECORD = "preview.json"


def preview_film(
    source: Path,
    directory: Path,
    model: str | Path,
    count: int,
    settings: FilmSettings,
    scale: int = 2,
    progress: Progress = silent,
) -> list[str]:
    """Write `count` PNGs of frames that are spread evenly over a film, and last preview.json.

    Args:
        source: the film.
        directory: where to.
        model: "bicubic", or what `load_upscaler` takes.
        count: how many; a short film has fewer.
        settings: as for the film; what is shown is not encoded.
        scale: of bicubic.
        progress: counts frames.

    Returns:
        The PNGs' names: the frame's time in seconds is in each.

    Raises:
        UserError: as `upscale_film`, or no frame can be decoded.
    """
    if count < 1:
        raise UserError("1 or more frames", str(count), "--preview", "give another number")
    settings.check()
    film = inspect_film(source, settings.deinterlace)
    enlarger, _ = load_enlarger(model, scale, film, settings)
    plain = Enlarger(None, film, enlarger.scale, enlarger.pixels)
    names = []
    for number, frame in enumerate(_spread(film, count, settings.deinterlace)):
        pair = [to_picture(one(frame), film) for one in (plain, enlarger)]
        at_s = float((frame.pts - film.first) * film.time_base)
        name = f"{at_s:010.3f}s.png"
        with atomic_file(directory / name) as file:
            Image.fromarray(np.concatenate(pair, axis=1)).save(file, "PNG")
        names.append(name)
        progress(number + 1, count)
    if not names:
        raise UserError("a film", "not one frame that can be decoded", str(source), "copy or rip it again")
    write_json(directory / RECORD, {"schema": 1, "left": "bicubic", "right": str(model), "pictures": names})
    return names


def _spread(film: Film, count: int, deinterlace: bool) -> Iterator[VideoFrame]:
    """Yield the frames at the middles of `count` equal parts of the film's length, each once."""
    length = film.last - film.first
    shown: set[int] = set()
    for part in range(count):
        wanted = film.first + length * (2 * part + 1) // (2 * count)
        frame = None
        with contextlib.suppress(*FAULTS):
            frame = decode_near(film, wanted, deinterlace)
        if frame is not None and frame.pts not in shown:
            shown.add(frame.pts)
            yield frame


def to_picture(frame: VideoFrame, film: Film) -> np.ndarray:
    """Convert an enlarged frame to uint8 height x width x 3 RGB, as a player shows it: square pixels, turned.

    HDR code values are shown as they are.
    """
    options = f"flags=bicubic+accurate_rnd+full_chroma_int:in_range={'pc' if film.is_full_range else 'tv'}:out_range=pc"
    options += f":in_chroma_loc={film.siting}"
    options += f":in_color_matrix={film.matrix}" if film.matrix else ""
    # Neither side gets smaller.
    width = round(frame.width * max(film.aspect, 1))
    height = round(frame.height / min(film.aspect, 1))
    options += f":w={width}:h={height}"
    graph = av.filter.Graph()
    start = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=film.time_base
    )
    graph.link_nodes(
        start, graph.add("scale", options), graph.add("format", "rgb24"), graph.add("buffersink")
    )
    graph.configure()
    graph.vpush(frame)
    return _turned(graph.vpull().to_ndarray(), film.display_matrix)


def _turned(picture: np.ndarray, display_matrix: tuple[int, ...]) -> np.ndarray:
    """Turn and mirror a picture by quarters, as FFmpeg's display matrix says.

    Its first numbers a, b and fourth and fifth c, d take a pixel from (x, y) to (a x + c y, b x + d y).
    """
    if not display_matrix:
        return picture
    across, down = (display_matrix[0], display_matrix[4])
    if abs(display_matrix[1]) > abs(across):
        picture = picture.transpose(1, 0, 2)
        across, down = display_matrix[3], display_matrix[1]
    return picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
