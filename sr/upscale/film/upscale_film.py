"""From a film to an enlarged film, or to some of its frames side by side: what UpscaleVideo calls.

Work goes on where an earlier run was killed: the film is decoded from its beginning again, so that each frame is the
one that an uninterrupted run would have seen, and frames whose segment is finished are not enlarged again.
"""

import contextlib
import itertools
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from data.errors import UserError
from data.files import write_json, write_jsonl
from data.plain import to_plain
from data.progress import Progress, silent
from data.records import Reason, Rejection
from sr.upscale.film.description import STAGE, Film, keep, kept
from sr.upscale.film.encode import SegmentEncoder, output_format
from sr.upscale.film.enlarge import Enlarger
from sr.upscale.film.frames import frames_of
from sr.upscale.film.join import Outcome, container_name, join, rehearse
from sr.upscale.film.network import load_network
from sr.upscale.film.placing import Place
from sr.upscale.film.segments import FOLDER, SegmentHeader, read_headers, write_segment
from sr.upscale.film.settings import FilmSettings
from sr.upscale.film.source import inspect_film
from sr.upscale.film.work import enlarged
from sr.upscalers import FORMULAS

SCHEMA = 1
RECORD = "film.json"
BICUBIC = "bicubic"
_TELL_EVERY = 100
"""Frames that are decoded between two words while a run catches up."""


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
        progress: counts frames.

    Returns:
        What film.json holds.

    Raises:
        UserError: the source cannot be used, the container does not hold what is in it, or the output cannot be
            written, or a file that was not put there from `directory` stands in its place.
    """
    settings.check()
    container_name(output)
    place = Place(directory, output)
    place.check()
    film = kept(source, directory / FOLDER) or inspect_film(source, settings.deinterlace, progress)
    _check_streams(film, settings)
    enlarger, workers = load_enlarger(model, scale, film, settings)
    rehearse(film, settings, enlarger.scale, output)
    keep(film, directory / FOLDER)
    faults: list[Rejection] = []
    frames = _encode_all(film, settings, enlarger, workers, directory, faults, progress)
    headers = read_headers(directory)
    if sum(len(header.times) for header in headers) != frames:
        raise UserError("the film as it was", "another one", str(source), f"delete {directory / FOLDER}")
    progress(frames, frames, "joining")
    place.check()
    outcome = join(directory, headers, film, settings, enlarger.scale, output)
    faults += outcome.rejections
    if frames < film.frames:
        detail = f"{film.frames - frames} frames that the container lists did not come out of the decoder"
        faults.append(Rejection(source.name, STAGE, Reason.UNREADABLE, detail))
    record = _record(film, settings, enlarger, headers, outcome, faults)
    write_jsonl(directory / "rejections.jsonl", (to_plain(one) for one in faults))
    write_json(directory / RECORD, record)
    shutil.rmtree(directory / FOLDER, ignore_errors=True)
    Place(directory, partial_path(output)).remove()
    return record


def _record(
    film: Film,
    settings: FilmSettings,
    enlarger: Enlarger,
    headers: list[SegmentHeader],
    outcome: Outcome,
    faults: list[Rejection],
) -> dict[str, Any]:
    times = [time for header in headers for time in header.times]
    return {
        "schema": SCHEMA,
        "source": {"name": film.path.name, "frames_listed": film.frames, "broken": film.broken},
        "model": enlarger.network.name if enlarger.network else BICUBIC,
        "scale": enlarger.scale,
        "width": film.width * enlarger.scale,
        "height": film.height * enlarger.scale,
        "pixels": enlarger.pixels,
        "frames": outcome.frames,
        "time_base": str(film.time_base),
        "first": min(times),
        "last": max(times),
        "copied_streams": list(outcome.copied),
        "leave_out": sorted(settings.leave_out),
        "left_out": list(outcome.left),
        "rejections": dict(sorted(Counter(str(one.reason) for one in faults).items())),
    }


def salvage(source: Path, output: Path, directory: Path, settings: FilmSettings) -> int:
    """Join what is finished into a film that plays, under a name that says it is a part; return its frames.

    Raises:
        UserError: it cannot be written, or a file that was not put there by this stands in its place.
    """
    Place(directory, partial_path(output)).check()
    headers = read_headers(directory)
    if not headers:
        return 0
    film = kept(source, directory / FOLDER) or inspect_film(source, settings.deinterlace)
    scale = headers[0].scale
    return join(directory, headers, film, settings, scale, partial_path(output), whole=False).frames


def _check_streams(film: Film, settings: FilmSettings) -> None:
    if film.stream in settings.leave_out:
        raise UserError(
            "streams besides the pictures", str(film.stream), "--leave-out", "take it off the list"
        )


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
    finished, decoded = sum(there.values()), 0
    progress(finished, film.frames)

    def unfinished() -> Iterator[VideoFrame | None]:
        nonlocal decoded
        for frame in frames_of(film, settings.deinterlace, faults):
            decoded += 1
            is_there = film.segment_of(frame.pts, settings.segment_s) in there
            if is_there and decoded % _TELL_EVERY == 0:
                progress(finished, film.frames, f"catching up: {decoded} frames decoded")
            yield None if is_there else frame

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
    if not decoded:
        raise UserError("a film", "not one frame that can be decoded", str(film.path), "copy or rip it again")
    return decoded
