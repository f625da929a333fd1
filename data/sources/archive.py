"""Zip and tar archives, read in place: nothing is ever unpacked to disk, and no member name becomes a path."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.catalog.catalog import ARCHIVE_KINDS, archive_suffix
from data.errors import UserError
from data.hashing import canonical_json, sha256_bytes
from data.sources.base import Archive, Listed, StoredSource
from data.sources.gzip_reader import GzipFault
from data.sources.tar import TarArchive, TarFault
from data.sources.zip import ZipArchive, ZipFault


class ArchiveSource(StoredSource):
    """The images of one or more archives, in the order in which they are stored.

    Args:
        archives: .zip, .tar and .tar.gz files; of tars inside a tar the members are read too.
        members: only members whose path starts with this are looked at.
        alpha: what becomes of transparent images, see `data.imaging.decode.decode`.
    """

    def __init__(self, archives: list[Path], members: str = "", alpha: str = "refuse") -> None:
        super().__init__(alpha)
        self.archives, self.prefix = archives, members
        self._opened: dict[int, Archive] = {}
        self._lock = threading.Lock()

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the archives' names, sizes and modification times."""
        listing = []
        for path in self.archives:
            status = path.stat()
            listing.append([path.name, status.st_size, status.st_mtime_ns])
        return {"kind": "archives", "listing": sha256_bytes(canonical_json(listing)), "members": self.prefix}

    def members(self) -> Iterator[Listed]:
        """Yield the archives' members, ordered by archive and place."""
        found_any = not self.prefix
        for number, path in enumerate(self.archives):
            prefix = f"{path.stem}/" if len(self.archives) > 1 else ""
            try:
                for share, found in self._archive(number).listing(prefix, self.prefix, f"{number}:"):
                    found_any = True
                    yield (number + share) / len(self.archives), found
            except (ZipFault, TarFault, GzipFault) as fault:
                raise _damaged(fault, path) from None
        if not found_any:
            where = ", ".join(map(str, self.archives))
            remedy = "mend `members` in the dataset's catalog file"
            raise UserError(f"files whose path begins with {self.prefix!r}", "none", where, remedy)

    def load(self, locator: str) -> bytes:
        """Return a member's bytes."""
        number, _, place = locator.partition(":")
        return self._archive(int(number)).load(place)

    def _archive(self, number: int) -> Archive:
        path = self.archives[number]
        with self._lock:
            if number not in self._opened:
                kind = ZipArchive if ARCHIVE_KINDS[archive_suffix(path.name)] == "zip" else TarArchive
                try:
                    self._opened[number] = kind(path)
                except TarFault as fault:
                    raise _damaged(fault, path) from None
                except OSError as error:
                    remedy = "put it back, or mend its permissions"
                    raise UserError("an archive that can be read", str(error), str(path), remedy) from None
            return self._opened[number]


def _damaged(fault: Exception, path: Path) -> UserError:
    remedy = "fetch it again, or pack its files anew as a plain .tar or .zip"
    return UserError("a whole .zip, .tar or .tar.gz", str(fault), str(path), remedy)
