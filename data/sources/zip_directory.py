"""Read the central directory of a zip: find it from the end of the file, and distrust what it says about itself.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
"""

import dataclasses
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from data.file_names import escape_name
from data.sources.member_names import normalize_path

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4sBBHHHHHLLLHHHHHLL")
LOCAL = struct.Struct("<4s22xHH")
_LONGEST_COMMENT = (1 << 16) - 1
_LAP = 1 << 32
_FULL32 = 0xFFFFFFFF
"""A 32-bit field with this value refers to the zip64 extra field."""
_UNIX, _ENCRYPTED, _UTF8 = 3, 0x1, 0x800
_SECOND_BYTE = re.compile(rb"(?<=[\x81-\xfe])\\")
"""A backslash that is half of a character in Shift JIS, Big5 or GBK, not a separator."""
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
    wrapped: bool
    """Whether the zip is larger than 4 GiB without zip64 records: offsets are then modulo 2**32."""


class ZipDirectory:
    """The central directory of a zip.

    Args:
        read_at: takes an offset and a size; returns exactly that many bytes, or raises ZipFault.
        size: of the file, in bytes.
        disks: where in the file each part of a split zip starts, if its offsets start there.
    """

    def __init__(
        self, read_at: Callable[[int, int], bytes], size: int, disks: tuple[int, ...] = (0,)
    ) -> None:
        self._read_at, self._bytes, self._disks = read_at, size, disks

    def entries(self) -> Iterator[ZipEntry]:
        """Yield the entries of the central directory.

        Raises:
            ZipFault: the directory is damaged, or the zip is spread over several files.
        """
        directory = self._find_directory()
        entries = self._read_directory(directory)
        yield from self._unwrap(entries) if directory.wrapped else entries

    def _unwrap(self, entries: Iterator[ZipEntry]) -> Iterator[ZipEntry]:
        """Add what offsets of 32 bits lost: they rise in the directory, and at each is a member's header."""
        laps, previous = 0, -1
        for entry in entries:
            at = entry.offset + laps
            while at <= previous or (at + 4 <= self._bytes and self._read_at(at, 4) != b"PK\3\4"):
                laps, at = laps + _LAP, at + _LAP
            if at + 4 > self._bytes:
                raise ZipFault(f"larger than 4 GiB without zip64 records, and {entry.name!r} can't be found")
            yield dataclasses.replace(entry, offset=at)
            previous = at

    def _read_directory(self, directory: _Directory) -> Iterator[ZipEntry]:
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
            shift = directory.shift + self._start_of_disk(fields[14])
            yield _parse_entry(fields, name, content[name_end:extra_end], shift)
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
        modulus, end64 = 1 << 16, self._find_zip64_record(end)
        if end64:
            (end, fields), modulus = end64, 1 << 64
            disk, first_disk, count, size, offset = fields[4], fields[5], fields[7], fields[8], fields[9]
        if disk != len(self._disks) - 1 or first_disk > disk:
            raise ZipFault(
                "one part of a zip that is spread over several files: "
                f"its end is in part {disk + 1}, but {len(self._disks)} are here"
            )
        offset += self._start_of_disk(first_disk)
        start = end - size
        if start < 0 or offset > start:
            raise ZipFault("the directory is cut off")
        # Bytes in front of the zip shift all offsets. A size that is too small looks the same.
        if offset < start and self._read_at(offset, 4) == b"PK\1\2":
            raise ZipFault(
                "damaged, or two zips in one file: "
                f"a directory begins at byte {offset}, but by its size it begins at byte {start}"
            )
        shift = start - offset
        is_wrapped = shift > 0 and shift % _LAP == 0 and not end64 and self._read_at(0, 4) == b"PK\3\4"
        if shift and not is_wrapped:
            self._check_front(shift)
        return _Directory(count, modulus, start, size, 0 if is_wrapped else shift, is_wrapped)

    def _start_of_disk(self, disk: int) -> int:
        """Return where a disk starts; 0 for the only one, whatever its number."""
        if len(self._disks) == 1:
            return 0
        if disk >= len(self._disks):
            raise ZipFault(f"the directory is damaged: it names part {disk + 1} of {len(self._disks)}")
        return self._disks[disk]

    def _find_zip64_record(self, end: int) -> tuple[int, tuple[Any, ...]] | None:
        """Return position and fields of the zip64 end record that belongs to the end record at `end`, if there is one.

        It ends where its locator begins. The locator says its position too, but without the bytes in front of the zip.

        Raises:
            ZipFault: there is a locator, but no record.
        """
        locator_at = end - _END64_LOCATOR.size
        if locator_at < 0 or self._read_at(locator_at, 4) != b"PK\6\7":
            return None
        first = max(0, locator_at - _LONGEST_COMMENT)
        content = self._read_at(first, locator_at - first)
        found = content.rfind(b"PK\6\6")
        while found >= 0:
            if found + _END64.size <= len(content):
                fields = _END64.unpack_from(content, found)
                if found + 12 + fields[1] == len(content):
                    return first + found, fields
            found = content.rfind(b"PK\6\6", 0, found)
        raise ZipFault("the zip64 directory is cut off, or damaged")

    def _check_front(self, shift: int) -> None:
        """Check that what is in front of the zip is not the rest of a zip that contains it.

        A zip that is cut off behind a stored zip inside it ends in the directory of that one.

        Raises:
            ZipFault: the bytes in front begin as a zip, or end in the header of a member.
        """
        first = max(0, shift - LOCAL.size - 2 * _LONGEST_COMMENT)
        front = self._read_at(first, shift - first)
        is_inside, found = self._read_at(0, 4) in (b"PK\3\4", b"PK\7\x08"), front.find(b"PK\3\4")
        while 0 <= found <= len(front) - LOCAL.size and not is_inside:
            _, name_bytes, extra_bytes = LOCAL.unpack_from(front, found)
            is_inside = found + LOCAL.size + name_bytes + extra_bytes == len(front)
            found = front.find(b"PK\3\4", found + 1)
        if is_inside:
            raise ZipFault(
                "cut off, or two zips in one file: the directory at its end is only that of a zip "
                f"inside it, which begins at byte {shift}"
            )


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
        text = _SECOND_BYTE.sub(b"_", name).decode("cp437")
    return escape_name(normalize_path(text))
