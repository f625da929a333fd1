"""Upscale folders of images: what the task UpscaleImages and `python -m sr.upscale` call.

Images are processed one after another. A journal records each finished image; after a kill, the interrupted image is
made again, with the same bytes.
"""

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

from data.atomic_files import write_json, write_jsonl
from data.errors import UserError
from data.file_identity import size_and_second
from data.hashing import sha256_bytes, sha256_file
from data.imaging.decode import ImageFault
from data.imaging.image_warnings import collect_warnings
from data.imaging.other_formats import OPTIONAL_KINDS, missing_reader
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import ImageWarning, Rejection
from sr.runtime.upscaler import Upscaler
from sr.upscale.images.jobs import Job, find_jobs
from sr.upscale.images.journal import JOURNAL, Journal, explain_output_errors
from sr.upscale.images.listing import STAGE, list_images
from sr.upscale.images.upscale_image import MEMORY_MB, reject_unreadable, upscale_image

SCHEMA = 2
RECORD = "images.json"
REJECTIONS = "rejections.jsonl"
MIN_SCALE, MAX_SCALE = 2, 8


def check_settings(scale: int, quality: int, memory_mb: int) -> None:
    """Check that the settings are in their ranges.

    Raises:
        UserError: one is not.
    """
    ranges = {
        "--scale": (scale, MIN_SCALE, MAX_SCALE),
        "--quality": (quality, 1, 100),
        "The memory in MB": (memory_mb, 1, math.inf),
    }
    for name, (value, least, largest) in ranges.items():
        if not least <= value <= largest:
            allowed = f"{least} to {largest}" if largest < math.inf else f"{least} or more"
            raise UserError(f"{name} must be {allowed}, got {value}", "Choose another value")


def upscale_images(
    source: Path,
    output: Path,
    directory: Path,
    upscaler: Upscaler,
    quality: int = 95,
    memory_mb: int = MEMORY_MB,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Upscale an image or a folder of images, or resume doing so.

    Args:
        source: an image, or a folder, which is searched recursively.
        output: the folder for the results.
        directory: for the journal and, at the end, rejections.jsonl and images.json.
        upscaler: the model or filter; `tile_px` of a network must be 0.
        quality: of JPEG and WebP, 1 to 100.
        memory_mb: memory budget that sets the tile size; a tile has at least 128 px a side.
        progress: counts images.

    Returns:
        The content of images.json.

    Raises:
        UserError: there is no image, a result would overwrite a file that this run did not write, the results cannot
            be written, or not one image can be read.
    """
    fingerprint = fingerprint_images(source, output)
    jobs, rejections = find_jobs(source, output, upscaler.scale)
    journal = Journal(directory / JOURNAL)
    journal.check(jobs)
    progress(0, len(jobs))
    images: list[dict[str, Any]] = []
    for count, job in enumerate(jobs, 1):
        try:
            images.append(_upscale_unless_finished(job, journal, upscaler, quality, memory_mb))
        except ImageFault as fault:
            rejections.append(Rejection(job.id, STAGE, fault.reason, fault.detail))
        progress(count, len(jobs), f"{len(rejections)} rejected" if rejections else "")
    _check_any_readable(source, images, rejections)
    write_jsonl(directory / REJECTIONS, (to_plain(rejection) for rejection in rejections))
    record = _make_record(upscaler, fingerprint, images, rejections)
    write_json(directory / RECORD, record)
    return record


def _check_any_readable(source: Path, images: list[dict[str, Any]], rejections: list[Rejection]) -> None:
    if not images:
        first = rejections[0]
        raise UserError(
            f"None of the {len(rejections)} images in {source} can be upscaled; {first.id}: {first.detail}",
            "Check the images",
        )


def _make_record(
    upscaler: Upscaler, fingerprint: str, images: list[dict[str, Any]], rejections: list[Rejection]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model": upscaler.name,
        "model_sha256": identify_model(upscaler),
        "scale": upscaler.scale,
        "fingerprint": fingerprint,
        "images": images,
        "rejections": [to_plain(rejection) for rejection in rejections],
        "warnings": [
            to_plain(ImageWarning(one["id"], STAGE, reason, detail))
            for one in images
            for reason, detail in one.get("warnings", {}).items()
        ],
    }


def _upscale_unless_finished(
    job: Job, journal: Journal, upscaler: Upscaler, quality: int, memory_mb: int
) -> dict[str, Any]:
    """Return an image's line of the record, after upscaling it unless a previous run did."""
    with reject_unreadable(job.source):
        source_sha256 = sha256_file(job.source)
    line = journal.find_finished(job, source_sha256, identify_model(upscaler))
    if line is None:
        with journal.record_start(job), collect_warnings() as warnings:
            upscale_image(job.source, job.output, upscaler, quality, memory_mb)
        line = journal.record_finish(job, source_sha256, identify_model(upscaler), warnings)
    with explain_output_errors(job.output):
        return line | {"bytes": job.output.stat().st_size}


def identify_model(upscaler: Upscaler) -> str:
    """Return a model's identity: the hash of its file, or the name and scale of a filter."""
    return upscaler.sha256 or f"{upscaler.name} x{upscaler.scale}"


def fingerprint_images(source: Path, output: Path) -> str:
    """Hash the images' paths, sizes, times and readability; the hash changes when an image, or what is read, does.

    Raises:
        UserError: there is no image.
    """
    listed = list_images(source, output)
    seen: list[Any] = [to_plain(rejection) for rejection in listed.rejections]
    seen += [kind for kind in OPTIONAL_KINDS if missing_reader(kind)]
    for path in listed.images:
        with contextlib.suppress(FileNotFoundError):  # deleted after it was listed
            seen.append([str(path), *size_and_second(path.stat()), os.access(path, os.R_OK)])
    return sha256_bytes(json.dumps(seen).encode())
