"""Choose a file name for the result of each image."""

import dataclasses
import os
from collections import Counter
from pathlib import Path

from PIL import Image

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.file_names import find_name_fault
from data.imaging.animation import open_animation
from data.imaging.decode import ImageFault
from data.records import Rejection, RejectionReason
from sr.upscale.images.listing import STAGE, find_input_root, image_id, list_images
from sr.upscale.images.writers import format_of_suffix

LARGEST_SIDE = {".jpg": 65500, ".webp": 16383, ".gif": 65535}
"""Largest width and height, in pixels, of formats that have a limit; a larger result becomes a PNG."""
_KEPT_FORMATS = (".png", ".tif", ".jpg", ".webp")


@dataclasses.dataclass(frozen=True)
class Job:
    """One image to upscale."""

    id: str
    """The image's path relative to the input folder, with "/", as it is shown."""
    source: Path
    output: Path


def find_jobs(source: Path, output: Path, scale: int) -> tuple[list[Job], list[Rejection]]:
    """List the images to upscale, and where each result goes; and what is not taken, with the reason.

    A result has the same relative path and format as its image. If that format cannot hold it, the suffix is replaced
    by .png; if another image already has that name, .png is appended: a.bmp beside a.png becomes a.bmp.png. The output
    folder is not searched for images.

    Args:
        source: a folder, searched recursively, or an image.
        output: the folder for the results.
        scale: of the model.

    Raises:
        UserError: there is no image, or a result would overwrite an input.
    """
    listed, root = list_images(source, output), find_input_root(source)
    names = {
        image: image.relative_to(root).with_suffix(_output_suffix(image, scale)) for image in listed.images
    }
    counts = Counter(str(name) for name in names.values())
    jobs = []
    for image, name in names.items():
        relative = image.relative_to(root)
        if counts[str(name)] > 1 and name.suffix != image.suffix:
            name = relative.with_name(f"{relative.name}.png")
        jobs.append(Job(image_id(image, root), image, output / name))
    _check_inputs_are_kept(jobs, output)
    kept, rejections = _reject_names(jobs)
    return kept, [*listed.rejections, *rejections]


def _check_inputs_are_kept(jobs: list[Job], output: Path) -> None:
    inputs = {os.path.realpath(job.source) for job in jobs}
    if any(os.path.realpath(job.output) in inputs for job in jobs):
        raise UserError(f"The results in {output} would overwrite the images", "Choose another output folder")


def _reject_names(jobs: list[Job]) -> tuple[list[Job], list[Rejection]]:
    """Divide the jobs into those with a result's name that can be written, and rejections of the others."""
    kept: list[Job] = []
    rejections: list[Rejection] = []
    # An image that keeps its own name has it before one whose result only gets that name.
    ordered = sorted(jobs, key=lambda job: job.source.name != job.output.name)
    first: dict[str, str] = {}
    for job in ordered:
        other = first.setdefault(str(job.output), job.id)
        fault = find_name_fault(job.output)
        if other != job.id:
            fault = f"the name of that of {other}"
        if fault:
            detail = f"its result would have {fault}; rename it"
            rejections.append(Rejection(job.id, STAGE, RejectionReason.BAD_NAME, detail))
        else:
            kept.append(job)
    return sorted(kept, key=lambda job: job.source), rejections


def _output_suffix(image: Path, scale: int) -> str:
    suffix = format_of_suffix(image.suffix)
    if suffix == ".gif":
        try:
            animation = open_animation(image.read_bytes())
            fits = animation and scale * max(animation.width, animation.height) <= LARGEST_SIDE[suffix]
            return image.suffix if fits else ".png"
        except (ImageFault, OSError) as error:  # a damaged file is reported when it is read
            raise_if_exhausted(error)
    if suffix in LARGEST_SIDE:
        try:
            with Image.open(image) as opened:
                return image.suffix if scale * max(opened.size) <= LARGEST_SIDE[suffix] else ".png"
        except Exception as error:  # a damaged file is reported when it is read
            raise_if_exhausted(error)
    return image.suffix if suffix in _KEPT_FORMATS else ".png"
