"""Read .tar and .tar.gz archives in place: list their members, also those of inner tars, and load them by offset."""

import os
from collections.abc import Iterator
from pathlib import Path

from data.foreign_kinds import FIRST_BYTES, TAR, ZEROS, foreign_kind
from data.imaging.decode import ImageFault
from data.records import Rejection, RejectionReason
from data.sources.base import LARGEST_BYTES, ListedMember, Member
from data.sources.gzip_reader import GzipBytes, GzipFault
from data.sources.member_names import (
    UniqueIds,
    is_image_name,
    leads_outside,
    member_or_rejection,
    unread_archive,
)
from data.sources.tar_format import FOREIGN_BYTES, HOLE, LINKS, ODD_PADDING, TarFault, TarMember, walk


class TarArchive:
    """One .tar or .tar.gz, an `Archive`. Members are located by offset and size; several threads may read at once.

    Args:
        path: the archive file.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115  (open for as long as the source lives)
        self.bytes = os.fstat(self._file.fileno()).st_size
        first = os.pread(self._file.fileno(), FIRST_BYTES, 0)
        is_gzip = first.startswith(b"\x1f\x8b")
        self._gzip = GzipBytes(self._file.fileno()) if is_gzip else None
        self._read_at = self._gzip.read_at if self._gzip else self._pread

    def _pread(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset) if offset < self.bytes else b""

    def list_members(self, id_prefix: str, path_prefix: str, locator_prefix: str) -> Iterator[ListedMember]:
        """List the members as `Archive` says, including those of inner tars.

        Raises:
            TarFault: this archive is damaged. A damaged inner tar is a Rejection after its intact members.
        """
        end = None if self._gzip else self.bytes
        if kind := self._kind_at(0) if self._gzip else "":
            raise TarFault(f"decompressed by gzip, it is {kind}")
        ids = _OuterIds(id_prefix)
        for member in walk(self._read_at, 0, end):
            share = self._share(member.offset + member.size)
            is_tar = member.kind == "file" and member.name.lower().endswith(".tar")
            if is_tar and (member.name.startswith(path_prefix) or path_prefix.startswith(f"{member.name}/")):
                inner_prefix = path_prefix[len(member.name) + 1 :]
                yield from self._list_inner(ids.assign(member.name), member, inner_prefix, locator_prefix)
            elif member.is_listed(path_prefix):
                yield share, _classify(ids.assign(member.name), member, locator_prefix)
        if self._gzip and self._gzip.foreign_bytes:
            detail = f"{self._gzip.foreign_bytes} bytes that are not part of the gzip file"
            yield 1.0, Rejection(ids.assign("(the end)"), "index", RejectionReason.NOT_AN_IMAGE, detail)

    def _list_inner(
        self, id: str, outer: TarMember, path_prefix: str, locator_prefix: str
    ) -> Iterator[ListedMember]:
        """List the members of the tar `outer`, which is a member of this archive."""
        ids, end = UniqueIds(f"{id}/"), outer.offset + outer.size
        if leads_outside(outer.name):
            detail = "a tar inside, whose name leads out of the archive"
            yield self._share(end), Rejection(id, "index", RejectionReason.UNSAFE_NAME, detail)
            return
        if kind := self._kind_at(outer.offset, outer.size):
            detail = f"a tar inside, by its name; but it is {kind}, which is not read there: unpack it"
            yield self._share(end), Rejection(id, "index", RejectionReason.UNSUPPORTED, detail)
            return
        try:
            for member in walk(self._read_at, outer.offset, end):
                if member.is_listed(path_prefix):
                    share = self._share(member.offset + member.size)
                    yield share, _classify(ids.assign(member.name), member, locator_prefix)
        except TarFault as fault:
            yield (
                self._share(end),
                Rejection(id, "index", RejectionReason.UNREADABLE, f"a tar inside, {fault}"),
            )

    def _kind_at(self, offset: int, size: int = FIRST_BYTES) -> str:
        """Return what is there instead of a tar; empty if it is a tar, or may be a damaged one."""
        kind = foreign_kind(self._read_at(offset, min(size, FIRST_BYTES)))
        return "" if kind in (None, TAR, ZEROS) else str(kind)

    def _share(self, offset: int) -> float:
        """Return how much of the archive lies before `offset`, 0 to 1."""
        return self._gzip.share if self._gzip else offset / self.bytes

    def load(self, locator: str) -> bytes:
        """Return a member's bytes, as `Archive` says."""
        offset, size = map(int, locator.split(":"))
        if size > LARGEST_BYTES:
            raise ImageFault(RejectionReason.TOO_LARGE, f"{size} bytes stored")
        try:
            content = self._read_at(offset, size)
        except GzipFault as error:
            raise ImageFault(RejectionReason.UNREADABLE, f"archive: {error}") from None
        if len(content) < size:
            raise ImageFault(RejectionReason.UNREADABLE, f"archive: {len(content)} of {size} bytes")
        return content


class _OuterIds(UniqueIds):
    """Ids in a tar with tars inside: those below a folder `a.tar/` differ from those in a tar of the same name."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self._folders: dict[str, str] = {}

    def assign(self, name: str) -> str:
        """Return the id of the next member with this name."""
        end = name.lower().find(".tar/") + len(".tar")
        if end < len(".tar"):
            return super().assign(name)
        folder = name[:end]
        if folder not in self._folders:
            self._folders[folder] = super().assign(folder).removeprefix(self.prefix)
        return super().assign(self._folders[folder] + name[end:])


def _classify(id: str, member: TarMember, locator_prefix: str) -> Member | Rejection:
    """Return a tar member as a possible image or as a rejection."""
    if member.kind == "file":
        locator = f"{locator_prefix}{member.offset}:{member.size}"
        return member_or_rejection(id, member.name, locator, member.size)
    if member.kind == FOREIGN_BYTES:
        detail = f"{member.size} bytes that are not part of a tar"
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, detail)
    if member.kind == HOLE:
        detail = f"{member.size} bytes of zeros: a hole in the archive"
        return Rejection(id, "index", RejectionReason.UNREADABLE, detail)
    if member.kind == ODD_PADDING:
        detail = f"{member.size} bytes of zeros: padding to a record of unusual size, or a small hole"
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, detail)
    if member.kind in LINKS.values():
        return Rejection(id, "index", RejectionReason.LINK, f"{member.kind}, not a file")
    is_wanted = is_image_name(member.name) or unread_archive(member.name)
    reason = RejectionReason.UNSUPPORTED if is_wanted else RejectionReason.NOT_AN_IMAGE
    return Rejection(id, "index", reason, member.kind)
