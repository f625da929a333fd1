"""Find files that were joined byte by byte, of which FFmpeg reads only the first. It does not say that there is more.

It reads on in transport streams, program streams and AVI. In the others the rest would be lost unseen.
"""

import mmap
import re
from pathlib import Path

_FLV_STARTS = tuple(b"FLV\1" + bytes([kinds]) + b"\0\0\0\x09" for kinds in (1, 4, 5))
_ASF_START = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_MXF_START = bytes.fromhex("060e2b34020501010d0102010102")
"""Key of a header partition."""
_OGG_PAGE = b"OggS\0"
_OGG_FIRST = 2
"""Flag of the first page of a stream. All streams of a file begin before any of them goes on."""

_EBML_START, _EBML_VERSION = b"\x1a\x45\xdf\xa3", b"\x42\x86\x81\1"

_SYNC, _PACKET_BYTES, _STRIDES = 0x47, 188, (188, 192, 204)
"""Of transport streams: the first byte of a packet, and how far apart packets are."""
_VIDEO_START = re.compile(rb"\x00\x00\x01[\xe0-\xef]")
_SEARCHED_BYTES = 1 << 22
"""Bytes before and after the last image that are searched for other video."""


def find_second_file(path: Path, container: str) -> int:
    """Return the byte where a second file begins that FFmpeg does not read; 0 if there is none.

    Args:
        path: the video.
        container: FFmpeg's name of it.
    """
    if path.stat().st_size == 0:
        return 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if container == "flv":
            return _find_any(content, _FLV_STARTS)
        if container == "asf":
            return _find_any(content, (_ASF_START,))
        if container == "mxf":
            return _find_any(content, (_MXF_START,))
        if container == "ogg":
            return _find_second_ogg(content)
        if container.startswith("matroska"):
            return _find_second_matroska(content)
        return _find_second_mp4(content) if container.startswith("mov,") else 0


def _find_any(content: mmap.mmap, starts: tuple[bytes, ...]) -> int:
    return min((found for start in starts if (found := content.find(start, 1)) > 0), default=0)


def _find_second_ogg(content: mmap.mmap) -> int:
    goes_on = _find_any(
        content, tuple(_OGG_PAGE + bytes([flags]) for flags in range(8) if flags != _OGG_FIRST)
    )
    return max(0, content.find(_OGG_PAGE + bytes([_OGG_FIRST]), goes_on)) if goes_on else 0


def _find_second_mp4(content: mmap.mmap) -> int:
    """Walk over the boxes of a file: a second `ftyp` begins another one."""
    offset = 0
    while offset + 16 <= len(content):
        size, kind = int.from_bytes(content[offset : offset + 4], "big"), content[offset + 4 : offset + 8]
        if offset and kind == b"ftyp":
            return offset
        if size == 1:
            size = int.from_bytes(content[offset + 8 : offset + 16], "big")
        if size < 8:
            return 0
        offset += size
    return 0


def _find_second_matroska(content: mmap.mmap) -> int:
    """Walk over the two elements of a file, header and segment; search where the segment states no size."""
    offset = 0
    for _ in range(2):
        first = content[offset + 4 : offset + 5] or b"\0"
        length = 9 - first[0].bit_length()
        size = int.from_bytes(content[offset + 4 : offset + 4 + length], "big") & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:
            break
        offset += 4 + length + size
    start = content.find(_EBML_START, max(offset, 1))
    while start > 0 and _EBML_VERSION not in content[start : start + 24]:
        start = content.find(_EBML_START, start + 1)
    return max(0, start)


def find_second_program(path: Path, video_pid: int, last_byte: int) -> int:
    """Return the byte where a transport stream goes on with the video of another program; 0 if it does not.

    FFmpeg takes it for another stream, which it may not even list, because it looks for streams at the beginning. Video
    that also stands before the end of the first is a program beside it.

    Args:
        path: the video.
        video_pid: number of the packets of the first program's video.
        last_byte: where the last image of that video begins.
    """
    first_byte = max(0, last_byte - _SEARCHED_BYTES)
    with open(path, "rb") as file:
        file.seek(first_byte)
        content = file.read(last_byte - first_byte + _SEARCHED_BYTES)
    start, stride = _find_packets(content)
    before = 4 if stride == 192 else 0  # bytes before each packet of a Blu-ray disc
    table, known = 0, {video_pid}
    for at in range(start, len(content) - _PACKET_BYTES, stride or len(content)):
        pid = int.from_bytes(content[at + 1 : at + 3], "big") & 0x1FFF
        if pid == 0:
            table = first_byte + at - before
        header = at + 4 + (1 + content[at + 4] if content[at + 3] & 0x20 else 0)
        if not content[at + 1] & 0x40 or not _VIDEO_START.match(content, header) or pid in known:
            continue
        if first_byte + at > last_byte:
            return table
        known.add(pid)
    return 0


def _find_packets(content: bytes) -> tuple[int, int]:
    """Return where the packets of a transport stream begin, and how far apart; zeros if they are not found."""
    for stride in _STRIDES:
        for start in range(stride):
            if set(content[start : start + 5 * stride : stride]) == {_SYNC}:
                return start, stride
    return 0, 0
