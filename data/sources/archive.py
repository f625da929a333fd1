"""Zip and tar archives as a source. They are read in place: nothing is unpacked, and no member name becomes a path."""

import collections
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.catalog.spec import ARCHIVE_KINDS, archive_suffix, name_of_split_zip
from data.errors import UserError
from data.exhaustion import explain_exhaustion, hint_of
from data.file_identity import size_and_second
from data.foreign_kinds import GZIP, TAR, ZEROS, ZIP, advise, read_kind
from data.hashing import canonical_json, sha256_bytes
from data.sources.base import Archive, ListedMember, StoredSource
from data.sources.gzip_reader import GzipFault
from data.sources.member_names import UniqueIds, normalize_path
from data.sources.split_zip import find_parts
from data.sources.tar import TarArchive
from data.sources.tar_format import TarFault
from data.sources.zip import ZipArchive
from data.sources.zip_directory import ZipFault


class ArchiveSource(StoredSource):
    """The images of one or more archives, in stored order.

    Args:
        archives: .zip, .tar and .tar.gz files. The members of tars inside a tar are read too. Of a split zip all parts
            may be named, or only its .zip.001, or the .zip beside its .z01.
        members: only members whose path starts with this are used.
        alpha: how to handle transparent images, see `data.imaging.decode.decode`.
        is_downloaded: whether these are the downloads of the store, which a run makes anew if they are gone.
    """

    def __init__(
        self, archives: list[Path], members: str = "", alpha: str = "refuse", *, is_downloaded: bool = False
    ) -> None:
        super().__init__(alpha)
        self._is_downloaded = is_downloaded
        self.archives = [path for path in archives if not name_of_split_zip(path.name)]
        self.path_prefix = normalize_path(members)
        _refuse_lone_parts(archives)
        self._id_prefixes = _id_prefixes(self.archives)
        self._opened: dict[int, Archive] = {}
        self._lock = threading.Lock()

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the archives' names, sizes and modification times."""
        listing = []
        for path in self.archives:
            for part in self._parts_of(path):
                listing.append([part.name, *size_and_second(part.stat())])
        digest = sha256_bytes(canonical_json(listing))
        return {"kind": "archives", "listing": digest, "members": self.path_prefix}

    def _parts_of(self, path: Path) -> list[Path]:
        try:
            return find_parts(path)
        except ZipFault as fault:
            raise self._damaged(fault, path) from None

    def list_members(self) -> Iterator[ListedMember]:
        """Yield the members of the first archive in stored order, then those of the next."""
        found_any = not self.path_prefix
        for number, path in enumerate(self.archives):
            id_prefix = self._id_prefixes[number]
            try:
                members = self._open_archive(number).list_members(id_prefix, self.path_prefix, f"{number}:")
                for share, member in members:
                    found_any = True
                    yield (number + share) / len(self.archives), member
            except (ZipFault, TarFault, GzipFault) as fault:
                raise self._damaged(fault, path) from None
            except MemoryError as error:
                raise explain_exhaustion(error, f"reading {path}") from error
            except OSError as error:
                raise _cannot_read(error, path) from None
        if not found_any:
            names = ", ".join(map(str, self.archives))
            message = f"No file in {names} has a path that starts with {self.path_prefix!r}"
            raise UserError(message, "Correct `members` in the dataset's catalog file")

    def load(self, locator: str) -> bytes:
        """Return a member's bytes.

        Raises:
            UserError: the disk or the mount fails. That says nothing about the image, so it is no rejection.
        """
        number, _, inner_locator = locator.partition(":")
        try:
            return self._open_archive(int(number)).load(inner_locator)
        except OSError as error:
            raise _cannot_read(error, self.archives[int(number)]) from None

    def _open_archive(self, number: int) -> Archive:
        path = self.archives[number]
        with self._lock:
            if number not in self._opened:
                try:
                    self._opened[number] = ZipArchive(path) if self._is_zip(path) else TarArchive(path)
                except OSError as error:
                    message = f"The archive {path} can't be opened: {error.strerror or error}"
                    raise UserError(
                        message, hint_of(error) or "Put it back, or correct its permissions"
                    ) from None
            return self._opened[number]

    def _is_zip(self, path: Path) -> bool:
        """Return whether an archive is a zip rather than a tar: by its first bytes, or else by its name.

        Raises:
            UserError: it is something else.
        """
        kind, is_named_zip = (
            read_kind(self._parts_of(path)[0]),
            ARCHIVE_KINDS[archive_suffix(path.name)] == "zip",
        )
        if kind in (TAR, ZIP, GZIP):
            return kind == ZIP
        if kind is None or (kind == ZEROS and not is_named_zip):  # a tar without members is nothing but zeros
            return is_named_zip
        raise self._damaged(f"it is {kind}", path, advise(kind, path.name))

    def _damaged(self, fault: Exception | str, path: Path, hint: str = "") -> UserError:
        message = f"{path} is not an intact .zip, .tar or .tar.gz: {fault}"
        if not self._is_downloaded:
            return UserError(
                message, hint or "Fetch it again, or pack its files anew as a plain .tar or .zip"
            )
        if path.is_symlink():  # adopted from a folder of archives
            return UserError(message, f"Replace {path.resolve()} by an intact file, and run again")
        return UserError(message, "Delete it and run again to download it anew")


def _refuse_lone_parts(archives: list[Path]) -> None:
    names = {path.name for path in archives}
    for name in sorted(names):
        whole = name_of_split_zip(name)
        if whole and whole not in names:
            message = f"{name} is one part of a split zip, and {whole} is not among the files"
            raise UserError(message, "Name all parts in the dataset's catalog file")


def _cannot_read(error: OSError, path: Path) -> UserError:
    message = f"The archive {path} can't be read: {error.strerror or error}"
    return UserError(
        message, hint_of(error) or "Check its disk or mount, then run again: what is done is kept"
    )


def _id_prefixes(archives: list[Path]) -> list[str]:
    """Return what the ids of each archive's members begin with: nothing for one archive, else different names."""
    if len(archives) == 1:
        return [""]
    stems = collections.Counter(path.stem for path in archives)
    ids = UniqueIds("")
    return [f"{ids.assign(path.stem if stems[path.stem] == 1 else path.name)}/" for path in archives]
