"""Read the bit depth of a stored image from its header. The index records it; decoding always gives 8 bits."""

import struct

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_PALETTE = 3
_TIFF_BITS_PER_SAMPLE = 258
_BMP_DEPTHS = {1: 8, 4: 8, 8: 8, 16: 5, 24: 8, 32: 8}
"""By bits per pixel, the bits per channel."""


def bit_depth(content: bytes, format: str) -> int:
    """Return the bits per channel of an image as stored; for a palette, those of its colors.

    Args:
        content: the stored bytes, or at least the header.
        format: png, jpeg, tiff, …: as in `data.imaging.decode.ImageHeader`.

    Returns:
        1 to 64; 8 if the header does not say.
    """
    try:
        if format == "png":
            return 8 if content[25] == _PALETTE else content[24]
        if format == "jpeg":
            return _jpeg_depth(content)
        if format == "tiff":
            return _tiff_depth(content)
        if format == "bmp":
            return _BMP_DEPTHS[struct.unpack_from("<H", content, 28)[0]]
    except (struct.error, IndexError, KeyError):
        pass
    return 8


def _jpeg_depth(content: bytes) -> int:
    """Return the sample precision in the frame header."""
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            return content[at + 4]
        else:
            at += 2 + _unpack(">H", content, at + 2)
    return 8


def _tiff_depth(content: bytes) -> int:
    """Return tag 258 of the first directory (TIFF 6.0; BigTIFF has wider offsets and counts)."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = _unpack(order + "H", content, 2) == 43
    pointer, count, entry_bytes = ("Q", "Q", 20) if is_big else ("L", "H", 12)
    directory = _unpack(order + pointer, content, 8 if is_big else 4)
    first = directory + struct.calcsize("=" + count)
    for number in range(_unpack(order + count, content, directory)):
        at = first + number * entry_bytes
        if _unpack(order + "H", content, at) == _TIFF_BITS_PER_SAMPLE:
            values = _unpack(order + pointer, content, at + 4)
            values_at = at + 4 + struct.calcsize("=" + pointer)
            if values * 2 > struct.calcsize("=" + pointer):
                values_at = _unpack(order + pointer, content, values_at)
            return _unpack(order + "H", content, values_at)
    return 1


def _unpack(layout: str, content: bytes, offset: int) -> int:
    """Unpack one integer."""
    value: int = struct.unpack_from(layout, content, offset)[0]
    return value
