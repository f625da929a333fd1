"""Files on disk: folders of images, single files that were downloaded, and those that scikit-image carries."""

import importlib.util
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.hashing import canonical_json, sha256_bytes, sha256_file
from data.imaging.decode import SUFFIXES, ImageFault
from data.records import Reason, Rejection, SourceEntry
from data.sources.base import Listed, Member, StoredSource
from data.sources.member_names import readable

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
"""The color photographs of scikit-image; its other images are gray textures, scans and drawings."""
_HEX = "//"
"""Begins the locator of a path that is not UTF-8, in hex digits: no path below a folder begins so."""


class FolderSource(StoredSource):
    """All the files below a folder, in the order of their paths. Links are not followed."""

    def __init__(self, root: Path, alpha: str = "refuse") -> None:
        super().__init__(alpha)
        if not root.is_dir():
            raise UserError("a folder", "none", str(root), "check the path")
        self.root = root

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the paths, sizes and modification times of all files."""
        digest = []
        for path, found in self._found():
            status = [found.st_size, found.st_mtime_ns] if isinstance(found, os.stat_result) else [found]
            digest.append([readable(path), *([] if _is_hidden(path) else status)])
        return {"kind": "folder", "files": len(digest), "listing": sha256_bytes(canonical_json(digest))}

    def _found(self) -> list[tuple[str, os.stat_result | str]]:
        """Return everything that is no folder, sorted by path below the root: its status, or why it has none.

        A linked or hidden folder, and one that can't be read, stands for all that is in it.
        """
        found: list[tuple[str, os.stat_result | str]] = []

        def unreadable(error: OSError) -> None:
            found.append((os.path.relpath(error.filename, self.root), error.strerror))

        for directory, folders, files in os.walk(self.root, onerror=unreadable):
            closed = [name for name in folders if name.startswith(".") or Path(directory, name).is_symlink()]
            folders[:] = [name for name in folders if name not in closed]
            for name in files + closed:
                path = os.path.join(directory, name)
                found.append((os.path.relpath(path, self.root), os.lstat(path)))
        return sorted(found, key=lambda one: os.fsencode(one[0]))

    def members(self) -> Iterator[Listed]:
        """Yield what is in the folder: regular files with an image's suffix as members."""
        found = self._found()
        for number, (path, status) in enumerate(found, 1):
            yield number / len(found), _listed(path, status)

    def load(self, locator: str) -> bytes:
        """Return a file's bytes."""
        return _content(self._path(locator), os.O_NOFOLLOW)

    def _path(self, locator: str) -> Path:
        inside = locator.removeprefix(_HEX)
        return self.root / (os.fsdecode(bytes.fromhex(inside)) if inside != locator else locator)

    def is_untouched(self, entry: SourceEntry) -> bool:
        """Return whether the file has the size and the time that were indexed, as make and git look at files."""
        try:
            status = os.lstat(self._path(entry.locator))
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (entry.bytes, entry.modified_ns)


class FilesSource(StoredSource):
    """Single files, each under its own name; here links are followed, as a download may be one.

    Args:
        files: their paths.
        alpha: what becomes of transparent images, see `data.imaging.decode.decode`.
    """

    def __init__(self, files: list[Path], alpha: str = "refuse") -> None:
        super().__init__(alpha)
        self.files = {path.name: path for path in files}

    def fingerprint(self) -> dict[str, Any]:
        """Return the hashes of the files."""
        return {"kind": "files", "files": {name: sha256_file(path) for name, path in self.files.items()}}

    def members(self) -> Iterator[Listed]:
        """Yield the files."""
        for number, (name, path) in enumerate(self.files.items(), 1):
            yield number / len(self.files), Member(name, name, path.stat().st_size)

    def load(self, locator: str) -> bytes:
        """Return a file's bytes."""
        return _content(self.files[locator])


def photos(alpha: str = "refuse") -> FilesSource:
    """Return the photographs of the scikit-image package as a source.

    Raises:
        UserError: the package is not there.
    """
    package = importlib.util.find_spec("skimage")
    if package is None:
        raise UserError("the scikit-image package", "none", "this environment", "pip install scikit-image")
    return FilesSource([Path(package.origin).parent / "data" / name for name in PHOTOS], alpha)


def _is_hidden(path: str) -> bool:
    return Path(path).name.startswith(".")


def _listed(path: str, status: os.stat_result | str) -> Member | Rejection:
    """Return a file as a member, or why it is none."""
    id = readable(path)
    if isinstance(status, str):
        return Rejection(id, "index", Reason.UNREADABLE, f"folder: {status}")
    if stat.S_ISLNK(status.st_mode):
        return Rejection(id, "index", Reason.LINK, "a symbolic link; links are not followed")
    if _is_hidden(path):
        return Rejection(id, "index", Reason.NOT_AN_IMAGE, "hidden: its name begins with a dot")
    if not stat.S_ISREG(status.st_mode):
        return Rejection(id, "index", Reason.LINK, "a device, a pipe or a socket, not a file")
    if not id.lower().endswith(SUFFIXES):
        return Rejection(id, "index", Reason.NOT_AN_IMAGE, f"none of {', '.join(SUFFIXES)}")
    return Member(
        id, path if id == path else _HEX + os.fsencode(path).hex(), status.st_size, status.st_mtime_ns
    )


def _content(path: Path, flags: int = 0) -> bytes:
    """Read a file; never wait for what is none."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags), "rb") as file:
            return file.read()
    except FileNotFoundError:
        remedy = "put the file back, or run again: a changed source is indexed anew"
        raise UserError("the file that was indexed", "nothing", str(path), remedy) from None
    except OSError as error:
        raise ImageFault(Reason.UNREADABLE, str(error)) from None
