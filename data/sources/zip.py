"""Read .zip archives in place: the central directory once, then members by the offset of their bytes.

Python's zipfile refuses a whole archive because of one name that is not UTF-8, and finds members by name, so that one
of two members with the same name is lost.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
"""

import dataclasses
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.imaging.decode import ImageFault
from data.records import Rejection, RejectionReason
from data.sources.base import LARGEST_BYTES, ListedMember, Member
from data.sources.member_names import UniqueIds, escape_name, member_or_rejection

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4sBBHHHHHLLLHHHHHLL")
_LOCAL = struct.Struct("<4s22xHH")
_LONGEST_COMMENT = (1 << 16) - 1
_FULL32 = 0xFFFFFFFF
"""A 32-bit field with this value refers to the zip64 extra field."""
_UNIX, _ENCRYPTED, _UTF8 = 3, 0x1, 0x800
_STORED, _DEFLATED = 0, 8
_ZIP64 = 1


class ZipFault(Exception):
    """The archive's directory is damaged or missing."""


@dataclasses.dataclass(frozen=True, slots=True)
class ZipEntry:
    """One entry of the central directory."""

    name: str
    offset: int
    """Position of the member's local header in the file."""
    compressed: int
    """Stored size in bytes."""
    size: int
    """Uncompressed size in bytes."""
    method: int
    """Compression method; 0 is stored, 8 is deflated."""
    crc: int
    encrypted: bool
    mode: int
    """Unix mode; 0 if there is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Directory:
    """The central directory, as the end record describes it."""

    count: int
    """Number of entries, modulo `modulus`."""
    modulus: int
    offset: int
    """Position in the file."""
    size: int
    """In bytes."""
    shift: int
    """To add to every offset in the directory: the bytes in front of the zip."""


class ZipArchive:
    """One .zip, an `Archive`. Several threads may read at once.

    Args:
        path: the archive file.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115  (open for as long as the source lives)
        self._bytes = os.fstat(self._file.fileno()).st_size

    def _read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self._bytes:
            raise ZipFault(f"cut off, or damaged: {size} bytes at byte {offset} of {self._bytes}")
        content = os.pread(self._file.fileno(), size, offset)
        if len(content) < size:
            raise ZipFault(f"cut off: {len(content)} of {size} bytes at byte {offset}")
        return content

    def list_members(self, id_prefix: str, path_prefix: str, locator_prefix: str) -> Iterator[ListedMember]:
        """List the members as `Archive` says, in the order of their offsets.

        Raises:
            ZipFault: the directory is damaged.
        """
        entries = sorted(self.entries(), key=lambda entry: entry.offset)
        ids, previous_end = UniqueIds(id_prefix), -1
        for number, entry in enumerate(entries, 1):
            if entry.name.endswith("/") or stat.S_ISDIR(entry.mode) or not entry.name.startswith(path_prefix):
                continue
            yield (
                number / len(entries),
                _classify(ids.assign(entry.name), entry, previous_end, locator_prefix),
            )
            previous_end = entry.offset + entry.compressed

    def entries(self) -> Iterator[ZipEntry]:
        """Yield the entries of the central directory.

        Raises:
            ZipFault: the directory is damaged, or the zip is spread over several files.
        """
        directory = self._find_directory()
        content, position, count = self._read_at(directory.offset, directory.size), 0, 0
        # The number of entries follows from the size: the count has 16 bits, and some archivers let it wrap.
        while position < directory.size and content[position : position + 4] != b"PK\5\5":
            at = directory.offset + position
            try:
                fields = _ENTRY.unpack_from(content, position)
            except struct.error:
                raise ZipFault(f"the directory is cut off, or damaged, at byte {at}") from None
            if fields[0] != b"PK\1\2":
                raise ZipFault(f"the directory is damaged: no entry at byte {at}")
            name_end = position + _ENTRY.size + fields[11]
            extra_end = name_end + fields[12]
            name = content[position + _ENTRY.size : name_end]
            yield _parse_entry(fields, name, content[name_end:extra_end], directory.shift)
            position, count = extra_end + fields[13], count + 1
        if position < directory.size:  # a digital signature, which is the last thing in the directory
            position += 6 + int.from_bytes(content[position + 4 : position + 6], "little")
        if position != directory.size:
            end = directory.offset + directory.size
            raise ZipFault(
                f"the directory is damaged: its last record does not end at its own end, byte {end}"
            )
        if (count - directory.count) % directory.modulus:
            raise ZipFault(
                f"the directory at byte {directory.offset} has {count} entries, "
                f"but its end record says {directory.count}"
            )

    def _find_end_record(self) -> tuple[int, tuple[Any, ...]]:
        """Return the position and the fields of the end record: the one whose comment ends with the file.

        A comment may contain the bytes of another end record. If no comment ends with the file, something was appended
        to the zip, and the last end record counts.
        """
        tail_at = max(0, self._bytes - _END.size - _LONGEST_COMMENT)
        tail = self._read_at(tail_at, self._bytes - tail_at)
        positions, found = [], tail.find(b"PK\5\6")
        while 0 <= found <= len(tail) - _END.size:
            positions.append(found)
            found = tail.find(b"PK\5\6", found + 1)
        if not positions:
            raise ZipFault("not a zip, or cut off: it has no directory at its end")
        ends = [(tail_at + position, _END.unpack_from(tail, position)) for position in positions]
        complete = [end for end in ends if end[0] + _END.size + end[1][7] == self._bytes]
        if len(complete) > 1:
            listed = " and ".join(str(position) for position, _ in complete)
            raise ZipFault(f"it has end records at bytes {listed}, and it is not clear which one is valid")
        return (complete or ends)[-1]

    def _find_directory(self) -> _Directory:
        """Find the central directory from the end record.

        Raises:
            ZipFault: the end record is missing or contradicts itself, or the zip is spread over several files.
        """
        end, (_, disk, first_disk, _, count, size, offset, _) = self._find_end_record()
        modulus, locator_at = 1 << 16, end - _END64_LOCATOR.size
        locator = self._read_at(locator_at, _END64_LOCATOR.size) if locator_at >= 0 else b""
        if locator[:4] == b"PK\6\7":
            end, modulus = _END64_LOCATOR.unpack(locator)[2], 1 << 64
            fields = _END64.unpack(self._read_at(end, _END64.size))
            if fields[0] != b"PK\6\6":
                raise ZipFault("the zip64 directory is damaged")
            disk, first_disk, count, size, offset = fields[4], fields[5], fields[7], fields[8], fields[9]
        if disk or first_disk:
            raise ZipFault("one part of a zip that is spread over several files")
        start = end - size
        if start < 0 or offset > start:
            raise ZipFault("the directory is cut off")
        # Bytes in front of the zip shift all offsets. A size that is too small looks the same.
        if offset < start and self._read_at(offset, 4) == b"PK\1\2":
            raise ZipFault(
                "damaged, or two zips in one file: "
                f"a directory begins at byte {offset}, but by its size it begins at byte {start}"
            )
        return _Directory(count, modulus, start, size, start - offset)

    def load(self, locator: str) -> bytes:
        """Return a member's bytes, as `Archive` says, checked against the directory's size and CRC."""
        offset, compressed, size, method, crc = map(int, locator.split(":"))
        if compressed > LARGEST_BYTES:
            raise ImageFault(RejectionReason.TOO_LARGE, f"{compressed} bytes stored")
        try:
            magic, name_bytes, extra_bytes = _LOCAL.unpack(self._read_at(offset, _LOCAL.size))
            if magic != b"PK\3\4":
                raise ZipFault(f"no member at byte {offset}")
            content = self._read_at(offset + _LOCAL.size + name_bytes + extra_bytes, compressed)
            if method == _DEFLATED:
                engine = zlib.decompressobj(wbits=-15)
                content = engine.decompress(content, size + 1)
        except (ZipFault, OSError, zlib.error) as error:
            raise ImageFault(RejectionReason.UNREADABLE, f"archive: {error}") from None
        if len(content) != size:
            detail = f"archive: not the {size} bytes that the directory says"
            raise ImageFault(RejectionReason.UNREADABLE, detail)
        if zlib.crc32(content) != crc:
            raise ImageFault(RejectionReason.UNREADABLE, "archive: the CRC is wrong")
        return content


def _parse_entry(fields: tuple[Any, ...], name: bytes, extra: bytes, shift: int) -> ZipEntry:
    """Build an entry from its fields. Its zip64 values are in the extra field, in a fixed order."""
    system, flags, method, crc = fields[2], fields[4], fields[5], fields[8]
    compressed, size, offset = fields[9], fields[10], fields[17]
    if _FULL32 in (size, compressed, offset):
        wide = _zip64_values(extra)
        size = next(wide, size) if size == _FULL32 else size
        compressed = next(wide, compressed) if compressed == _FULL32 else compressed
        offset = next(wide, offset) if offset == _FULL32 else offset
    mode = fields[16] >> 16 if system == _UNIX else 0
    text = _decode_name(name, bool(flags & _UTF8))
    return ZipEntry(text, offset + shift, compressed, size, method, crc, bool(flags & _ENCRYPTED), mode)


def _zip64_values(extra: bytes) -> Iterator[int]:
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _ZIP64:
            for at in range(4, 4 + length - 7, 8):
                yield from struct.unpack_from("<Q", extra, at) if at + 8 <= len(extra) else ()
        extra = extra[4 + length :]


def _decode_name(name: bytes, is_utf8: bool) -> str:
    """Decode a name: UTF-8 if the flag or the bytes say so, else code page 437, the default of the format."""
    name = name.split(b"\0")[0]
    try:
        text = name.decode("utf-8", "surrogateescape" if is_utf8 else "strict")
    except UnicodeDecodeError:
        text = name.decode("cp437")
    return escape_name(text.removeprefix("./"))


def _classify(id: str, entry: ZipEntry, previous_end: int, locator_prefix: str) -> Member | Rejection:
    """Return an entry as a possible image or as a rejection.

    Args:
        id: id of the member.
        entry: its entry in the directory.
        previous_end: where the bytes of the previous member end: members must not overlap.
        locator_prefix: prepended to the locator.
    """
    if entry.mode and not stat.S_ISREG(entry.mode) and stat.S_IFMT(entry.mode):
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
