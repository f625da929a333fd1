"""Describe a local folder, archive or video as a dataset."""

import os
import re
from pathlib import Path

from data.catalog.folder_contents import survey
from data.catalog.hr_lr_sets import benchmark_folders, refuse_mixed_sets
from data.catalog.spec import ARCHIVE_KINDS, VIDEO_SUFFIXES, DatasetSpec, archive_suffix, slugify
from data.errors import UserError


def dataset_from_path(path: Path) -> DatasetSpec:
    """Return the spec of the dataset at an absolute path.

    Raises:
        UserError: the path does not exist, or is not a folder, an archive or a video.
    """
    if not path.exists():
        raise UserError(f"There is nothing at {path}", "Check the path")
    if path.is_dir():
        return _from_folder(path)
    suffix = archive_suffix(path.name)
    if suffix:
        return _spec(slugify(path.name[: -len(suffix)]), ARCHIVE_KINDS[suffix], path, path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _spec(slugify(path.stem), "video", path, path)
    message = (
        f"{path} is not a dataset: it is neither a folder nor a file that ends in one of "
        f"{', '.join((*ARCHIVE_KINDS, *VIDEO_SUFFIXES))}"
    )
    raise UserError(message, "Put the images into a folder and give its path")


def _from_folder(path: Path) -> DatasetSpec:
    """Describe a folder: a benchmark with HR and LR images, a folder of videos, or a folder of images."""
    name = slugify(path.name)
    contents = survey(path)
    pair = _find_hr_and_lr(path) or benchmark_folders(contents, str(path))
    if pair:
        name = f"{path.parent.name}-{name}" if re.fullmatch(r"x\d", name) else name
        refuse_mixed_sets(survey(Path(pair[0])))
        return _spec(name, "folder", path, Path(pair[0]), pair[1])
    if contents.holds_videos and _is_mostly_videos(path):
        return _spec(name, "video", path, path)
    refuse_mixed_sets(contents)
    return _spec(name, "folder", path, path)


def _find_hr_and_lr(path: Path) -> tuple[str, str] | None:
    """Return the folders HR and LR, in upper or lower case; their images may have any names."""
    names = sorted(os.listdir(path), reverse=True)  # HR before hr where there are both
    by_name = {name.lower(): str(path / name) for name in names if (path / name).is_dir()}
    return (by_name["hr"], by_name["lr"]) if {"hr", "lr"} <= set(by_name) else None


def _spec(name: str, kind: str, given: Path, path: Path, lr_path: str = "") -> DatasetSpec:
    return DatasetSpec(name, kind, f"Images of {given.name}", "unknown", path=str(path), lr_path=lr_path)


def _is_mostly_videos(folder: Path) -> bool:
    """Return whether a folder has more bytes of videos than of other files, such as covers and subtitles."""
    video_bytes = other_bytes = 0
    for directory, _, files in os.walk(folder):
        for name in files:
            size = _size(os.path.join(directory, name))
            is_video = name.lower().endswith(VIDEO_SUFFIXES)
            video_bytes, other_bytes = video_bytes + size * is_video, other_bytes + size * (not is_video)
    return video_bytes > other_bytes


def _size(path: str) -> int:
    """Return a file's size; 0 if it has gone or can't be examined, which the index will say."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
