"""Tars read by position: a strict walk over the headers, also of the tars inside a tar, and members by offset.

Python's tarfile takes a damaged header for the end of the archive, and keeps every member in memory; here damage is
told, and nothing is kept. Nothing is ever unpacked.

Source: POSIX.1-2008 pax and ustar; the GNU tar manual, "Basic Tar Format".
"""

import dataclasses
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from data.imaging.decode import ImageFault
from data.records import Reason, Rejection
from data.sources.base import LARGEST_BYTES, Listed, Member
from data.sources.gzip_reader import GzipBytes, GzipFault
from data.sources.member_names import Ids, decoded, sifted

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_FIELDS = struct.Struct("100s24x12s12x8sc100s8s80x155s12x")  # name, size, checksum, type, link, magic, prefix
_FILES = (b"0", b"\0", b"7")
_LINKS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_FOLDER, _LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"5", b"L", b"K", b"x", b"g"
_LONGEST_EXTENSION_BYTES = 1 << 20
_MOST_DIGITS = 19
_END_BYTES = 2 * _BLOCK
"""Zeros that an archive ends with."""
_USUAL_RECORD_BYTES = 20 * _BLOCK
_USUAL_RECORDS = (_BLOCK, _USUAL_RECORD_BYTES)
_RECORDS_BYTES = (*_USUAL_RECORDS, *(_BLOCK << power for power in range(1, 12)))
"""Sizes of which archives are filled up to a multiple by more zeros."""
_MOST_ZEROS_BYTES = _END_BYTES + max(_RECORDS_BYTES)
_FOREIGN, _HOLE = "foreign bytes", "zeros"
"""Kinds of what is behind the end mark, and no padding."""
_COMPRESSED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

ReadAt = Callable[[int, int], bytes]
"""Returns up to so many bytes from an offset; fewer at the end."""


class TarFault(Exception):
    """An archive that is not whole, with the offset at which that shows."""


@dataclasses.dataclass(frozen=True, slots=True)
class TarMember:
    """One member as its headers tell it."""

    name: str
    offset: int
    """Of its first byte, from where the walk's reader counts."""
    size: int
    kind: str
    """file, folder, or what else it is, for a person."""

    def is_told(self, wanted: str) -> bool:
        """Return whether a listing of the members whose name begins with `wanted` has it, be it as a rejection."""
        return self.kind in (_FOREIGN, _HOLE) or (self.kind != "folder" and self.name.startswith(wanted))


def walk(read_at: ReadAt, start: int, end: int | None) -> Iterator[TarMember]:
    """Yield a tar's members in stored order, reading headers only.

    Args:
        read_at: of the file that the tar is in.
        start: where the tar begins.
        end: where it ends, if that is known: no member may reach beyond.

    Raises:
        TarFault: a header is damaged or overwritten by zeros, or the archive is cut off.
    """
    at, extended, shared = start, {}, {}
    while True:
        header = read_at(at, _BLOCK)
        if len(header) < _BLOCK or (end is not None and at + _BLOCK > end):
            raise TarFault(f"cut off at byte {at}: it has no end mark")
        if header == _ZEROS:
            start, unread = _after_zeros(read_at, start, at, end)
            if unread:
                yield unread
            if start is None:
                return
            at = start
            continue
        name, size, kind, prefix = _header(header, at)
        data = at + _BLOCK
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            content = _extension(read_at, data, size, at)
            if kind == _LONG_NAME:
                extended["path"] = content.split(b"\0")[0]
            elif kind == _PAX:
                extended |= _pax(content, at)
            elif kind == _PAX_GLOBAL:
                shared |= _pax(content, at)
            at = data + _padded(size)
            continue
        extended = shared | extended
        size = _pax_size(extended, size, at)
        name = extended.get("path", name if not prefix else prefix + b"/" + name)
        stored = 0 if kind in _LINKS or kind == _FOLDER else size
        if end is not None and data + stored > end:
            raise TarFault(f"cut off in {decoded(name)!r} at byte {at}")
        yield TarMember(_plain(name), data, stored, _kind(kind, name, extended))
        at, extended = data + _padded(stored), {}


def _header(header: bytes, at: int) -> tuple[bytes, int, bytes, bytes]:
    """Return name, size, type and prefix of a header whose checksum is right."""
    name, size, checksum, kind, _, magic, prefix = _FIELDS.unpack(header)
    total = sum(header) - sum(checksum) + 8 * 32
    if total != _number(checksum, at):
        signed = total - 256 * sum(byte > 127 for byte in header[:148] + header[156:])
        if signed != _number(checksum, at):
            raise TarFault(f"damaged header at byte {at}")
    prefix = prefix.split(b"\0")[0] if magic[:6] == b"ustar\0" else b""
    return name.split(b"\0")[0], _number(size, at), kind, prefix


def _number(field: bytes, at: int) -> int:
    """Read an octal number, or a binary one whose first bit is set (GNU, for sizes from 8 GiB); never less than 0."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\0")[0].strip()
    if text.strip(b"01234567"):
        raise TarFault(f"damaged header at byte {at}")
    return int(text or b"0", 8)


def _extension(read_at: ReadAt, data: int, size: int, at: int) -> bytes:
    """Return the content of a header that belongs to the next member."""
    if size > _LONGEST_EXTENSION_BYTES:
        raise TarFault(f"an extended header of {size} bytes at byte {at}")
    content = read_at(data, size)
    if len(content) < size:
        raise TarFault(f"cut off at byte {at}")
    return content


def _pax(content: bytes, at: int) -> dict[str, bytes]:
    """Read records of `<length> <key>=<value>` and a line feed."""
    found = {}
    while content:
        length, _, rest = content.partition(b" ")
        end = int(length) if length.isdigit() and len(length) < _MOST_DIGITS else 0
        if not len(length) + 4 <= end <= len(content) or b"=" not in rest:
            raise TarFault(f"damaged extended header at byte {at}")
        key, _, value = content[len(length) + 1 : end - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value
        content = content[end:]
    return found


def _pax_size(extended: dict[str, bytes], size: int, at: int) -> int:
    text = extended.get("size")
    if text is None:
        return size
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise TarFault(f"damaged extended header before byte {at}")
    return int(text)


def _kind(kind: bytes, name: bytes, extended: dict[str, bytes]) -> str:
    if kind == _FOLDER or (kind in _FILES and name.endswith(b"/")):
        return "folder"
    if any(key.startswith("GNU.sparse") for key in extended):
        return "a sparse file"
    if kind in _FILES:
        return "file"
    return _LINKS.get(kind, f"of the unknown type {kind!r}")


def _plain(name: bytes) -> str:
    """Return a name without "./" before it, which some programs write."""
    text = decoded(name)
    while text.startswith("./"):
        text = text[2:].lstrip("/")
    return text


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _after_zeros(
    read_at: ReadAt, start: int, at: int, end: int | None
) -> tuple[int | None, TarMember | None]:
    """Tell the end of an archive, which zeros at a header's place are, from a hole in it.

    A hole is what a bad sector leaves, or a download whose room was taken before its bytes came. To be taken for the
    end, it would have to begin and end as padding does.

    Args:
        read_at: as `walk`.
        start: where the archive begins.
        at: where the zeros begin, at least a block of them.
        end: as `walk`.

    Returns:
        Where a tar that was appended begins, or None; and what is there of another kind, if it is little.

    Raises:
        TarFault: it is a hole, or the end mark is cut off.
    """
    most = _MOST_ZEROS_BYTES + 1 if end is None else min(_MOST_ZEROS_BYTES + 1, end - at)
    tail = read_at(at, most)
    rest = tail.lstrip(b"\0")
    zeros = len(tail) - len(rest)
    if rest:
        zeros -= zeros % _BLOCK
        rest = read_at(at + zeros, _USUAL_RECORD_BYTES + 1)[: None if end is None else end - at - zeros]
    behind = at + zeros
    records = [size for size in _RECORDS_BYTES if (behind - start) % size == 0 and zeros < _END_BYTES + size]
    is_usual = any(size in records for size in _USUAL_RECORDS)
    if zeros >= _END_BYTES and is_usual and _is_header(rest[:_BLOCK]):
        return behind, None
    if zeros < _END_BYTES or zeros > _MOST_ZEROS_BYTES or len(rest) > _USUAL_RECORD_BYTES:
        raise TarFault(f"zeros where a header should be, at byte {at}: a hole, or cut off in the end mark")
    if not records:
        return None, TarMember("(the end)", at, zeros + len(rest), _HOLE)
    return None, TarMember("(the end)", behind, len(rest), _FOREIGN) if rest else None


def _is_header(block: bytes) -> bool:
    try:
        _header(block, 0)
    except (TarFault, struct.error):
        return False
    return True


class TarArchive:
    """One .tar or .tar.gz. Members are found by offset and size; several threads may read at once.

    Args:
        path: of the file.

    Raises:
        TarFault: it is compressed in another way than by gzip.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115  (read for as long as the source lives)
        self.bytes = os.fstat(self._file.fileno()).st_size
        first = os.pread(self._file.fileno(), 6, 0)
        for magic, program in _COMPRESSED.items():
            if first.startswith(magic):
                raise TarFault(f"a tar compressed by {program}")
        self._gzip = GzipBytes(self._file.fileno()) if first[:2] == b"\x1f\x8b" else None
        self._read_at = self._gzip.read_at if self._gzip else self._pread

    def _pread(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)

    def listing(self, prefix: str, wanted: str, lead: str) -> Iterator[Listed]:
        """List as an `Archive` does, the members of inner tars too.

        Raises:
            TarFault: this archive is damaged. A damaged inner tar is a Rejection: what it held before stays.
        """
        end = None if self._gzip else self.bytes
        ids = Ids(prefix)
        for member in walk(self._read_at, 0, end):
            share = self._share(member.offset + member.size)
            inner = member.kind == "file" and member.name.lower().endswith(".tar")
            if inner and (member.name.startswith(wanted) or wanted.startswith(f"{member.name}/")):
                yield from self._inner(ids.of(member.name), member, wanted[len(member.name) + 1 :], lead)
            elif member.is_told(wanted):
                yield share, _listed(ids.of(member.name), member, lead)

    def _inner(self, id: str, outer: TarMember, wanted: str, lead: str) -> Iterator[Listed]:
        """Yield the members of a tar inside."""
        ids, end = Ids(f"{id}/"), outer.offset + outer.size
        try:
            for member in walk(self._read_at, outer.offset, end):
                if member.is_told(wanted):
                    yield self._share(member.offset + member.size), _listed(ids.of(member.name), member, lead)
        except TarFault as fault:
            yield self._share(end), Rejection(id, "index", Reason.UNREADABLE, f"a tar inside, {fault}")

    def _share(self, offset: int) -> float:
        return self._gzip.share if self._gzip else offset / self.bytes

    def load(self, place: str) -> bytes:
        """Load as an `Archive` does."""
        offset, size = map(int, place.split(":"))
        if size > LARGEST_BYTES:
            raise ImageFault(Reason.TOO_LARGE, f"{size} bytes stored")
        try:
            content = self._read_at(offset, size)
        except (OSError, GzipFault) as error:
            raise ImageFault(Reason.UNREADABLE, f"archive: {error}") from None
        if len(content) < size:
            raise ImageFault(Reason.UNREADABLE, f"archive: {len(content)} of {size} bytes")
        return content


def _listed(id: str, member: TarMember, lead: str) -> Member | Rejection:
    if member.kind == "file":
        return sifted(id, member.name, f"{lead}{member.offset}:{member.size}", member.size)
    if member.kind == _FOREIGN:
        return Rejection(id, "index", Reason.NOT_AN_IMAGE, f"{member.size} bytes that are no tar")
    if member.kind == _HOLE:
        return Rejection(
            id, "index", Reason.UNREADABLE, f"{member.size} bytes of zeros: a hole in the archive"
        )
    if member.kind in _LINKS.values():
        return Rejection(id, "index", Reason.LINK, f"{member.kind}, not a file")
    return Rejection(id, "index", Reason.UNSUPPORTED, member.kind)
