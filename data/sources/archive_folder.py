"""A folder of archives as one source, as trees of Hugging Face and WebDatasets are: data/train-00000.tar, and more."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.catalog.folder_contents import is_closed
from data.catalog.spec import archive_suffix, name_of_split_zip
from data.errors import UserError
from data.exhaustion import hint_of
from data.file_names import escape_name
from data.hashing import canonical_json, sha256_bytes
from data.records import Rejection, RejectionReason
from data.sources.archive import ArchiveSource
from data.sources.base import ListedMember

_DETAIL = "beside archives: only what is in them is read, and links to folders are not followed"


class ArchiveFolderSource(ArchiveSource):
    """The images in all archives in and below a folder, in the order of their paths. Links to files are followed.

    Args:
        root: the folder.
        alpha: how to handle transparent images, see `data.imaging.decode.decode`.
    """

    def __init__(self, root: Path, alpha: str = "refuse") -> None:
        archives, others = _list_files(root)
        known = set(archives)
        self._others = [escape_name(path) for path in others if name_of_split_zip(path) not in known]
        super().__init__([root / path for path in archives], "", alpha)

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the archives' names, sizes and modification times, and one over the other files' names."""
        others = sha256_bytes(canonical_json(self._others))
        return super().fingerprint() | {"kind": "archive_folder", "others": others}

    def list_members(self) -> Iterator[ListedMember]:
        """Yield the other files of the folder as rejections, then the members of the archives."""
        for path in self._others:
            yield 0.0, Rejection(path, "index", RejectionReason.NOT_AN_IMAGE, _DETAIL)
        yield from super().list_members()


def _list_files(root: Path) -> tuple[list[str], list[str]]:
    """Return the paths of all archives below a folder, and those of everything else, sorted.

    Raises:
        UserError: a folder can't be read, so that archives in it would be left out.
    """
    archives: list[str] = []
    others: list[str] = []
    for directory, folders, files in os.walk(root, onerror=_raise_unreadable):
        closed = [name for name in folders if is_closed(directory, name)]
        folders[:] = [name for name in folders if name not in closed]
        prefix = os.path.relpath(directory, root)
        others += [os.path.normpath(os.path.join(prefix, name)) for name in closed]
        for name in files:
            is_read = archive_suffix(name) and not name.startswith(".")
            (archives if is_read else others).append(os.path.normpath(os.path.join(prefix, name)))
    return sorted(archives, key=os.fsencode), sorted(others, key=os.fsencode)


def _raise_unreadable(error: OSError) -> None:
    message = f"The folder {error.filename}, in a folder of archives, can't be read: {error.strerror}"
    raise UserError(message, hint_of(error) or "Check its permissions") from None
