"""Image files on disk as a source: a folder, single downloaded files, or the photographs of scikit-image."""

import importlib.util
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.hashing import canonical_json, sha256_bytes, sha256_file
from data.imaging.decode import SUFFIXES, ImageFault
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources.base import ListedMember, Member, StoredSource
from data.sources.member_names import escape_name

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
"""The color photographs of scikit-image. Its other images are gray textures, scans and drawings."""
_HEX = "//"
"""Marks the locator of a path that is not UTF-8, written in hex digits. No path below a folder begins so."""


class FolderSource(StoredSource):
    """All files below a folder, sorted by path. Links are not followed."""

    def __init__(self, root: Path, alpha: str = "refuse") -> None:
        super().__init__(alpha)
        if not root.is_dir():
            raise UserError(f"There is no folder at {root}", "Check the path")
        self.root = root

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the paths, sizes and modification times of all files."""
        listing = []
        for path, found in self._list_files():
            status = [found.st_size, found.st_mtime_ns] if isinstance(found, os.stat_result) else [found]
            listing.append([escape_name(path), *([] if _is_hidden(path) else status)])
        return {"kind": "folder", "files": len(listing), "listing": sha256_bytes(canonical_json(listing))}

    def _list_files(self) -> list[tuple[str, os.stat_result | str]]:
        """List all files as (path below the root, status), sorted; an unreadable folder has an error text as status.

        A linked, hidden or unreadable folder is one item of the list: its files are not listed.
        """
        found: list[tuple[str, os.stat_result | str]] = []

        def add_unreadable(error: OSError) -> None:
            found.append((os.path.relpath(error.filename, self.root), error.strerror or str(error)))

        for directory, folders, files in os.walk(self.root, onerror=add_unreadable):
            closed = [name for name in folders if name.startswith(".") or Path(directory, name).is_symlink()]
            folders[:] = [name for name in folders if name not in closed]
            for name in files + closed:
                path = os.path.join(directory, name)
                found.append((os.path.relpath(path, self.root), os.lstat(path)))
        return sorted(found, key=lambda one: os.fsencode(one[0]))

    def list_members(self) -> Iterator[ListedMember]:
        """Yield regular files with an image's suffix as members, and everything else as rejections."""
        found = self._list_files()
        for number, (path, status) in enumerate(found, 1):
            yield number / len(found), _classify(path, status)

    def load(self, locator: str) -> bytes:
        """Return a file's bytes."""
        return _read_file(self._path(locator), os.O_NOFOLLOW)

    def _path(self, locator: str) -> Path:
        digits = locator.removeprefix(_HEX)
        return self.root / (os.fsdecode(bytes.fromhex(digits)) if digits != locator else locator)

    def is_unmodified(self, entry: SourceEntry) -> bool:
        """Return whether the file has the indexed size and modification time, as make and git compare files."""
        try:
            status = os.lstat(self._path(entry.locator))
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (entry.bytes, entry.modified_ns)


class FilesSource(StoredSource):
    """Single files, each under its own name. Links are followed, because a download may be a link.

    Args:
        files: their paths.
        alpha: how to handle transparent images, see `data.imaging.decode.decode`.
    """

    def __init__(self, files: list[Path], alpha: str = "refuse") -> None:
        super().__init__(alpha)
        self.files = {path.name: path for path in files}

    def fingerprint(self) -> dict[str, Any]:
        """Return the hashes of the files."""
        return {"kind": "files", "files": {name: sha256_file(path) for name, path in self.files.items()}}

    def list_members(self) -> Iterator[ListedMember]:
        """Yield the files."""
        for number, (name, path) in enumerate(self.files.items(), 1):
            yield number / len(self.files), Member(name, name, path.stat().st_size)

    def load(self, locator: str) -> bytes:
        """Return a file's bytes."""
        return _read_file(self.files[locator])


def open_scikit_image_photos(alpha: str = "refuse") -> FilesSource:
    """Return the color photographs of the scikit-image package as a source.

    Raises:
        UserError: the package is not installed.
    """
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise UserError("The scikit-image package is not installed", "Run pip install scikit-image")
    return FilesSource([Path(package.origin).parent / "data" / name for name in PHOTOS], alpha)


def _is_hidden(path: str) -> bool:
    return Path(path).name.startswith(".")


def _classify(path: str, status: os.stat_result | str) -> Member | Rejection:
    """Return a file as a possible image or as a rejection."""
    id = escape_name(path)
    if isinstance(status, str):
        return Rejection(id, "index", RejectionReason.UNREADABLE, f"folder: {status}")
    if stat.S_ISLNK(status.st_mode):
        return Rejection(id, "index", RejectionReason.LINK, "a symbolic link; links are not followed")
    if _is_hidden(path):
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, "hidden: its name begins with a dot")
    if not stat.S_ISREG(status.st_mode):
        return Rejection(id, "index", RejectionReason.LINK, "a device, a pipe or a socket, not a file")
    if not id.lower().endswith(SUFFIXES):
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, f"none of {', '.join(SUFFIXES)}")
    locator = path if id == path else _HEX + os.fsencode(path).hex()
    return Member(id, locator, status.st_size, status.st_mtime_ns)


def _read_file(path: Path, flags: int = 0) -> bytes:
    """Read a regular file; never block on a pipe or a device."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags), "rb") as file:
            return file.read()
    except FileNotFoundError:
        message = f"There is nothing at {path}, which was indexed"
        hint = "Put the file back, or run again to index the changed source anew"
        raise UserError(message, hint) from None
    except OSError as error:
        raise ImageFault(RejectionReason.UNREADABLE, str(error)) from None
