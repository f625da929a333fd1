"""Describe a local folder, archive or video as a dataset."""

import os
import re
from pathlib import Path

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
    """Describe a folder: a benchmark with HR/ and LR/, a folder of videos, or a folder of images."""
    name = slugify(path.name)
    hr_folder, lr_folder = path / "HR", path / "LR"
    if hr_folder.is_dir() and lr_folder.is_dir():
        name = f"{path.parent.name}-{name}" if re.fullmatch(r"x\d", name) else name
        return _spec(name, "folder", path, hr_folder, str(lr_folder))
    return _spec(name, "video" if _holds_videos(path) else "folder", path, path)


def _spec(name: str, kind: str, given: Path, path: Path, lr_path: str = "") -> DatasetSpec:
    return DatasetSpec(name, kind, f"Images of {given.name}", "unknown", path=str(path), lr_path=lr_path)


def _holds_videos(folder: Path) -> bool:
    """Return whether a folder has more bytes of videos than of other files, such as covers and subtitles."""
    video_bytes = other_bytes = 0
    for directory, _, files in os.walk(folder):
        for name in files:
            size = os.lstat(os.path.join(directory, name)).st_size
            is_video = name.lower().endswith(VIDEO_SUFFIXES)
            video_bytes, other_bytes = video_bytes + size * is_video, other_bytes + size * (not is_video)
    return video_bytes > other_bytes
