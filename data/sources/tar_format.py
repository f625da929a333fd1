"""Parse the tar format strictly, reading headers only.

Python's tarfile takes a damaged header for the end of the archive and keeps every member in memory. Here damage is an
error, and no member is kept.

Source: POSIX.1-2008 pax and ustar; the GNU tar manual, "Basic Tar Format".
"""

import dataclasses
import struct
from collections.abc import Callable, Iterable, Iterator

from data.sources.member_names import clean_name

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_FIELDS = struct.Struct("100s24x12s12x8sc100s8s80x155s12x")  # name, size, checksum, type, link, magic, prefix
_FILES = (b"0", b"\0", b"7")
LINKS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
"""Member types that are neither files nor folders, with the TarMember.kind of each."""
_OTHERS = {
    b"V": "a volume label",
    b"M": "the rest of a file that begins in another volume",
    b"S": "a sparse file",
}
"""Other member types of GNU tar, with the TarMember.kind of each."""
_FOLDER, _DUMPED_FOLDER, _SPARSE = b"5", b"D", b"S"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_SOLARIS, _PAX_GLOBAL = b"L", b"K", b"x", b"X", b"g"
_ACCESS_LIST = b"A"
"""Solaris: the access rights of the next member."""
_EXTENSIONS = (_LONG_NAME, _LONG_LINK, _PAX, _PAX_SOLARIS, _PAX_GLOBAL, _ACCESS_LIST)
_SPARSE_KEYS = ("GNU.sparse", "SUN.holesdata", "SCHILY.realsize")
_LONGEST_EXTENSION_BYTES = 1 << 20
_SPARSE_MORE_AT, _SPARSE_STILL_MORE_AT = 482, 504
"""Bytes that say whether a block with the rest of a list of pieces follows: in a header, and in such a block."""
_MOST_DIGITS = 19
_END_BYTES = 2 * _BLOCK
"""Zeros at the end of an archive."""
_USUAL_RECORD_BYTES = 20 * _BLOCK
_USUAL_RECORDS = (_BLOCK, _USUAL_RECORD_BYTES)
_RECORDS_BYTES = (
    *range(_BLOCK, _USUAL_RECORD_BYTES + 1, _BLOCK),
    *(_BLOCK << power for power in range(5, 12)),
)
"""Record sizes: archives are padded with zeros to a multiple of one of these."""
_HARMLESS_ZEROS_BYTES = 4 * _BLOCK
"""Fewer zeros than this never hide a file with content: it has two blocks at least, and two blocks follow the last."""
_MOST_ZEROS_BYTES = _END_BYTES + max(_RECORDS_BYTES)
FOREIGN_BYTES, HOLE, ODD_PADDING = "foreign bytes", "zeros", "unusual padding"
"""TarMember.kind of what follows the end of an archive and is not padding, or might be something else."""

ReadAt = Callable[[int, int], bytes]
"""Takes an offset and a size; returns that many bytes, or fewer at the end of the file."""


class TarFault(Exception):
    """The archive is damaged or cut off; the text says at which byte."""


@dataclasses.dataclass(frozen=True, slots=True)
class TarMember:
    """One member, as its headers describe it."""

    name: str
    """Printable, without "./" at the start."""
    offset: int
    """Position of its first byte in the file that the tar is in."""
    size: int
    """In bytes."""
    kind: str
    """file, folder, FOREIGN_BYTES, HOLE, ODD_PADDING, or text that says what else it is: "a symbolic link"."""

    def is_listed(self, path_prefix: str) -> bool:
        """Return whether the member belongs in a list of the names that start with `path_prefix`.

        Folders never do. What follows the end of the archive always does.
        """
        if self.kind in (FOREIGN_BYTES, HOLE, ODD_PADDING):
            return True
        return self.kind != "folder" and self.name.startswith(path_prefix)


def walk(read_at: ReadAt, start: int, end: int | None) -> Iterator[TarMember]:
    """Yield a tar's members in stored order, reading headers only.

    Args:
        read_at: reads from the file that the tar is in.
        start: offset at which the tar begins.
        end: offset at which it ends, if known: no member may reach beyond it.

    Raises:
        TarFault: a header is damaged or overwritten by zeros, or the archive is cut off.
    """
    position = start
    extended: dict[str, bytes] = {}
    shared: dict[str, bytes] = {}
    while True:
        header = read_at(position, _BLOCK)
        if len(header) < _BLOCK or (end is not None and position + _BLOCK > end):
            raise TarFault(f"cut off at byte {position}: it has no end mark")
        if header == _ZEROS:
            appended_at, leftover = _check_end(read_at, start, position, end)
            if leftover:
                yield leftover
            if appended_at is None:
                return
            start = position = appended_at
            continue
        parsed, data = _parse_header(header, position), position + _BLOCK
        _, size, kind = parsed
        if kind in _EXTENSIONS:
            content = _read_extension(read_at, data, size, position)
            if kind == _LONG_NAME:
                extended["path"] = content.split(b"\0")[0]
            elif kind in (_PAX, _PAX_SOLARIS):
                extended |= _parse_pax(content, position)
            elif kind == _PAX_GLOBAL:
                shared |= _parse_pax(content, position)
            position = data + _pad(size)
            continue
        data = _skip_pieces(read_at, data) if kind == _SPARSE and header[_SPARSE_MORE_AT] else data
        member = _member(read_at, parsed, data, shared | extended)
        if end is not None and member.offset + member.size > end:
            raise TarFault(f"cut off in {member.name!r} at byte {position}")
        yield member
        position, extended = member.offset + _pad(member.size), {}


def _member(
    read_at: ReadAt, parsed: tuple[bytes, int, bytes], data: int, extended: dict[str, bytes]
) -> TarMember:
    """Build the member at byte `data` from its header and from the extended headers before it, which override it."""
    name, size, kind = parsed
    name = extended.get("GNU.sparse.name", extended.get("path", name))
    size = _extended_size(extended, size, data)
    described = _describe_kind(kind, name, extended)
    if size and kind != _DUMPED_FOLDER and (kind in LINKS or described == "folder"):
        size = _stored_size(read_at, data, size, kind)
        described = "a folder with content" if size and described == "folder" else described
    return TarMember(clean_name(name), data, size, described)


def _stored_size(read_at: ReadAt, data: int, size: int, kind: bytes) -> int:
    """Return how many bytes a folder or a link with a size really has: programs disagree on whether any follow.

    Args:
        read_at: as in `walk`.
        data: offset of the bytes, if there are any.
        size: in bytes, as the headers say; above 0.
        kind: the member's type.
    """
    if _is_header_or_end(read_at(data, _BLOCK)):
        return 0
    if _is_header_or_end(read_at(data + _pad(size), _BLOCK)):
        return size
    return size if kind in _FILES else 0


def _skip_pieces(read_at: ReadAt, at: int) -> int:
    """Return the offset behind the rest of a sparse file's list of pieces, which begins at byte `at`."""
    block, at = read_at(at, _BLOCK), at + _BLOCK
    while len(block) == _BLOCK and block[_SPARSE_STILL_MORE_AT]:
        block, at = read_at(at, _BLOCK), at + _BLOCK
    if len(block) < _BLOCK:
        raise TarFault(f"cut off at byte {at - _BLOCK}")
    return at


def _parse_header(header: bytes, at: int) -> tuple[bytes, int, bytes]:
    """Return name, size and type of a header after checking its checksum."""
    name, size, checksum, kind, _, magic, prefix = _FIELDS.unpack(header)
    total = sum(header) - sum(checksum) + 8 * 32
    if total != _parse_number(checksum, at):
        signed = total - 256 * sum(byte > 127 for byte in header[:148] + header[156:])
        if signed != _parse_number(checksum, at):
            raise TarFault(f"damaged header at byte {at}")
    prefix = prefix.split(b"\0")[0] if magic[:6] == b"ustar\0" else b""
    name = name.split(b"\0")[0]
    return prefix + b"/" + name if prefix else name, _parse_number(size, at), kind


def _parse_number(field: bytes, at: int) -> int:
    """Parse an octal number, or a binary one whose first bit is set (GNU, for sizes from 8 GiB). Never negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\0")[0].strip()
    if text.strip(b"01234567"):
        raise TarFault(f"damaged header at byte {at}")
    return int(text or b"0", 8)


def _read_extension(read_at: ReadAt, data: int, size: int, at: int) -> bytes:
    """Return the content of an extended header, which describes the next member."""
    if size > _LONGEST_EXTENSION_BYTES:
        raise TarFault(f"an extended header of {size} bytes at byte {at}")
    content = read_at(data, size)
    if len(content) < size:
        raise TarFault(f"cut off at byte {at}")
    return content


def _parse_pax(content: bytes, at: int) -> dict[str, bytes]:
    """Parse pax records: `<length> <key>=<value>` and a line feed."""
    records = {}
    while content:
        length, _, rest = content.partition(b" ")
        end = int(length) if length.isdigit() and len(length) < _MOST_DIGITS else 0
        if not len(length) + 4 <= end <= len(content) or b"=" not in rest:
            raise TarFault(f"damaged extended header at byte {at}")
        key, _, value = content[len(length) + 1 : end - 1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value
        content = content[end:]
    return records


def _extended_size(extended: dict[str, bytes], size: int, at: int) -> int:
    """Return the size in the extended header, if it has one, else `size`."""
    text = extended.get("size")
    if text is None:
        return size
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise TarFault(f"damaged extended header before byte {at}")
    return int(text)


def _describe_kind(kind: bytes, name: bytes, extended: dict[str, bytes]) -> str:
    """Return TarMember.kind of a member of this type."""
    if kind in (_FOLDER, _DUMPED_FOLDER) or (kind in _FILES and name.endswith(b"/")):
        return "folder"
    if any(key.startswith(_SPARSE_KEYS) for key in extended):
        return "a sparse file"
    if kind in _FILES:
        return "file"
    return (LINKS | _OTHERS).get(kind, f"of the unknown type {kind!r}")


def _pad(size: int) -> int:
    """Round a size up to whole blocks."""
    return -(-size // _BLOCK) * _BLOCK


def _check_end(read_at: ReadAt, start: int, at: int, end: int | None) -> tuple[int | None, TarMember | None]:
    """Decide whether zeros in place of a header are the end of the archive or a hole in it.

    A hole comes from a bad sector, or from a download whose space was allocated before its bytes came. It passes for
    the end only if it begins and ends exactly as padding does.

    Args:
        read_at: as in `walk`.
        start: offset at which the archive begins.
        at: offset of the zeros, at least a block of them.
        end: as in `walk`.

    Returns:
        The offset of a tar that was appended to this one, or None; and a member for a small hole or for a few foreign
        bytes after the end, or None.

    Raises:
        TarFault: the zeros are a hole, or the end mark is cut off.
    """
    most = _MOST_ZEROS_BYTES + 1 if end is None else min(_MOST_ZEROS_BYTES + 1, end - at)
    tail = read_at(at, most)
    rest = tail.lstrip(b"\0")
    zeros = len(tail) - len(rest)
    if rest:
        zeros -= zeros % _BLOCK
        rest = read_at(at + zeros, _USUAL_RECORD_BYTES + 1)[: None if end is None else end - at - zeros]
    behind = at + zeros
    if (
        zeros >= _END_BYTES
        and _is_padded(zeros, behind - start, _USUAL_RECORDS)
        and _is_header(rest[:_BLOCK])
    ):
        return behind, None
    if zeros < _END_BYTES or zeros > _MOST_ZEROS_BYTES or len(rest) > _USUAL_RECORD_BYTES:
        raise TarFault(f"zeros where a header should be, at byte {at}: a hole, or cut off in the end mark")
    if zeros < _HARMLESS_ZEROS_BYTES or _is_padded(zeros, behind - start, _RECORDS_BYTES):
        return None, TarMember("(the end)", behind, len(rest), FOREIGN_BYTES) if rest else None
    is_odd = _is_padded(zeros, behind - start, range(_BLOCK, _RECORDS_BYTES[-1], _BLOCK))
    return None, TarMember("(the end)", at, zeros + len(rest), ODD_PADDING if is_odd and not rest else HOLE)


def _is_padded(zeros: int, size: int, records: Iterable[int]) -> bool:
    """Return whether a tar of `size` bytes with `zeros` zeros at its end is padded to one of these records."""
    return any(size % record == 0 and zeros < _END_BYTES + record for record in records)


def _is_header_or_end(block: bytes) -> bool:
    return block == _ZEROS or (len(block) == _BLOCK and _is_header(block))


def _is_header(block: bytes) -> bool:
    try:
        _parse_header(block, 0)
    except (TarFault, struct.error):
        return False
    return True
