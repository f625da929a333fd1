"""Image files on disk as a source: a folder, single downloaded files, or the photographs of scikit-image."""

import dataclasses
import errno
import importlib.util
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.catalog.folder_contents import is_closed
from data.catalog.spec import VIDEO_SUFFIXES
from data.errors import UserError
from data.exhaustion import hint_of
from data.file_identity import size_and_second
from data.file_names import escape_name
from data.hashing import canonical_json, sha256_bytes, sha256_file
from data.imaging.decode import SUFFIXES, ImageFault
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources.base import ListedMember, Member, StoredSource
from data.sources.member_names import ARCHIVE_IN_FOLDER, unread_archive

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
_GONE = (errno.ENOENT, errno.ENOTDIR)
_OF_ONE_FILE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENAMETOOLONG)
"""Errors of one file or folder. All others, such as EIO or a stale mount, are no property of an image."""


@dataclasses.dataclass(slots=True)
class _Found:
    """A file in a folder, or a linked, hidden or unreadable folder: its own files are not listed."""

    path: str
    """Below the root."""
    status: os.stat_result | None
    """Of the file, or of the file that it links to; None if there is a problem instead."""
    is_link: bool = False
    reason: RejectionReason = RejectionReason.UNREADABLE
    problem: str = ""


class FolderSource(StoredSource):
    """All files below a folder, sorted by path. Links to files are followed, links to folders are not."""

    def __init__(self, root: Path, alpha: str = "refuse") -> None:
        super().__init__(alpha)
        if not os.path.isdir(root):  # noqa: PTH112  # unlike Path.is_dir, it does not raise for a closed parent
            raise UserError(f"There is no folder at {root}", "Check the path and its permissions")
        self.root = root

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the paths, sizes and modification times of all files."""
        listing = []
        for one in self._list_files():
            status = size_and_second(one.status) if one.status else [one.problem]
            listing.append([escape_name(one.path), *([] if _is_hidden(one.path) else status)])
        return {"kind": "folder", "files": len(listing), "listing": sha256_bytes(canonical_json(listing))}

    def _list_files(self) -> list[_Found]:
        """List all files, sorted."""
        found: list[_Found] = []

        def add_unreadable(error: OSError) -> None:
            path = os.path.relpath(error.filename, self.root)
            if error.errno not in _GONE:
                _raise_if_systemic(error)
                found.append(_Found(path, None, problem=f"folder: {error.strerror}"))

        for directory, folders, files in os.walk(self.root, onerror=add_unreadable):
            closed = [name for name in folders if is_closed(directory, name)]
            folders[:] = [name for name in folders if name not in closed]
            for name in files + closed:
                path = os.path.join(directory, name)
                one = _examine(path, os.path.relpath(path, self.root))
                if one:
                    found.append(one)
        return _reject_second_links(sorted(found, key=lambda one: os.fsencode(one.path)))

    def list_members(self) -> Iterator[ListedMember]:
        """Yield regular files with an image's suffix as members, and everything else as rejections."""
        found = self._list_files()
        for number, one in enumerate(found, 1):
            yield number / len(found), _classify(one)

    def load(self, locator: str) -> bytes:
        """Return a file's bytes."""
        return _read_file(self._path(locator))

    def _path(self, locator: str) -> Path:
        digits = locator.removeprefix(_HEX)
        return self.root / (os.fsdecode(bytes.fromhex(digits)) if digits != locator else locator)

    def is_unmodified(self, entry: SourceEntry) -> bool:
        """Return whether the file has the indexed size and modification time, as make and git compare files."""
        try:
            status = self._path(entry.locator).stat()
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


def _examine(path: str, below_root: str) -> _Found | None:
    """Return what a listed file is; None if it has gone since it was listed.

    Raises:
        UserError: the file system fails, rather than this file.
    """
    try:
        status, is_link = os.lstat(path), False
        if stat.S_ISLNK(status.st_mode):
            is_link, status = True, Path(path).stat()
    except OSError as error:
        return _explain_unexamined(error, path, below_root)
    if is_link and stat.S_ISDIR(status.st_mode):
        problem = "a link to a folder; only links to files are followed"
        return _Found(below_root, None, is_link, RejectionReason.LINK, problem)
    return _Found(below_root, status, is_link)


def _explain_unexamined(error: OSError, path: str, below_root: str) -> _Found | None:
    """Return why a listed file can't be examined; None if it has gone."""
    _raise_if_systemic(error)
    if error.errno == errno.ELOOP:
        return _Found(below_root, None, True, RejectionReason.LINK, "a link that leads back to itself")
    if error.errno not in _GONE:
        return _Found(below_root, None, problem=str(error.strerror))
    try:
        target = escape_name(os.readlink(path))  # noqa: PTH115  # Path would normalize it
    except OSError:
        return None
    # An image that should be here counts as damaged: a folder with most of its content not fetched is not complete.
    reason = RejectionReason.UNREADABLE if _is_image(below_root) else RejectionReason.LINK
    problem = f"a link to {target}, which does not exist; fetch it, say with git annex get or dvc pull"
    return _Found(below_root, None, True, reason, problem)


def _reject_second_links(found: list[_Found]) -> list[_Found]:
    """Reject each link to an image that is also listed under its own name or under an earlier link."""
    links = [one for one in found if one.is_link and one.status and _is_image(one.path)]
    if not links:
        return found
    files = [one for one in found if not one.is_link and _is_image(one.path)]
    first: dict[tuple[int, int], str] = {}
    for one in files + links:
        if one.status and one.status.st_ino:
            same = first.setdefault((one.status.st_dev, one.status.st_ino), one.path)
            if one.is_link and same != one.path:
                one.reason, one.status = RejectionReason.DUPLICATE, None
                one.problem = f"a link to the same file as {escape_name(same)}"
    return found


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES) and not _is_hidden(path)


def _raise_if_systemic(error: OSError) -> None:
    """Raise UserError if an error is about the machine or the file system, not about one file."""
    if error.errno not in (*_GONE, *_OF_ONE_FILE):
        message = f"{error.filename} can't be read: {error.strerror}"
        raise UserError(message, hint_of(error) or "Check the disk or the mount, then run again") from None


def _classify(found: _Found) -> Member | Rejection:
    """Return a file as a possible image or as a rejection."""
    path, status = found.path, found.status
    id = escape_name(path)
    if _is_hidden(path):
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, "hidden: its name begins with a dot")
    if status is None:
        return Rejection(id, "index", found.reason, found.problem)
    if not stat.S_ISREG(status.st_mode):
        return Rejection(id, "index", RejectionReason.LINK, "a device, a pipe or a socket, not a file")
    if id.lower().endswith(VIDEO_SUFFIXES):
        detail = "a video; the images of this folder are read, videos:FOLDER as the dataset reads its videos"
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, detail)
    if unread_archive(id):
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, ARCHIVE_IN_FOLDER)
    if not _is_image(path):
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, f"none of {', '.join(SUFFIXES)}")
    locator = path if id == path else _HEX + os.fsencode(path).hex()
    return Member(id, locator, status.st_size, status.st_mtime_ns)


def _read_file(path: Path) -> bytes:
    """Read a regular file; never block on a pipe or a device.

    Raises:
        ImageFault: this file can't be read.
        UserError: it has gone, or the file system fails.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ImageFault(RejectionReason.LINK, "a device, a pipe or a socket, not a file")
            return file.read()
    except FileNotFoundError:
        message = f"There is nothing at {path}, which was indexed"
        hint = "Put the file back, or run again to index the changed source anew"
        raise UserError(message, hint) from None
    except OSError as error:
        error.filename = error.filename or path
        _raise_if_systemic(error)
        raise ImageFault(RejectionReason.UNREADABLE, str(error)) from None
