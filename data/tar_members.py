"""The members of a shard's tar, USTAR and nothing else: their headers as tarfile writes them, and back.

For archives from elsewhere, which are hostile until proven otherwise, there is `data.sources.tar`.
"""

import tarfile
from collections.abc import Iterator
from typing import IO

BLOCK_BYTES = 512
END_BYTES = 2 * BLOCK_BYTES
"""Zero bytes that a tar ends with."""
_NAME_BYTES, _SIZE_AT, _CHECKSUM_AT = 100, 124, 148
"""Of a USTAR header: the room for the name, and where size and checksum stand (POSIX.1-1988)."""


def _blank_header() -> bytes:
    """Return the header of a member without name and size, its checksum field full of spaces."""
    blank = tarfile.TarInfo("x")
    blank.mode = 0o644
    header = bytearray(blank.tobuf(tarfile.USTAR_FORMAT))
    header[:1] = b"\0"
    header[_CHECKSUM_AT : _CHECKSUM_AT + 8] = b" " * 8
    return bytes(header)


_MEMBER_HEADER = _blank_header()


def member_header(name: str, size_bytes: int) -> bytes:
    """Return the USTAR header of a member: as tarfile writes it, ten times faster.

    Raises:
        ValueError: the name is longer than 100 bytes or not ASCII.
    """
    encoded = name.encode("ascii")
    if len(encoded) > _NAME_BYTES:
        raise ValueError(f"Expected a name of at most {_NAME_BYTES} bytes, got {name!r}.")
    header = bytearray(_MEMBER_HEADER)
    header[: len(encoded)] = encoded
    header[_SIZE_AT : _SIZE_AT + 11] = b"%011o" % size_bytes
    header[_CHECKSUM_AT : _CHECKSUM_AT + 8] = b"%06o\0 " % sum(header)
    return bytes(header)


def read_members(tar: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset of the first byte and size of a tar's members in order, up to the first that can't be read."""
    tar.seek(0)
    with tarfile.open(fileobj=tar, mode="r:") as archive:
        for member in archive:
            yield member.name, member.offset_data, member.size


def read_member_header(tar: IO[bytes], offset: int) -> tuple[str, int]:
    """Return name and size of the member whose first byte is at `offset`, from the block before it.

    Raises:
        TarError: there is no header there.
    """
    tar.seek(offset - BLOCK_BYTES)
    header = tarfile.TarInfo.frombuf(tar.read(BLOCK_BYTES), "utf-8", "strict")
    return header.name, header.size
