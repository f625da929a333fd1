"""Zips read by position: the central directory once, then members by the offset of their bytes.

Python's zipfile gives up a whole archive for one name that is not UTF-8, and takes members by name, so that of two of
one name one is lost. Nothing is ever unpacked.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
"""

import dataclasses
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from data.imaging.decode import ImageFault
from data.records import Reason, Rejection
from data.sources.base import LARGEST_BYTES, Listed, Member
from data.sources.member_names import Ids, readable, sifted

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4sBBHHHHHLLLHHHHHLL")
_LOCAL = struct.Struct("<4s22xHH")
_LONGEST_COMMENT = (1 << 16) - 1
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_UNIX, _ENCRYPTED, _UTF8 = 3, 0x1, 0x800
_STORED, _DEFLATED = 0, 8
_ZIP64 = 1


class ZipFault(Exception):
    """An archive whose directory is damaged or not there."""


@dataclasses.dataclass(frozen=True, slots=True)
class ZipEntry:
    """A row of the central directory."""

    name: str
    offset: int
    """Of the member's local header in the file."""
    compressed: int
    size: int
    method: int
    crc: int
    encrypted: bool
    mode: int
    """Unix mode; 0 where there is none."""


class ZipArchive:
    """One .zip. Several threads may read at once.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115  (read for as long as the source lives)
        self._bytes = os.fstat(self._file.fileno()).st_size

    def _read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self._bytes:
            raise ZipFault(f"cut off, or damaged: {size} bytes at byte {offset} of {self._bytes}")
        content = os.pread(self._file.fileno(), size, offset)
        if len(content) < size:
            raise ZipFault(f"cut off: {len(content)} of {size} bytes at byte {offset}")
        return content

    def listing(self, prefix: str, wanted: str, lead: str) -> Iterator[Listed]:
        """List as an `Archive` does, in the order of offsets.

        Raises:
            ZipFault: the directory is damaged.
        """
        entries = sorted(self.entries(), key=lambda entry: entry.offset)
        ids, before = Ids(prefix), -1
        for number, entry in enumerate(entries, 1):
            if entry.name.endswith("/") or stat.S_ISDIR(entry.mode) or not entry.name.startswith(wanted):
                continue
            yield number / len(entries), _listed(ids.of(entry.name), entry, before, lead)
            before = entry.offset + entry.compressed

    def entries(self) -> Iterator[ZipEntry]:
        """Yield the rows of the central directory.

        Raises:
            ZipFault: it is damaged, or spread over several files.
        """
        count, modulus, at, size, shift = self._directory()
        directory, place, read = self._read_at(at, size), 0, 0
        # The bytes say how many rows there are, not the count: it has 16 bits, and some archivers let it wrap.
        while place < size and directory[place : place + 4] != b"PK\5\5":
            try:
                fields = _ENTRY.unpack_from(directory, place)
            except struct.error:
                raise ZipFault(f"the directory is cut off, or damaged, at byte {at + place}") from None
            if fields[0] != b"PK\1\2":
                raise ZipFault(f"the directory is damaged: no entry at byte {at + place}")
            name_end = place + _ENTRY.size + fields[11]
            extra_end = name_end + fields[12]
            name = directory[place + _ENTRY.size : name_end]
            yield _entry(fields, name, directory[name_end:extra_end], shift)
            place, read = extra_end + fields[13], read + 1
        if place < size:  # a signature of the directory: the last thing in it
            place += 6 + int.from_bytes(directory[place + 4 : place + 6], "little")
        if place != size:
            raise ZipFault(
                f"the directory is damaged: its last record does not end with it at byte {at + size}"
            )
        if (read - count) % modulus:
            raise ZipFault(
                f"the directory at byte {at} is damaged: it has {read} entries, and its end says {count}"
            )

    def _end(self) -> tuple[int, tuple]:
        """Return where the end record is, and its fields: the one whose comment ends with the file.

        A comment may hold the bytes of an end record too. Where none ends with the file, something was put behind
        the zip, and the last one counts.
        """
        tail_at = max(0, self._bytes - _END.size - _LONGEST_COMMENT)
        tail = self._read_at(tail_at, self._bytes - tail_at)
        places, found = [], tail.find(b"PK\5\6")
        while 0 <= found <= len(tail) - _END.size:
            places.append(found)
            found = tail.find(b"PK\5\6", found + 1)
        if not places:
            raise ZipFault("no zip, or cut off: it has no directory at its end")
        ends = [(tail_at + place, _END.unpack_from(tail, place)) for place in places]
        whole = [end for end in ends if end[0] + _END.size + end[1][7] == self._bytes]
        if len(whole) > 1:
            places = " and ".join(str(place) for place, _ in whole)
            raise ZipFault(
                f"more than one end record, at bytes {places}: which directory is meant can't be told"
            )
        return (whole or ends)[-1]

    def _directory(self) -> tuple[int, int, int, int, int]:
        """Return what the directory is said to be, and where it is.

        That is the number of entries, what that number is counted modulo, where the directory is, its size, and how
        far all offsets are shifted.
        """
        end, (_, disk, first_disk, _, count, size, offset, _) = self._end()
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
        # A file with something before the zip has its offsets shifted; a size that is too small looks the same.
        if offset < start and self._read_at(offset, 4) == b"PK\1\2":
            told = f"a directory begins at byte {offset}, and by its size at byte {start}"
            raise ZipFault(f"damaged, or two zips in one file: {told}")
        return count, modulus, start, size, start - offset

    def load(self, place: str) -> bytes:
        """Load as an `Archive` does; the bytes are held against the directory's size and CRC."""
        offset, compressed, size, method, crc = map(int, place.split(":"))
        if compressed > LARGEST_BYTES:
            raise ImageFault(Reason.TOO_LARGE, f"{compressed} bytes stored")
        try:
            magic, name, extra = _LOCAL.unpack(self._read_at(offset, _LOCAL.size))
            if magic != b"PK\3\4":
                raise ZipFault(f"no member at byte {offset}")
            content = self._read_at(offset + _LOCAL.size + name + extra, compressed)
            if method == _DEFLATED:
                engine = zlib.decompressobj(wbits=-15)
                content = engine.decompress(content, size + 1)
        except (ZipFault, OSError, zlib.error) as error:
            raise ImageFault(Reason.UNREADABLE, f"archive: {error}") from None
        if len(content) != size:
            raise ImageFault(Reason.UNREADABLE, f"archive: other than the {size} bytes of the directory")
        if zlib.crc32(content) != crc:
            raise ImageFault(Reason.UNREADABLE, "archive: the CRC is wrong")
        return content


def _entry(fields: tuple, name: bytes, extra: bytes, shift: int) -> ZipEntry:
    """Make a row of a directory's fields; zip64 values stand in its extra field, in a fixed order."""
    system, flags, method, crc = fields[2], fields[4], fields[5], fields[8]
    compressed, size, offset = fields[9], fields[10], fields[17]
    if _FULL32 in (size, compressed, offset):
        wide = _zip64_values(extra)
        size = next(wide, size) if size == _FULL32 else size
        compressed = next(wide, compressed) if compressed == _FULL32 else compressed
        offset = next(wide, offset) if offset == _FULL32 else offset
    mode = fields[16] >> 16 if system == _UNIX else 0
    text = _text(name, bool(flags & _UTF8))
    return ZipEntry(text, offset + shift, compressed, size, method, crc, bool(flags & _ENCRYPTED), mode)


def _zip64_values(extra: bytes) -> Iterator[int]:
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _ZIP64:
            for at in range(4, 4 + length - 7, 8):
                yield from struct.unpack_from("<Q", extra, at) if at + 8 <= len(extra) else ()
        extra = extra[4 + length :]


def _text(name: bytes, is_utf8: bool) -> str:
    """Decode a name: UTF-8 where the flag or the bytes say so, else code page 437, as the format has it."""
    name = name.split(b"\0")[0]
    try:
        text = name.decode("utf-8", "surrogateescape" if is_utf8 else "strict")
    except UnicodeDecodeError:
        text = name.decode("cp437")
    return readable(text.removeprefix("./"))


def _listed(id: str, entry: ZipEntry, before: int, lead: str) -> Member | Rejection:
    """Return an entry as a member or as why it is none; `before` is where the bytes of the one before it end."""
    if entry.mode and not stat.S_ISREG(entry.mode) and stat.S_IFMT(entry.mode):
        return Rejection(id, "index", Reason.LINK, "a link or a device, not a file")
    locator = f"{lead}{entry.offset}:{entry.compressed}:{entry.size}:{entry.method}:{entry.crc}"
    found = sifted(id, entry.name, locator, entry.size)
    if isinstance(found, Rejection):
        return found
    if entry.encrypted:
        return Rejection(id, "index", Reason.UNSUPPORTED, "encrypted")
    if entry.method not in (_STORED, _DEFLATED):
        detail = f"compression method {entry.method}; stored or deflated was expected"
        return Rejection(id, "index", Reason.UNSUPPORTED, detail)
    if entry.offset < before:
        return Rejection(id, "index", Reason.UNREADABLE, "archive: its bytes are another member's too")
    return found
