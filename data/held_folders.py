"""Refuse to make a folder anew that was there when the work began: its disk was unmounted, or it was moved away.

A file is written with the folders above it. Where the store has vanished meanwhile, that would begin a second one
in its place, with the last files of a result and without the first: a record there would make half a result look whole.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(eq=False)  # each block has its own, also of one folder
class _Held:
    folder: Path
    identity: tuple[int, int] | None = None
    """Device and number of the folder, once it was seen with something in it. Before that it is still to be made."""


_held: list[_Held] = []
"""In this process, one for each block that runs."""


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Let nothing below a folder be made while the block runs if it is missing or empty, and was not before."""
    held = _Held(Path(os.path.abspath(folder)))
    _held.append(held)
    try:
        look_at_held()
        yield
    finally:
        _held.remove(held)


def look_at_held() -> None:
    """Notice which of the held folders have something in them by now, made perhaps by another process."""
    for held in _held:
        if held.identity is None and _has_content(held.folder):
            held.identity = _identify(held.folder)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; nothing if it exists.

    Raises:
        FileNotFoundError: a folder above it that is held is gone; the error names that one.
    """
    if path.is_dir():
        return
    whole = Path(os.path.abspath(path))
    look_at_held()
    above = [held for held in _held if held.identity and whole.is_relative_to(held.folder)]
    if gone := next(filter(_is_gone, above), None):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(gone.folder))
    if above:
        _make_below(above[0].folder, whole)
    else:
        path.mkdir(parents=True, exist_ok=True)


def is_gone(folder: Path) -> bool:
    """Return whether a folder is held, and was there and is gone."""
    whole = Path(os.path.abspath(folder))
    return any(held.folder == whole and _is_gone(held) for held in _held)


def _make_below(folder: Path, path: Path) -> None:
    """Make a folder and those above it up to `folder`, which is not made: it may vanish at this very moment."""
    try:
        path.mkdir(exist_ok=True)
    except FileNotFoundError:
        if path.parent == folder:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder)) from None
        _make_below(folder, path.parent)
        path.mkdir(exist_ok=True)


def _is_gone(held: _Held) -> bool:
    """Return whether a folder that had content is missing, or another one without content is in its place.

    Where a disk is not mounted there is an empty folder. The same folder may be empty: failed tasks leave nothing. And
    another one with content may be the same disk, mounted again.
    """
    if held.identity is None or _identify(held.folder) == held.identity:
        return False
    return not _has_content(held.folder)


def _identify(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _has_content(folder: Path) -> bool:
    """Return whether a folder exists and is not empty."""
    try:
        with os.scandir(folder) as found:
            return any(found)
    except FileNotFoundError:
        return False
    except OSError:  # it is there, but can't be read
        return True
