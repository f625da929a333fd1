"""Zip and tar archives, read in place: nothing is ever unpacked to disk, and no member name becomes a path."""

import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.digests import canonical_json, sha256_bytes
from data.errors import UserError
from data.images import SUFFIXES, ImageFault
from data.records import Reason, Rejection
from data.sources.base import LARGEST_BYTES, Member, StoredSource

_ENCRYPTED = 0x1


class ArchiveSource(StoredSource):
    """The pictures of one or more archives, in the order in which they are stored.

    Args:
        archives: .zip files and uncompressed .tar files.
        members: only members whose path starts with this are looked at.
    """

    def __init__(self, archives: list[Path], members: str = "") -> None:
        self.archives, self.prefix = archives, members
        self._local = threading.local()

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the archives' names, sizes and modification times."""
        listing = []
        for path in self.archives:
            status = path.stat()
            listing.append([path.name, status.st_size, status.st_mtime_ns])
        return {"kind": "archives", "listing": sha256_bytes(canonical_json(listing)), "members": self.prefix}

    def members(self) -> Iterator[Member | Rejection]:
        """Yield the archives' members, ordered by archive and place."""
        for number, path in enumerate(self.archives):
            prefix = f"{path.stem}/" if len(self.archives) > 1 else ""
            try:
                yield from (self._zip if path.suffix.lower() == ".zip" else self._tar)(path, number, prefix)
            except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
                remedy = "download it again; a compressed tar has to be unpacked to a plain .tar first"
                raise UserError("a whole zip or uncompressed tar", str(error), str(path), remedy) from None

    def _zip(self, path: Path, number: int, prefix: str) -> Iterator[Member | Rejection]:
        with zipfile.ZipFile(path) as archive:
            for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
                if info.is_dir() or not info.filename.startswith(self.prefix):
                    continue
                if info.flag_bits & _ENCRYPTED:
                    yield Rejection(prefix + info.filename, "index", Reason.UNSUPPORTED, "encrypted")
                    continue
                yield self._member(prefix + info.filename, f"{number}:{info.filename}", info.file_size)

    def _tar(self, path: Path, number: int, prefix: str) -> Iterator[Member | Rejection]:
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                if info.isdir() or not info.name.startswith(self.prefix):
                    continue
                if not info.isreg():
                    yield Rejection(
                        prefix + info.name, "index", Reason.LINK, "a link or a device, not a file"
                    )
                    continue
                yield self._member(prefix + info.name, f"{number}:{info.offset_data}:{info.size}", info.size)

    @staticmethod
    def _member(id: str, locator: str, size: int) -> Member | Rejection:
        if not id.lower().endswith(SUFFIXES):
            return Rejection(id, "index", Reason.NOT_AN_IMAGE, f"none of {', '.join(SUFFIXES)}")
        return Member(id, locator, size)

    def load(self, locator: str) -> bytes:
        """Return a member's bytes; each thread holds its own open archives."""
        number, _, place = locator.partition(":")
        path = self.archives[int(number)]
        if path.suffix.lower() == ".zip":
            return self._load_zip(path, place)
        offset, size = (int(part) for part in place.split(":"))
        if size > LARGEST_BYTES:
            raise ImageFault(Reason.TOO_LARGE, f"{size} bytes stored")
        file = self._opened(path)
        file.seek(offset)
        return file.read(size)

    def _load_zip(self, path: Path, name: str) -> bytes:
        try:
            with self._opened(path).open(name) as member:
                content = member.read(LARGEST_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError) as error:
            raise ImageFault(Reason.UNREADABLE, f"archive: {error}") from None
        if len(content) > LARGEST_BYTES:
            raise ImageFault(Reason.TOO_LARGE, f"more than {LARGEST_BYTES} bytes")
        return content

    def _opened(self, path: Path) -> Any:
        """Return this thread's handle of an archive."""
        handles = self._local.__dict__.setdefault("handles", {})
        if path not in handles:
            is_zip = path.suffix.lower() == ".zip"
            handles[path] = zipfile.ZipFile(path) if is_zip else path.open("rb")
        return handles[path]
