"""Folders of pictures enlarged: what UpscaleImages and `python -m sr.upscale` call.

One picture after another, by bands of tiles that go straight to the encoder. A line of the journal says that a
picture is finished; what a kill interrupts is made again, to the same bytes.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data.digests import sha256_bytes, sha256_file
from data.errors import UserError
from data.files import atomic_file, jsonl_line, write_json
from data.images import ImageFault
from data.plain import to_plain
from data.progress import Progress, silent
from data.records import Reason, Rejection
from data.stored import StoredPicture, decode_stored
from sr.tiles import HALO_PX, bands
from sr.upscale.naming import Job, find_jobs, list_pictures
from sr.upscale.writers import open_writer
from sr.upscalers import PillowUpscaler, Upscaler
from sr.video_range import from_video, to_video

SCHEMA = 1
RECORD, JOURNAL = "pictures.json", "journal.jsonl"
STAGE = "upscale"
MEMORY_MB = 1500
_BASE_MB = 450
"""Of the process with its libraries and a small model."""
_LOW_PIXEL_BYTES = 4096
"""What a network holds for a low pixel of a tile: some sixteen float32 maps of 64 channels, rounded down."""
_FILTER_REACH_PX = 4
"""Of Lanczos 3, and one to spare."""
_SMALLEST_TILE, _LARGEST_TILE = 4 * HALO_PX, 1024


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
    jobs = find_jobs(source, output, upscaler.scale)
    model = upscaler.sha256 or f"{upscaler.name} x{upscaler.scale}"
    journal = Journal(directory / JOURNAL)
    journal.check(jobs)
    done, rejections = [], []
    progress(0, len(jobs))
    for count, job in enumerate(jobs, 1):
        digest = sha256_file(job.source)
        line = journal.finished(job, digest, model)
        if line is None:
            journal.add({"id": job.id, "output": str(job.output)})
            try:
                upscale_picture(job.source, job.output, upscaler, quality, memory_mb)
            except ImageFault as fault:
                rejections.append(Rejection(job.id, STAGE, fault.reason, fault.detail))
            else:
                line = journal.finish(job, digest, model)
        if line is not None:
            done.append(line | {"bytes": job.output.stat().st_size})
        progress(count, len(jobs), f"{len(rejections)} rejected" if rejections else "")
    if not done:
        first = f"{len(rejections)} that cannot; {rejections[0].id}: {rejections[0].detail}"
        raise UserError("a picture that can be read", first, str(source), "check the pictures")
    record = {
        "schema": SCHEMA,
        "model": upscaler.name,
        "model_sha256": model,
        "scale": upscaler.scale,
        "pictures": done,
        "rejections": [to_plain(one) for one in rejections],
    }
    write_json(directory / RECORD, record)
    return record


class Journal:
    """A line for each picture that is begun, and one for each that is finished; a torn last line counts for none."""

    def __init__(self, path: Path) -> None:
        self.path, self._begun, self._finished = path, set(), {}
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(path, len(whole))
        for text in whole.splitlines():
            self._take(json.loads(text))

    def check(self, jobs: list[Job]) -> None:
        """Look for files of others in the results' places.

        Raises:
            UserError: there is one.
        """
        for job in jobs:
            if os.path.lexists(job.output) and str(job.output) not in self._begun:
                got = f"a file that was not made with these settings, {job.output}"
                raise UserError("a free place", got, "the output", "move it away, or name another folder")

    def finished(self, job: Job, source_sha256: str, model: str) -> dict[str, Any] | None:
        """Return the line of a picture whose result stands where and as it was put; None: it is to be made."""
        line = self._finished.get(str(job.output))
        if line is None or (line["sha256"], line["model"]) != (source_sha256, model):
            return None
        there = job.output.is_file() and sha256_file(job.output) == line["output_sha256"]
        return line if there else None

    def finish(self, job: Job, source_sha256: str, model: str) -> dict[str, Any]:
        """Write that a picture is finished."""
        line = {"id": job.id, "output": str(job.output), "sha256": source_sha256, "model": model}
        line["output_sha256"] = sha256_file(job.output)
        self.add(line)
        return line

    def add(self, line: dict[str, Any]) -> None:
        """Append a line, and have it on the disk."""
        with open(self.path, "ab") as file:
            file.write(jsonl_line(line))
            file.flush()
            os.fsync(file.fileno())
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        self._begun.add(line["output"])
        if "output_sha256" in line:
            self._finished[line["output"]] = line


def upscale_picture(
    source: Path, output: Path, upscaler: Upscaler, quality: int = 95, memory_mb: int = MEMORY_MB
) -> None:
    """Enlarge one picture into a file, which appears when it is whole.

    Raises:
        ImageFault: it cannot be read, or has alpha where the result is a JPEG.
    """
    picture = decode_stored(source.read_bytes())
    height, width, channels = picture.colours.shape
    shape = (height * upscaler.scale, width * upscaler.scale, channels + (picture.alpha is not None))
    kind, suffix = picture.colours.dtype, output.suffix.lower()
    if suffix in (".jpg", ".jpeg") and picture.alpha is not None:
        raise ImageFault(Reason.UNSUPPORTED, f"transparent, and {suffix} cannot be; rename it to what it is")
    if suffix in (".jpg", ".jpeg", ".webp") and kind != np.uint8:
        kind = np.dtype(np.uint8)  # a 16-bit picture under a name of an 8-bit format
    gathered = 0 if suffix == ".png" else shape[0] * shape[1] * shape[2] * kind.itemsize
    tile_px = tile_side(picture.colours.nbytes + gathered, memory_mb)
    with atomic_file(output) as file:
        writer = open_writer(suffix, file, shape, kind, picture.icc, picture.exif, quality)
        for rows in enlarged_bands(picture, upscaler, tile_px):
            writer.add(rows if rows.dtype == kind else ((rows.astype(np.uint32) + 128) // 257).astype(kind))
        writer.finish()


def tile_side(held_bytes: int, memory_mb: int) -> int:
    """Return the side of a tile in low pixels, its halo included: what is left of the budget, within bounds."""
    left = memory_mb * 1_000_000 - _BASE_MB * 1_000_000 - held_bytes
    side = int(max(0, left / _LOW_PIXEL_BYTES) ** 0.5)
    return min(max(side, _SMALLEST_TILE), _LARGEST_TILE) // 8 * 8


def enlarged_bands(picture: StoredPicture, upscaler: Upscaler, tile_px: int) -> Iterator[np.ndarray]:
    """Yield the enlarged rows from the top, some at a time, with alpha as the last channel where there is one."""
    colours, alpha = picture.colours, picture.alpha
    if alpha is not None:
        colours = _extended(colours, alpha)
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
    halo_px = max(getattr(grid_of or upscaler, "halo_px", 0), _FILTER_REACH_PX)
    if (grid_of or upscaler).fixed_size:
        tile_px = (
            max(low.shape) + multiple
        )  # the whole picture, or the model says that it takes none of this size
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


def _extended(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give pixels that cannot be seen the colour of the nearest that can, so that none of theirs shows at an edge."""
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colours
    mask = hidden.astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(
        mask, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    seen = np.flatnonzero(~hidden)
    nearest = np.empty(labels.max() + 1, np.int64)
    nearest[labels.ravel()[seen]] = seen
    filled = colours.copy()
    filled[hidden] = colours.reshape(-1, colours.shape[2])[nearest[labels[hidden]]]
    return filled


def pictures_fingerprint(source: Path, output: Path) -> str:
    """Return a hash of the pictures' names, sizes and times: what names a run over them.

    Raises:
        UserError: there is none.
    """
    seen = []
    for path in list_pictures(source, output):
        status = path.stat()
        seen.append([str(path), status.st_size, status.st_mtime_ns])
    return sha256_bytes(json.dumps(seen).encode())
