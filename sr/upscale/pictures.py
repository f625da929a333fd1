"""Folders of pictures enlarged: what UpscaleImages and `python -m sr.upscale` call.

One picture after another, by bands of tiles that go straight to the encoder. A line of the journal says that a
picture is finished; what a kill interrupts is made again, to the same bytes.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.digests import sha256_bytes, sha256_file
from data.errors import UserError
from data.files import atomic_file, write_json
from data.images import ImageFault
from data.plain import to_plain
from data.progress import Progress, silent
from data.records import Reason, Rejection
from data.stored import StoredPicture, decode_stored
from sr.tiles import HALO_PX, bands
from sr.upscale.hidden import fill_hidden
from sr.upscale.journal import JOURNAL, Journal, placing
from sr.upscale.naming import LARGEST_SIDE, Job, find_jobs, list_pictures
from sr.upscale.writers import gathers, open_writer
from sr.upscalers import PillowUpscaler, Upscaler
from sr.video_range import from_video, to_video

SCHEMA = 1
RECORD = "pictures.json"
LEAST_SCALE, LARGEST_SCALE = 2, 8
STAGE = "upscale"
MEMORY_MB = 1500
_BASE_MB = 450
"""Of the process with its libraries and a small model."""
_LOW_PIXEL_BYTES = 4096
"""What a network holds for a low pixel of a tile: some sixteen float32 maps of 64 channels, rounded down."""
_FILTER_REACH_PX = 4
"""Of Lanczos 3, and one to spare."""
_LARGEST_TILE = 1024
_BANDS = 3
"""Enlarged rows of tiles that are held at once: what is made, what it is put together from, what is written."""


def check_settings(scale: int, quality: int, memory_mb: int) -> None:
    """Refuse what is out of its range.

    Raises:
        UserError: one is.
    """
    ranges = {
        "--scale": (scale, LEAST_SCALE, LARGEST_SCALE),
        "--quality": (quality, 1, 100),
        "the memory in MB": (memory_mb, 1, math.inf),
    }
    for where, (value, least, largest) in ranges.items():
        if not least <= value <= largest:
            expected = f"{least} to {largest}" if largest < math.inf else f"{least} or more"
            raise UserError(expected, str(value), where, "choose one")


def upscale_pictures(
    source: Path,
    output: Path,
    directory: Path,
    upscaler: Upscaler,
    quality: int = 95,
    memory_mb: int = MEMORY_MB,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Enlarge a picture or a folder of them, or go on with it.

    Args:
        source: a picture, or a folder, which is searched to the bottom.
        output: the folder of the results.
        directory: for the journal and, last, pictures.json.
        upscaler: the model; of a network `tile_px` is 0.
        quality: of JPEG and WebP, 1 to 100.
        memory_mb: what the tiles' size is chosen by; least 128 px a side.
        progress: counts pictures.

    Returns:
        What pictures.json holds.

    Raises:
        UserError: no pictures, names that clash, a file of others in a result's place, or not one picture that
            can be read.
    """
    seen = pictures_fingerprint(source, output)
    jobs = find_jobs(source, output, upscaler.scale)
    journal = Journal(directory / JOURNAL)
    journal.check(jobs)
    done, rejections = [], []
    progress(0, len(jobs))
    for count, job in enumerate(jobs, 1):
        try:
            line = _finish(job, journal, upscaler, quality, memory_mb)
            with placing(job.output):
                done.append(line | {"bytes": job.output.stat().st_size})
        except ImageFault as fault:
            rejections.append(Rejection(job.id, STAGE, fault.reason, fault.detail))
        progress(count, len(jobs), f"{len(rejections)} rejected" if rejections else "")
    if not done:
        first = f"{len(rejections)} that cannot; {rejections[0].id}: {rejections[0].detail}"
        raise UserError("a picture that can be read", first, str(source), "check the pictures")
    record = {
        "schema": SCHEMA,
        "model": upscaler.name,
        "model_sha256": model_id(upscaler),
        "scale": upscaler.scale,
        "fingerprint": seen,
        "pictures": done,
        "rejections": [to_plain(one) for one in rejections],
    }
    write_json(directory / RECORD, record)
    return record


def model_id(upscaler: Upscaler) -> str:
    """Return what tells a model from others: the hash of its bytes, or a formula's name and scale."""
    return upscaler.sha256 or f"{upscaler.name} x{upscaler.scale}"


def _finish(job: Job, journal: Journal, upscaler: Upscaler, quality: int, memory_mb: int) -> dict[str, Any]:
    """Return the journal's line of a picture, which is made unless it is finished."""
    with _reading():
        digest = sha256_file(job.source)
    line = journal.finished(job, digest, model_id(upscaler))
    if line is not None:
        return line
    with journal.making(job):
        upscale_picture(job.source, job.output, upscaler, quality, memory_mb)
    return journal.finish(job, digest, model_id(upscaler))


def upscale_picture(
    source: Path, output: Path, upscaler: Upscaler, quality: int = 95, memory_mb: int = MEMORY_MB
) -> None:
    """Enlarge one picture into a file, which appears when it is whole.

    Raises:
        ImageFault: it cannot be read, or the result's format cannot hold it.
        UserError: the result cannot be written.
    """
    picture = _read(source)
    height, width, channels = picture.colours.shape
    shape = (height * upscaler.scale, width * upscaler.scale, channels + (picture.alpha is not None))
    kind, suffix = picture.colours.dtype, output.suffix.lower()
    _check_form(suffix, shape, picture.alpha is not None)
    if gathers(suffix) and kind != np.uint8:
        kind = np.dtype(np.uint8)  # a 16-bit picture under a name of an 8-bit format
    if picture.alpha is not None:
        fill_hidden(picture.colours, picture.alpha)
    held = picture.colours.nbytes + (picture.alpha.nbytes if picture.alpha is not None else 0)
    held += math.prod(shape) * kind.itemsize if gathers(suffix) else 0
    row_bytes = shape[1] * shape[2] * picture.colours.itemsize
    tile_px = tile_side(held, _BANDS * row_bytes * upscaler.scale, memory_mb, _halo_px(upscaler))
    with placing(output), atomic_file(output) as file:
        writer = open_writer(suffix, file, shape, kind, picture, quality)
        for rows in enlarged_bands(picture, upscaler, tile_px):
            writer.add(rows if rows.dtype == kind else ((rows.astype(np.uint32) + 128) // 257).astype(kind))
        writer.finish()


def _check_form(suffix: str, shape: tuple[int, int, int], has_alpha: bool) -> None:
    if suffix in (".jpg", ".jpeg") and has_alpha:
        raise ImageFault(Reason.UNSUPPORTED, f"transparent, and {suffix} cannot be; rename it to what it is")
    if max(shape[:2]) > LARGEST_SIDE.get(suffix, math.inf):
        found = f"the result would be {shape[1]}x{shape[0]}; {suffix} has {LARGEST_SIDE[suffix]} at most"
        raise ImageFault(Reason.TOO_LARGE, found)


def _read(source: Path) -> StoredPicture:
    with _reading():
        content = source.read_bytes()
    return decode_stored(content)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Count what the operating system says of an input as a fault of that picture."""
    try:
        yield
    except OSError as error:
        raise ImageFault(Reason.UNREADABLE, f"the file: {error.strerror or error}") from None


def tile_side(held_bytes: int, row_bytes: int, memory_mb: int, halo_px: int = HALO_PX) -> int:
    """Return the side of a tile in low pixels, its halo included: what is left of the budget, within bounds.

    Args:
        held_bytes: what is held throughout.
        row_bytes: what is held beside that for each row of low pixels in a tile.
        memory_mb: the budget.
        halo_px: of the tile.
    """
    left = (memory_mb - _BASE_MB) * 1_000_000 - held_bytes
    smallest = 4 * max(halo_px, HALO_PX)
    sides = range(max(smallest, _LARGEST_TILE), smallest, -8)
    return next((side for side in sides if side * (side * _LOW_PIXEL_BYTES + row_bytes) <= left), smallest)


def enlarged_bands(picture: StoredPicture, upscaler: Upscaler, tile_px: int) -> Iterator[np.ndarray]:
    """Yield the enlarged rows from the top, some at a time, with alpha as the last channel where there is one."""
    colours, alpha = picture.colours, picture.alpha
    made = _colour_bands(colours, upscaler, tile_px)
    if alpha is None:
        yield from made
        return
    bicubic = PillowUpscaler("bicubic", upscaler.scale)
    with contextlib.closing(_colour_bands(alpha[:, :, None], bicubic, tile_px, upscaler)) as clear:
        for rows, hides in zip(made, clear, strict=True):
            yield np.concatenate([rows, hides], axis=2)


def _colour_bands(
    low: np.ndarray, upscaler: Upscaler, tile_px: int, grid_of: Upscaler | None = None
) -> Iterator[np.ndarray]:
    """Yield enlarged rows of the picture's type; tiles lie as those of `grid_of` would."""
    multiple = getattr(grid_of or upscaler, "size_multiple", 1)
    halo_px = _halo_px(grid_of or upscaler)
    if (grid_of or upscaler).fixed_size:
        # The whole picture, or the model says that it takes none of this size.
        tile_px = max(low.shape) + multiple
    is_formula, is_grey = isinstance(upscaler, PillowUpscaler), low.shape[2] == 1

    def enlarge(tile: np.ndarray) -> np.ndarray:
        if tile.dtype == np.uint8 and (is_formula or not is_grey):
            return upscaler(tile)
        step = 257 if tile.dtype == np.uint16 else 1
        levels = tile.astype(np.float32) / step
        if is_formula or not is_grey:
            high = upscaler.enlarge_levels(levels)
        elif upscaler.colour == "luma":
            high = from_video(upscaler.enlarge_levels(to_video(levels))).clip(0.0, 255.0)
        else:
            high = upscaler.enlarge_levels(np.repeat(levels, 3, axis=2)).mean(axis=2, keepdims=True)
        return np.rint(high * step).astype(tile.dtype)

    return bands(enlarge, low, upscaler.scale, tile_px, halo_px, multiple)


def _halo_px(upscaler: Upscaler) -> int:
    return max(getattr(upscaler, "halo_px", 0), _FILTER_REACH_PX)


def pictures_fingerprint(source: Path, output: Path) -> str:
    """Return a hash of the pictures' names, sizes and times, and whether they may be read: equal where nothing is new.

    Raises:
        UserError: there is none.
    """
    seen = []
    for path in list_pictures(source, output):
        with contextlib.suppress(FileNotFoundError):  # it went since it was listed
            status = path.stat()
            seen.append([str(path), status.st_size, status.st_mtime_ns, os.access(path, os.R_OK)])
    return sha256_bytes(json.dumps(seen).encode())
