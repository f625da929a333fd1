"""Describe a local folder, archive or video as a dataset."""

import dataclasses
import errno
import os
import re
from pathlib import Path

from data.catalog.folder_contents import survey
from data.catalog.hr_lr_sets import benchmark_folders, refuse_mixed_sets
from data.catalog.spec import (
    ARCHIVE_KINDS,
    VIDEO_SUFFIXES,
    DatasetSpec,
    archive_suffix,
    name_of_split_zip,
    slugify,
)
from data.errors import UserError
from data.exhaustion import hint_of
from data.foreign_kinds import advise, read_kind


def dataset_from_path(path: Path, folder_kind: str = "") -> DatasetSpec:
    """Return the spec of the dataset at an absolute path.

    Args:
        path: a folder, an archive or a video.
        folder_kind: what to read of a folder: folder (its images) or video (its videos); empty: what has more bytes.

    Raises:
        UserError: the path does not exist or can't be read, is of another kind, or is a folder that mixes HR and LR
            images.
    """
    if not is_there(path):
        raise UserError(f"There is nothing at {path}", "Check the path")
    if path.is_dir():
        return _from_folder(path, folder_kind)
    suffix = archive_suffix(path.name)
    if suffix:
        return _spec(slugify(path.name[: -len(suffix)]), ARCHIVE_KINDS[suffix], path, path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _spec(slugify(path.stem), "video", path, path)
    whole = name_of_split_zip(path.name)
    if whole:
        raise UserError(f"{path} is one part of a split zip", f"Give the path of {path.with_name(whole)}")
    message = (
        f"{path} is not a dataset: it is neither a folder nor a file that ends in one of "
        f"{', '.join((*ARCHIVE_KINDS, *VIDEO_SUFFIXES))}"
    )
    kind = _read_kind(path)
    if kind:
        raise UserError(f"{message}; it is {kind}", advise(kind, path.name))
    raise UserError(message, "Put the images into a folder and give its path")


def _read_kind(path: Path) -> str:
    """Return what an archive is whose name does not say it; empty for any other file."""
    try:
        return (path.is_file() and read_kind(path)) or ""
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise UserError(message, hint_of(error) or "Check its permissions") from None


def is_there(path: Path) -> bool:
    """Return whether something is at a path.

    Raises:
        UserError: that can't be found out, for example because a folder above is closed.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        message = f"{path} can't be read: {error.strerror}"
        raise UserError(message, hint_of(error) or "Check the path and its permissions") from None
    return True


def _from_folder(path: Path, kind: str) -> DatasetSpec:
    """Describe a folder: a benchmark with HR and LR images, a folder of videos, or a folder of images."""
    name = slugify(path.name)
    contents = survey(path)
    pair = _find_hr_and_lr(path) or benchmark_folders(contents, str(path))
    if pair and kind != "video":
        name = f"{path.parent.name}-{name}" if re.fullmatch(r"x\d", name) else name
        refuse_mixed_sets(survey(Path(pair[0])))
        return _spec(name, "folder", path, Path(pair[0]), pair[1])
    if not (kind or contents.holds_images or contents.holds_videos) and contents.holds_archives:
        return _spec(name, "archive_folder", path, path)
    is_guess = not kind and contents.holds_videos
    kind = kind or ("video" if is_guess and _is_mostly_videos(path) else "folder")
    if kind == "folder":
        refuse_mixed_sets(contents)
    spec = _spec(name, kind, path, path)
    if not (is_guess and contents.holds_images):
        return spec
    chosen, other = ("videos", "images") if kind == "video" else ("images", "videos")
    shown = printable(str(path))
    why = f"{shown} holds images and videos. Its {chosen} are read, because they are the larger part."
    note = f"{why} {other}:{shown} as the dataset reads its {other}."
    return dataclasses.replace(spec, note=note)


def _find_hr_and_lr(path: Path) -> tuple[str, str] | None:
    """Return the folders HR and LR, in upper or lower case; their images may have any names."""
    names = sorted(os.listdir(path), reverse=True)  # HR before hr where there are both
    # Unlike Path.is_dir, os.path.isdir does not raise where a link leads into a closed folder.
    by_name = {name.lower(): str(path / name) for name in names if os.path.isdir(path / name)}  # noqa: PTH112
    return (by_name["hr"], by_name["lr"]) if {"hr", "lr"} <= set(by_name) else None


def _spec(name: str, kind: str, given: Path, path: Path, lr_path: str = "") -> DatasetSpec:
    return DatasetSpec(
        name, kind, f"Images of {printable(given.name)}", "unknown", path=str(path), lr_path=lr_path
    )


def printable(name: str) -> str:
    """Return a name with bytes that are not UTF-8 escaped, so that it can be written anywhere."""
    return os.fsencode(name).decode(errors="backslashreplace")


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
