"""From a film to an enlarged film, or to some of its frames side by side: what UpscaleVideo calls.

Work goes on where an earlier run was killed: the film is decoded from its beginning again, so that each frame is the
one that an uninterrupted run would have seen, and frames whose segment is finished are not enlarged again.
"""

import contextlib
import dataclasses
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from data.errors import UserError
from data.files import write_json, write_jsonl
from data.plain import to_plain
from data.progress import Progress, silent
from data.records import Reason, Rejection
from sr.upscale.film.encode import SegmentEncoder, output_format
from sr.upscale.film.enlarge import Enlarger
from sr.upscale.film.join import container_name, join, rehearse
from sr.upscale.film.network import load_network
from sr.upscale.film.segments import FOLDER, read_headers, write_segment
from sr.upscale.film.settings import FilmSettings
from sr.upscale.film.source import STAGE, Film, frames_of, inspect_film
from sr.upscale.film.work import enlarged
from sr.upscalers import FORMULAS

SCHEMA = 1
RECORD = "film.json"
BICUBIC = "bicubic"


def partial_path(output: Path) -> Path:
    """Return where what is done so far goes: out.partial.mkv for out.mkv."""
    return output.with_suffix(f".partial{output.suffix}")


def load_enlarger(model: str | Path, scale: int, film: Film, settings: FilmSettings) -> tuple[Enlarger, int]:
    """Return what enlarges a film's frames, and by how many threads at once.

    Args:
        model: "bicubic", or what `load_upscaler` takes.
        scale: of bicubic; a network has its own.
        film: the film.
        settings: how it is encoded.

    Raises:
        UserError: no such model, or the encoder does not take what comes out.
    """
    if str(model) in FORMULAS and str(model) != BICUBIC:
        raise UserError(
            "bicubic or a network", str(model), "--model", "pictures can be enlarged by it, films not"
        )
    network = None if str(model) == BICUBIC else load_network(model, film.height, film.width, settings.device)
    scale = scale if network is None else network.scale
    enlarger = Enlarger(network, film, scale, output_format(film, settings, scale))
    return enlarger, network.workers if network is not None else 2


def upscale_film(
    source: Path,
    output: Path,
    directory: Path,
    model: str | Path,
    settings: FilmSettings,
    scale: int = 2,
    before_joining: Callable[[], None] = lambda: None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Enlarge a film, or go on with it.

    Args:
        source: the film.
        output: where the enlarged film goes.
        directory: of the store, for segments and, last, film.json.
        model: "bicubic", or what `load_upscaler` takes.
        settings: how it is encoded.
        scale: of bicubic; a network has its own.
        before_joining: called when all is encoded, before the output is written.
        progress: counts frames.

    Returns:
        What film.json holds.

    Raises:
        UserError: the source cannot be used, the container does not hold what is in it, or the output cannot be
            written.
    """
    settings.check()
    container_name(output)
    film = inspect_film(source, settings.deinterlace, progress)
    _check_streams(film, settings)
    enlarger, workers = load_enlarger(model, scale, film, settings)
    left = rehearse(film, settings, enlarger.scale, output)
    faults: list[Rejection] = []
    frames = _encode_all(film, settings, enlarger, workers, directory, faults, progress)
    headers = read_headers(directory)
    if sum(len(header.times) for header in headers) != frames:
        raise UserError("the film as it was", "another one", str(source), f"delete {directory / FOLDER}")
    progress(frames, frames, "joining")
    before_joining()
    outcome = join(directory, headers, film, settings, enlarger.scale, output)
    times = sorted(time for header in headers for time in header.times)
    faults += outcome.rejections
    if frames < film.frames:
        detail = f"{film.frames - frames} frames that the container lists did not come out of the decoder"
        faults.append(Rejection(source.name, STAGE, Reason.UNREADABLE, detail))
    record = {
        "schema": SCHEMA,
        "source": {"name": source.name, "frames_listed": film.frames, "broken": film.broken},
        "model": enlarger.network.name if enlarger.network else BICUBIC,
        "scale": enlarger.scale,
        "width": film.width * enlarger.scale,
        "height": film.height * enlarger.scale,
        "pixels": enlarger.pixels,
        "frames": frames,
        "time_base": str(film.time_base),
        "first": times[0],
        "last": times[-1],
        "copied_streams": list(outcome.copied),
        "left_out": list(left),
        "rejections": dict(sorted(Counter(str(one.reason) for one in faults).items())),
    }
    write_jsonl(directory / "rejections.jsonl", (to_plain(one) for one in faults))
    write_json(directory / RECORD, record)
    shutil.rmtree(directory / FOLDER, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        partial_path(output).unlink()
    return record


def salvage(source: Path, output: Path, directory: Path, settings: FilmSettings) -> int:
    """Join what is finished into a film that plays, under a name that says it is a part; return its frames.

    Raises:
        UserError: it cannot be written.
    """
    headers = read_headers(directory)
    if not headers:
        return 0
    film = inspect_film(source, settings.deinterlace)
    scale = headers[0].scale
    return join(directory, headers, film, settings, scale, partial_path(output), whole=False).frames


def _check_streams(film: Film, settings: FilmSettings) -> None:
    if film.stream in settings.leave_out:
        raise UserError(
            "streams besides the pictures", str(film.stream), "--leave-out", "take it off the list"
        )


@dataclasses.dataclass
class _Tally:
    """What the decoder has given so far."""

    frames: int = 0
    done: int = 0


def _encode_all(
    film: Film,
    settings: FilmSettings,
    enlarger: Enlarger,
    workers: int,
    directory: Path,
    faults: list[Rejection],
    progress: Progress,
) -> int:
    """Make the segments that are not there; return how many frames the film has."""
    there = {header.number: len(header.times) for header in read_headers(directory)}
    finished, tally = sum(there.values()), _Tally()
    progress(finished, film.frames)

    def unfinished() -> Iterator[VideoFrame]:
        for frame in frames_of(film, settings.deinterlace, faults):
            tally.frames += 1
            if film.segment_of(frame.pts, settings.segment_s) not in there:
                yield frame

    def number(frame: VideoFrame) -> int:
        return film.segment_of(frame.pts, settings.segment_s)

    made = enlarged(unfinished(), enlarger, workers)
    with contextlib.closing(made):
        for segment, frames in itertools.groupby(made, key=number):
            encoder, count = SegmentEncoder(film, settings, enlarger.scale), 0
            for frame in frames:
                encoder.add(frame)
                count += 1
                progress(finished + count, max(film.frames, finished + count))
            packets, extradata = encoder.finish()
            write_segment(directory, segment, finished, enlarger.scale, packets, extradata)
            finished += count
    if not tally.frames:
        raise UserError("a film", "not one frame that can be decoded", str(film.path), "copy or rip it again")
    return tally.frames
