"""Folders of images upscaled: what UpscaleImages and `python -m sr.upscale` call.

One image after another, by bands of tiles that go straight to the encoder. A line of the journal says that a
image is finished; what a kill interrupts is made again, to the same bytes.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.atomic_files import atomic_file, write_json
from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from data.imaging.decode import ImageFault
from data.imaging.original import StoredImage, decode_stored
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import Reason, Rejection
from sr.imaging.video_range import from_video, to_video
from sr.runtime.tiling import HALO_PX, bands
from sr.runtime.upscalers import PillowUpscaler, Upscaler
from sr.upscale.images.jobs import LARGEST_SIDE, Job, find_jobs, list_images
from sr.upscale.images.journal import JOURNAL, Journal, placing
from sr.upscale.images.transparent_pixels import fill_hidden
from sr.upscale.images.writers import gathers, open_writer

SCHEMA = 1
RECORD = "images.json"
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
"""Upscaled rows of tiles that are held at once: what is made, what it is put together from, what is written."""


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


def upscale_images(
    source: Path,
    output: Path,
    directory: Path,
    upscaler: Upscaler,
    quality: int = 95,
    memory_mb: int = MEMORY_MB,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Upscale an image or a folder of them, or go on with it.

    Args:
        source: an image, or a folder, which is searched to the bottom.
        output: the folder of the results.
        directory: for the journal and, last, images.json.
        upscaler: the model; of a network `tile_px` is 0.
        quality: of JPEG and WebP, 1 to 100.
        memory_mb: what the tiles' size is chosen by; least 128 px a side.
        progress: counts images.

    Returns:
        What images.json holds.

    Raises:
        UserError: no images, names that clash, a file of others in a result's place, or not one image that
            can be read.
    """
    seen = images_fingerprint(source, output)
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
        raise UserError("an image that can be read", first, str(source), "check the images")
    record = {
        "schema": SCHEMA,
        "model": upscaler.name,
        "model_sha256": model_id(upscaler),
        "scale": upscaler.scale,
        "fingerprint": seen,
        "images": done,
        "rejections": [to_plain(one) for one in rejections],
    }
    write_json(directory / RECORD, record)
    return record


def model_id(upscaler: Upscaler) -> str:
    """Return what tells a model from others: the hash of its bytes, or a formula's name and scale."""
    return upscaler.sha256 or f"{upscaler.name} x{upscaler.scale}"


def _finish(job: Job, journal: Journal, upscaler: Upscaler, quality: int, memory_mb: int) -> dict[str, Any]:
    """Return the journal's line of an image, which is made unless it is finished."""
    with _reading():
        digest = sha256_file(job.source)
    line = journal.finished(job, digest, model_id(upscaler))
    if line is not None:
        return line
    with journal.making(job):
        upscale_image(job.source, job.output, upscaler, quality, memory_mb)
    return journal.finish(job, digest, model_id(upscaler))


def upscale_image(
    source: Path, output: Path, upscaler: Upscaler, quality: int = 95, memory_mb: int = MEMORY_MB
) -> None:
    """Upscale one image into a file, which appears when it is whole.

    Raises:
        ImageFault: it cannot be read, or the result's format cannot hold it.
        UserError: the result cannot be written.
    """
    image = _read(source)
    height, width, channels = image.colors.shape
    shape = (height * upscaler.scale, width * upscaler.scale, channels + (image.alpha is not None))
    kind, suffix = image.colors.dtype, output.suffix.lower()
    _check_form(suffix, shape, image.alpha is not None)
    if gathers(suffix) and kind != np.uint8:
        kind = np.dtype(np.uint8)  # a 16-bit image under a name of an 8-bit format
    if image.alpha is not None:
        fill_hidden(image.colors, image.alpha)
    held = image.colors.nbytes + (image.alpha.nbytes if image.alpha is not None else 0)
    held += math.prod(shape) * kind.itemsize if gathers(suffix) else 0
    row_bytes = shape[1] * shape[2] * image.colors.itemsize
    tile_px = tile_side(held, _BANDS * row_bytes * upscaler.scale, memory_mb, _halo_px(upscaler))
    with placing(output), atomic_file(output) as file:
        writer = open_writer(suffix, file, shape, kind, image, quality)
        for rows in upscaled_bands(image, upscaler, tile_px):
            writer.add(rows if rows.dtype == kind else ((rows.astype(np.uint32) + 128) // 257).astype(kind))
        writer.finish()


def _check_form(suffix: str, shape: tuple[int, int, int], has_alpha: bool) -> None:
    if suffix in (".jpg", ".jpeg") and has_alpha:
        raise ImageFault(Reason.UNSUPPORTED, f"transparent, and {suffix} cannot be; rename it to what it is")
    if max(shape[:2]) > LARGEST_SIDE.get(suffix, math.inf):
        found = f"the result would be {shape[1]}x{shape[0]}; {suffix} has {LARGEST_SIDE[suffix]} at most"
        raise ImageFault(Reason.TOO_LARGE, found)


def _read(source: Path) -> StoredImage:
    with _reading():
        content = source.read_bytes()
    return decode_stored(content)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Count what the operating system says of an input as a fault of that image."""
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


def upscaled_bands(image: StoredImage, upscaler: Upscaler, tile_px: int) -> Iterator[np.ndarray]:
    """Yield the upscaled rows from the top, some at a time, with alpha as the last channel where there is one."""
    colors, alpha = image.colors, image.alpha
    made = _color_bands(colors, upscaler, tile_px)
    if alpha is None:
        yield from made
        return
    bicubic = PillowUpscaler("bicubic", upscaler.scale)
    with contextlib.closing(_color_bands(alpha[:, :, None], bicubic, tile_px, upscaler)) as clear:
        for rows, hides in zip(made, clear, strict=True):
            yield np.concatenate([rows, hides], axis=2)


def _color_bands(
    lr_image: np.ndarray, upscaler: Upscaler, tile_px: int, grid_of: Upscaler | None = None
) -> Iterator[np.ndarray]:
    """Yield upscaled rows of the image's type; tiles lie as those of `grid_of` would."""
    multiple = getattr(grid_of or upscaler, "size_multiple", 1)
    halo_px = _halo_px(grid_of or upscaler)
    if (grid_of or upscaler).fixed_size:
        # The whole image, or the model says that it takes none of this size.
        tile_px = max(lr_image.shape) + multiple
    is_formula, is_gray = isinstance(upscaler, PillowUpscaler), lr_image.shape[2] == 1

    def upscale(tile: np.ndarray) -> np.ndarray:
        if tile.dtype == np.uint8 and (is_formula or not is_gray):
            return upscaler(tile)
        step = 257 if tile.dtype == np.uint16 else 1
        levels = tile.astype(np.float32) / step
        if is_formula or not is_gray:
            hr_image = upscaler.upscale_levels(levels)
        elif upscaler.color == "luma":
            hr_image = from_video(upscaler.upscale_levels(to_video(levels))).clip(0.0, 255.0)
        else:
            hr_image = upscaler.upscale_levels(np.repeat(levels, 3, axis=2)).mean(axis=2, keepdims=True)
        return np.rint(hr_image * step).astype(tile.dtype)

    return bands(upscale, lr_image, upscaler.scale, tile_px, halo_px, multiple)


def _halo_px(upscaler: Upscaler) -> int:
    return max(getattr(upscaler, "halo_px", 0), _FILTER_REACH_PX)


def images_fingerprint(source: Path, output: Path) -> str:
    """Return a hash of the images' names, sizes and times, and whether they may be read: equal where nothing is new.

    Raises:
        UserError: there is none.
    """
    seen = []
    for path in list_images(source, output):
        with contextlib.suppress(FileNotFoundError):  # it went since it was listed
            status = path.stat()
            seen.append([str(path), status.st_size, status.st_mtime_ns, os.access(path, os.R_OK)])
    return sha256_bytes(json.dumps(seen).encode())
