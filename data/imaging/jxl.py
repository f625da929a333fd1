"""Read the header of a JPEG XL file: what its reader, pillow-jxl-plugin, does not say before it has decoded all pixels.

Source: ISO/IEC 18181-1 (codestream: A.2 SizeHeader, A.3 ImageMetadata) and 18181-2 (container).
"""

import dataclasses
import struct

_CONTAINER = b"\0\0\0\x0cJXL "
_SIZES = ((1, 9), (1, 13), (1, 18), (1, 30))
_PREVIEW_EIGHTHS = ((16, 0), (32, 0), (1, 5), (33, 9))
_PREVIEW_SIZES = ((1, 6), (65, 8), (321, 10), (1345, 12))
_BITS = ((8, 0), (10, 0), (12, 0), (1, 6))
_FLOAT_BITS = ((32, 0), (16, 0), (24, 0), (1, 6))
"""Each of four encodings of a number: what is added to the bits that follow, and how many these are."""
_RATIOS = {1: (1, 1), 2: (6, 5), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
"""Width by height, where the width is not stored."""


@dataclasses.dataclass(frozen=True)
class JxlHeader:
    """What the header of a JPEG XL file says."""

    width: int
    """In pixels, before the rotation."""
    height: int
    bits: int
    """Per channel: 8, 10, 12, 16 …"""
    is_float: bool
    is_animation: bool


class _Bits:
    """Reads a codestream bit by bit, the lowest first."""

    def __init__(self, content: bytes) -> None:
        self._number, self._at, self._size = int.from_bytes(content, "little"), 0, 8 * len(content)

    def take(self, count: int) -> int:
        value = (self._number >> self._at) & ((1 << count) - 1)
        self._at += count
        if self._at > self._size:
            raise ValueError("header: cut off")
        return value

    def choose(self, encodings: tuple[tuple[int, int], ...]) -> int:
        offset, count = encodings[self.take(2)]
        return offset + self.take(count)


def read_jxl_header(content: bytes) -> JxlHeader:
    """Read the header of a JPEG XL file.

    Raises:
        ValueError: it is cut off, or no such file.
    """
    codestream = _find_codestream(content)
    if codestream[:2] != b"\xff\x0a":
        raise ValueError("header: no codestream")
    bits = _Bits(codestream[2:66])
    height, width = _read_size(bits)
    if bits.take(1):  # all the rest is as usual
        return JxlHeader(width, height, 8, False, False)
    is_animation = False
    if bits.take(1):
        bits.take(3)  # orientation
        if bits.take(1):
            _read_size(bits)  # the size at which it is to be shown
        if bits.take(1):
            _read_preview(bits)
        is_animation = bool(bits.take(1))
        if is_animation:
            return JxlHeader(width, height, 8, False, True)
    is_float = bool(bits.take(1))
    return JxlHeader(width, height, bits.choose(_FLOAT_BITS if is_float else _BITS), is_float, False)


def _read_size(bits: _Bits) -> tuple[int, int]:
    in_eighths = bits.take(1)

    def read() -> int:
        return 8 * (1 + bits.take(5)) if in_eighths else bits.choose(_SIZES)

    height, ratio = read(), bits.take(3)
    across, down = _RATIOS.get(ratio, (0, 1))
    return height, height * across // down if ratio else read()


def _read_preview(bits: _Bits) -> None:
    encodings = _PREVIEW_EIGHTHS if bits.take(1) else _PREVIEW_SIZES
    bits.choose(encodings)
    if not bits.take(3):
        bits.choose(encodings)


def _find_codestream(content: bytes) -> bytes:
    """Return the beginning of the codestream, which may be in a container."""
    if not content.startswith(_CONTAINER):
        return content[:66]
    at = 0
    while at + 16 <= len(content):
        size, kind = struct.unpack_from(">L4s", content, at)
        head = 16 if size == 1 else 8
        size = struct.unpack_from(">Q", content, at + 8)[0] if size == 1 else size or len(content) - at
        if kind in (b"jxlc", b"jxlp"):
            start = at + head + 4 * (kind == b"jxlp")
            return content[start : start + 66]
        at += max(size, head)
    return b""
