"""Read .zip archives in place: the central directory once, then members by the offset of their bytes.

Python's zipfile refuses a whole archive because of one name that is not UTF-8, and finds members by name, so that one
of two members with the same name is lost.
"""

import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import ImageFault
from data.records import Rejection, RejectionReason
from data.sources.base import LARGEST_BYTES, ListedMember, Member
from data.sources.member_names import UniqueIds, member_or_rejection
from data.sources.split_zip import JoinedFile, find_parts
from data.sources.zip_directory import LOCAL, ZipDirectory, ZipEntry, ZipFault

_STORED, _DEFLATED = 0, 8


class ZipArchive:
    """One .zip, an `Archive`. Several threads may read at once.

    Args:
        path: the archive file; of a split zip its .zip.001, or the .zip beside its .z01.

    Raises:
        ZipFault: a part of a split zip is missing.
    """

    def __init__(self, path: Path) -> None:
        self._parts = find_parts(path)
        self._file = JoinedFile(self._parts)
        self._bytes = self._file.bytes

    def _read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self._bytes:
            raise ZipFault(f"cut off, or damaged: {size} bytes at byte {offset} of {self._bytes}")
        content = self._file.read(offset, size)
        if len(content) < size:
            raise ZipFault(f"cut off: {len(content)} of {size} bytes at byte {offset}")
        return content

    def list_members(self, id_prefix: str, path_prefix: str, locator_prefix: str) -> Iterator[ListedMember]:
        """List the members as `Archive` says, in the order of their offsets.

        Raises:
            ZipFault: the directory is damaged.
        """
        disks = self._file.starts if self._parts[-1].suffix.lower() == ".zip" else (0,)
        directory = ZipDirectory(self._read_at, self._bytes, disks)
        try:
            entries = sorted(directory.entries(), key=lambda entry: entry.offset)
        except ZipFault as fault:
            if self._parts[0].suffix != ".001":
                raise
            last = self._parts[-1].name
            raise ZipFault(f"{fault}. Its last part here is {last}: there may be more") from None
        ids, previous_end = UniqueIds(id_prefix), -1
        for number, entry in enumerate(entries, 1):
            is_folder = not entry.size and (entry.name.endswith("/") or stat.S_ISDIR(entry.mode))
            if is_folder or not entry.name.startswith(path_prefix):
                continue
            yield (
                number / len(entries),
                _classify(ids.assign(entry.name), entry, previous_end, locator_prefix),
            )
            previous_end = entry.offset + entry.compressed

    def load(self, locator: str) -> bytes:
        """Return a member's bytes, as `Archive` says, checked against the directory's size and CRC."""
        offset, compressed, size, method, crc = map(int, locator.split(":"))
        if compressed > LARGEST_BYTES:
            raise ImageFault(RejectionReason.TOO_LARGE, f"{compressed} bytes stored")
        try:
            magic, name_bytes, extra_bytes = LOCAL.unpack(self._read_at(offset, LOCAL.size))
            if magic != b"PK\3\4":
                raise ZipFault(f"no member at byte {offset}")
            content = self._read_at(offset + LOCAL.size + name_bytes + extra_bytes, compressed)
            if method == _DEFLATED:
                engine = zlib.decompressobj(wbits=-15)
                content = engine.decompress(content, size + 1)
        except (ZipFault, zlib.error) as error:
            raise_if_exhausted(error)
            raise ImageFault(RejectionReason.UNREADABLE, f"archive: {error}") from None
        if len(content) != size:
            detail = f"archive: not the {size} bytes that the directory says"
            raise ImageFault(RejectionReason.UNREADABLE, detail)
        if zlib.crc32(content) != crc:
            raise ImageFault(RejectionReason.UNREADABLE, "archive: the CRC is wrong")
        return content


def _classify(id: str, entry: ZipEntry, previous_end: int, locator_prefix: str) -> Member | Rejection:
    """Return an entry as a possible image or as a rejection.

    Args:
        id: id of the member.
        entry: its entry in the directory.
        previous_end: where the bytes of the previous member end: members must not overlap.
        locator_prefix: prepended to the locator.
    """
    if stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return Rejection(id, "index", RejectionReason.LINK, "a link or a device, not a file")
    locator = f"{locator_prefix}{entry.offset}:{entry.compressed}:{entry.size}:{entry.method}:{entry.crc}"
    member = member_or_rejection(id, entry.name, locator, entry.size)
    if isinstance(member, Rejection):
        return member
    if entry.encrypted:
        return Rejection(id, "index", RejectionReason.UNSUPPORTED, "encrypted")
    if entry.method not in (_STORED, _DEFLATED):
        detail = f"compression method {entry.method}; only stored and deflated are read"
        return Rejection(id, "index", RejectionReason.UNSUPPORTED, detail)
    if entry.offset < previous_end:
        detail = "archive: its bytes belong to another member too"
        return Rejection(id, "index", RejectionReason.UNREADABLE, detail)
    return member
