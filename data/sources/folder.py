"""Folders of pictures: any folder, and the one that the scikit-image package carries."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.digests import canonical_json, sha256_bytes, sha256_file
from data.errors import UserError
from data.images import SUFFIXES, ImageFault
from data.records import Reason, Rejection
from data.sources.base import Member, StoredSource

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
"""The colour photographs of scikit-image; its other pictures are grey textures, scans and drawings."""


class FolderSource(StoredSource):
    """All the files below a folder, in the order of their paths. Links are not followed."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UserError("a folder", "none", str(root), "check the path")
        self.root = root

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the paths, sizes and modification times of all files."""
        digest = [[path, status.st_size, status.st_mtime_ns] for path, status in self._files()]
        return {"kind": "folder", "files": len(digest), "listing": sha256_bytes(canonical_json(digest))}

    def _files(self) -> list[tuple[str, os.stat_result]]:
        """Return path below the root and status of every file, sorted by path; hidden ones are left out."""
        found = []
        for directory, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if not name.startswith("."):
                    path = os.path.join(directory, name)
                    found.append((Path(path).relative_to(self.root).as_posix(), os.lstat(path)))
        return sorted(found)

    def members(self) -> Iterator[Member | Rejection]:
        """Yield the folder's files: those with a picture's suffix as members."""
        for path, status in self._files():
            if (self.root / path).is_symlink():
                yield Rejection(path, "index", Reason.LINK, "a symbolic link; links are not followed")
            elif not path.lower().endswith(SUFFIXES):
                yield Rejection(path, "index", Reason.NOT_AN_IMAGE, f"none of {', '.join(SUFFIXES)}")
            else:
                yield Member(path, path, status.st_size)

    def load(self, locator: str) -> bytes:
        """Return a file's bytes."""
        try:
            return (self.root / locator).read_bytes()
        except FileNotFoundError:
            remedy = "put the file back, or run again: a changed source is indexed anew"
            raise UserError(
                "the file that was indexed", "nothing", str(self.root / locator), remedy
            ) from None
        except OSError as error:
            raise ImageFault(Reason.UNREADABLE, str(error)) from None


class PhotosSource(FolderSource):
    """The photographs of the scikit-image package."""

    def __init__(self) -> None:
        package = importlib.util.find_spec("skimage")
        if package is None:
            raise UserError(
                "the scikit-image package", "none", "this environment", "pip install scikit-image"
            )
        super().__init__(Path(package.origin).parent / "data")

    def fingerprint(self) -> dict[str, Any]:
        """Return the hashes of the pictures: the package's files carry no dependable times."""
        return {"kind": "photos", "files": {name: sha256_file(self.root / name) for name in PHOTOS}}

    def _files(self) -> list[tuple[str, os.stat_result]]:
        return [(name, os.lstat(self.root / name)) for name in PHOTOS]
