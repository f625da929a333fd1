"""Read and write the member headers of our own shards: plain USTAR, byte for byte as tarfile writes it.

Archives from elsewhere can be hostile; `data.sources.tar` reads those.
"""

import tarfile
from collections.abc import Iterator
from typing import IO

BLOCK_BYTES = 512
END_BYTES = 2 * BLOCK_BYTES
"""Number of zero bytes at the end of a tar."""
_NAME_BYTES, _SIZE_AT, _CHECKSUM_AT = 100, 124, 148
"""In a USTAR header: the longest name, and the offsets of the size and the checksum (POSIX.1-1988)."""


def _blank_header() -> bytes:
    """Return a header without name and size, with the checksum field full of spaces."""
    blank = tarfile.TarInfo("x")
    blank.mode = 0o644
    header = bytearray(blank.tobuf(tarfile.USTAR_FORMAT))
    header[:1] = b"\0"
    header[_CHECKSUM_AT : _CHECKSUM_AT + 8] = b" " * 8
    return bytes(header)


_MEMBER_HEADER = _blank_header()


def member_header(name: str, size_bytes: int) -> bytes:
    """Return the USTAR header of a member: the same bytes as tarfile's, ten times faster.

    Raises:
        ValueError: the name is longer than 100 bytes or not ASCII.
    """
    encoded = name.encode("ascii")
    if len(encoded) > _NAME_BYTES:
        raise ValueError(f"The member name {name!r} is longer than {_NAME_BYTES} bytes.")
    header = bytearray(_MEMBER_HEADER)
    header[: len(encoded)] = encoded
    header[_SIZE_AT : _SIZE_AT + 11] = b"%011o" % size_bytes
    header[_CHECKSUM_AT : _CHECKSUM_AT + 8] = b"%06o\0 " % sum(header)
    return bytes(header)


def read_members(tar: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Yield (name, offset of the first byte, size in bytes) of each member, up to the first damaged header."""
    tar.seek(0)
    with tarfile.open(fileobj=tar, mode="r:") as archive:
        for member in archive:
            yield member.name, member.offset_data, member.size


def read_member_header(tar: IO[bytes], offset: int) -> tuple[str, int]:
    """Return (name, size in bytes) of the member whose first byte is at `offset`.

    Raises:
        TarError: there is no header before `offset`.
    """
    tar.seek(offset - BLOCK_BYTES)
    header = tarfile.TarInfo.frombuf(tar.read(BLOCK_BYTES), "utf-8", "strict")
    return header.name, header.size
