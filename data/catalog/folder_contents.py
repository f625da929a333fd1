"""Survey a folder: whether it holds images, videos or both, and which of its folders hold sets with equal names.

Every task surveys its folder, so it is one walk, without a stat for each file.
"""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from data.catalog.spec import VIDEO_SUFFIXES, archive_suffix
from data.errors import UserError
from data.exhaustion import hint_of
from data.imaging.decode import SUFFIXES

_LR_ENDS = ("_lr", "-lr")
_FEW = 4
"""Pairs of names that are kept of one folder."""


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """All images below a folder, or only those directly in it."""

    path: str
    """The folder; where a folder holds nothing but one other folder, that one."""
    names: int
    """Hash of the paths of its images below the folder."""
    stems: int
    """The same without suffixes, and without a scale (x2) at the end of a name."""
    is_own: bool = False
    """Whether it is only the images directly in the folder."""


@dataclasses.dataclass(frozen=True)
class FolderContents:
    """The contents of a folder. Hidden files and folders, and links to folders, do not count."""

    holds_images: bool
    holds_videos: bool
    holds_archives: bool
    families: dict[str, dict[str, ImageSet]]
    """For each folder with images below it, the sets in it by name, sorted; "" for the images directly in it."""
    suffix_pairs: dict[str, list[tuple[str, str]]]
    """For folders with files like a.png and ax2.png, or a_HR.png and a_LR.png: a few of these pairs, HR first."""


def survey(root: Path) -> FolderContents:
    """Walk a folder.

    Raises:
        UserError: the folder itself can't be read.
    """
    require_readable(root)
    holds_videos = holds_archives = False
    suffix_pairs = {}
    walked: list[tuple[str, list[str], ImageSet | None]] = []
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_closed(directory, name))
        holds_videos = holds_videos or any(name.lower().endswith(VIDEO_SUFFIXES) for name in files)
        holds_archives = holds_archives or any(archive_suffix(name) for name in files if name[0] != ".")
        images = image_names(files)
        if pairs := find_suffix_pairs(images):
            suffix_pairs[directory] = pairs
        walked.append((directory, list(folders), _own_images(directory, images)))
    sets: dict[str, ImageSet] = {}
    families = {}
    for directory, folders, own in reversed(walked):
        below = {name: sets.pop(os.path.join(directory, name), None) for name in folders}
        family = {"": own} | below
        found = {name: one for name, one in family.items() if one is not None}
        if found:
            families[directory] = found
            sets[directory] = _join_sets(directory, found)
    return FolderContents(
        bool(families), holds_videos, holds_archives, dict(reversed(families.items())), suffix_pairs
    )


def require_readable(folder: Path, role: str = "") -> None:
    """Raise UserError, with the role of the folder, if it can't be listed."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        message = f"The folder {folder}{f' ({role})' if role else ''} can't be read: {error.strerror}"
        raise UserError(message, hint_of(error) or "Check the path and its permissions") from None


def is_closed(directory: str, folder: str) -> bool:
    """Return whether a folder is hidden or a link: what is in it is not read."""
    # Unlike Path.is_symlink, this does not raise in a folder that is closed.
    return folder.startswith(".") or os.path.islink(os.path.join(directory, folder))  # noqa: PTH114


def image_names(files: Iterable[str]) -> list[str]:
    """Return the names that are not hidden and have an image's suffix."""
    return [name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]


def split_scale(name: str) -> tuple[str, bool]:
    """Return an image's name without suffix and without a scale at the end, and whether it has a scale.

    Example:
        >>> split_scale("0801x2.png")
        ('0801', True)
    """
    stem = name.rpartition(".")[0]
    if stem[-1:].isdigit() and stem[-2:-1] in ("x", "X") and len(stem) > 2:
        return stem[:-2].rstrip("_-") or stem, True
    return stem, False


def find_suffix_pairs(names: list[str]) -> list[tuple[str, str]]:
    """Return a few pairs of names in one folder that differ by a scale, or by HR or GT and LR, at their ends."""
    scaled = [name for name in names if split_scale(name)[1]]
    low = [name for name in names if name.rpartition(".")[0].lower().endswith(_LR_ENDS)]
    if not scaled and not low:
        return []
    by_stem = {name.rpartition(".")[0].lower(): name for name in names}
    pairs = [(by_stem.get(split_scale(name)[0].lower()), name) for name in sorted(scaled)]
    for name in sorted(low):
        start = name.rpartition(".")[0].lower()[:-2]
        pairs.append((by_stem.get(start + "hr") or by_stem.get(start + "gt"), name))
    return [(hr, lr) for hr, lr in pairs if hr is not None][:_FEW]


def _own_images(directory: str, names: list[str]) -> ImageSet | None:
    if not names:
        return None
    stems = frozenset(split_scale(name)[0] for name in names)
    return ImageSet(directory, hash(frozenset(names)), hash((len(names), stems)), is_own=True)


def _join_sets(directory: str, family: dict[str, ImageSet]) -> ImageSet:
    """Return the set of everything below a folder."""
    if len(family) == 1:
        (only,) = family.values()
        return dataclasses.replace(only, is_own=False)
    names = hash(tuple((name, one.names) for name, one in family.items()))
    return ImageSet(directory, names, hash(tuple((name, one.stems) for name, one in family.items())))
