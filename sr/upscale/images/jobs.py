"""Which images there are to upscale, and what each result is called."""

import contextlib
import dataclasses
import os
from collections import Counter
from pathlib import Path

from PIL import Image

from data.errors import UserError
from data.imaging.decode import SUFFIXES

LARGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
"""Pixels that libjpeg and libwebp write; a larger result becomes a PNG."""
_KEPT = (".png", ".tif", ".tiff", *LARGEST_SIDE)


@dataclasses.dataclass(frozen=True)
class Job:
    """One image to upscale."""

    id: str
    """Its path below the folder, with "/"."""
    source: Path
    output: Path


def find_jobs(source: Path, output: Path, scale: int) -> list[Job]:
    """List the images of a folder and its folders, or the one, with where each result goes.

    The result has the same relative path, in the same format where that can hold it, and otherwise .png in place of
    its suffix; where another image has that name already, .png is put behind it: a.bmp beside a.png becomes
    a.bmp.png. What lies below the output folder is no input.

    Args:
        source: a folder, or an image.
        output: the folder of the results.
        scale: of the model.

    Raises:
        UserError: there is no image, a result would be an input, or two would have one name.
    """
    images = list_images(source, output)
    root = root_of(source)
    plain = {one: one.relative_to(root).with_suffix(_suffix(one, scale)) for one in images}
    taken = Counter(str(name) for name in plain.values())
    jobs = []
    for one, name in plain.items():
        relative = one.relative_to(root)
        if taken[str(name)] > 1 and name.suffix != one.suffix:
            name = relative.with_name(f"{relative.name}.png")
        jobs.append(Job(relative.as_posix(), one, output / name))
    names = Counter(str(job.output) for job in jobs)
    inputs = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        if os.path.realpath(job.output) in inputs:
            raise UserError("a folder apart from the images", str(output), "the output", "name another one")
        if names[str(job.output)] > 1:
            raise UserError("a name for each result", f"two {job.output.name}", job.id, "rename one of them")
    return jobs


def root_of(source: Path) -> Path:
    """Return the folder that ids and results are relative to."""
    return source if source.is_dir() else source.parent


def list_images(source: Path, output: Path) -> list[Path]:
    """List them, sorted. Hidden files and folders are left out.

    Raises:
        UserError: there is none, or a folder cannot be read.
    """
    if source.is_file():
        return [source]
    inside, found = os.path.abspath(output), []
    for folder, folders, files in os.walk(source, onerror=_refuse):
        here = Path(folder)
        folders[:] = [
            one for one in folders if not one.startswith(".") and os.path.abspath(here / one) != inside
        ]
        found += [here / one for one in files if not one.startswith(".") and _is_image(here / one)]
    found.sort()
    if not found:
        raise UserError(
            f"an image, or a folder with some ({' '.join(SUFFIXES)})",
            "nothing" if not source.exists() else "none",
            str(source),
            "check the path",
        )
    return found


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        return  # the caller says so, or it went since it was listed
    raise UserError("a folder that can be read", error.strerror, error.filename, "make it readable") from None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _suffix(image: Path, scale: int) -> str:
    suffix = image.suffix.lower()
    if suffix in LARGEST_SIDE:
        with contextlib.suppress(Exception), Image.open(image) as opened:  # what is damaged is told later
            return image.suffix if scale * max(opened.size) <= LARGEST_SIDE[suffix] else ".png"
    return image.suffix if suffix in _KEPT else ".png"
