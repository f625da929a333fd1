"""List the images to upscale, and choose a file name for each result."""

import dataclasses
import os
from collections import Counter
from pathlib import Path

from PIL import Image

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.imaging.decode import SUFFIXES

LARGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
"""Largest width and height, in pixels, that libjpeg and libwebp write; a larger result becomes a PNG."""
_OUTPUT_SUFFIXES = (".png", ".tif", ".tiff", *LARGEST_SIDE)


@dataclasses.dataclass(frozen=True)
class Job:
    """One image to upscale."""

    id: str
    """The image's path relative to the input folder, with "/"."""
    source: Path
    output: Path


def find_jobs(source: Path, output: Path, scale: int) -> list[Job]:
    """List the images to upscale, and where each result goes.

    A result has the same relative path and format as its image. If that format cannot hold it, the suffix is replaced
    by .png; if another image already has that name, .png is appended: a.bmp beside a.png becomes a.bmp.png. The output
    folder is not searched for images.

    Args:
        source: a folder, searched recursively, or an image.
        output: the folder for the results.
        scale: of the model.

    Raises:
        UserError: there is no image, a result would overwrite an input, or two results would have the same name.
    """
    images = list_images(source, output)
    root = find_input_root(source)
    names = {image: image.relative_to(root).with_suffix(_output_suffix(image, scale)) for image in images}
    counts = Counter(str(name) for name in names.values())
    jobs = []
    for image, name in names.items():
        relative = image.relative_to(root)
        if counts[str(name)] > 1 and name.suffix != image.suffix:
            name = relative.with_name(f"{relative.name}.png")
        jobs.append(Job(relative.as_posix(), image, output / name))
    _check_outputs(jobs, output)
    return jobs


def _check_outputs(jobs: list[Job], output: Path) -> None:
    counts = Counter(str(job.output) for job in jobs)
    inputs = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        if os.path.realpath(job.output) in inputs:
            raise UserError(
                f"The results in {output} would overwrite the images", "Choose another output folder"
            )
        if counts[str(job.output)] > 1:
            raise UserError(
                f"Two results would be named {job.output.name}, one of them from {job.id}",
                "Rename one of the images",
            )


def find_input_root(source: Path) -> Path:
    """Return the folder that ids and the paths of results are relative to."""
    return source if source.is_dir() else source.parent


def list_images(source: Path, output: Path) -> list[Path]:
    """List the images, sorted. Hidden files and folders, and the output folder, are skipped.

    Raises:
        UserError: there is no image, or a folder cannot be read.
    """
    if source.is_file():
        return [source]
    skipped, found = os.path.abspath(output), []
    for folder, folders, files in os.walk(source, onerror=_raise_unreadable):
        here = Path(folder)
        folders[:] = [
            name for name in folders if not name.startswith(".") and os.path.abspath(here / name) != skipped
        ]
        found += [here / name for name in files if not name.startswith(".") and _is_image(here / name)]
    found.sort()
    if not found:
        problem = f"contains no image ({' '.join(SUFFIXES)})" if source.exists() else "does not exist"
        raise UserError(f"{source} {problem}", "Check the path")
    return found


def _raise_unreadable(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        return  # the caller reports it, or it was deleted after it was listed
    raise UserError(
        f"The folder {error.filename} cannot be read: {error.strerror}", "Change its permissions"
    ) from None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _output_suffix(image: Path, scale: int) -> str:
    suffix = image.suffix.lower()
    if suffix in LARGEST_SIDE:
        try:
            with Image.open(image) as opened:
                return image.suffix if scale * max(opened.size) <= LARGEST_SIDE[suffix] else ".png"
        except Exception as error:  # a damaged file is reported when it is read
            raise_if_exhausted(error)
    return image.suffix if suffix in _OUTPUT_SUFFIXES else ".png"
