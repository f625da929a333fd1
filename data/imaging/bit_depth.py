"""How many bits a channel a stored image has, from its header alone: the index tells it, decoding gives 8 always."""

import struct

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_PALETTE = 3
_TIFF_BITS_PER_SAMPLE = 258
_BMP_DEPTHS = {1: 8, 4: 8, 8: 8, 16: 5, 24: 8, 32: 8}


def bit_depth(content: bytes, format: str) -> int:
    """Return the bits of one channel of one pixel, as stored; of a palette those of its colors.

    Args:
        content: the stored bytes, or at least the header.
        format: as `data.imaging.decode.probe` names it.

    Returns:
        1 to 64; 8 where the header does not say.
    """
    try:
        if format == "png":
            return 8 if content[25] == _PALETTE else content[24]
        if format == "jpeg":
            return _of_jpeg(content)
        if format == "tiff":
            return _of_tiff(content)
        if format == "bmp":
            return _BMP_DEPTHS[struct.unpack_from("<H", content, 28)[0]]
    except (struct.error, IndexError, KeyError):
        pass
    return 8


def _of_jpeg(content: bytes) -> int:
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
            at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    return 8


def _of_tiff(content: bytes) -> int:
    """Read tag 258 of the first directory (TIFF 6.0; BigTIFF has wider offsets and counts)."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    pointer, count, entry = ("Q", "Q", 20) if big else ("L", "H", 12)
    directory = struct.unpack_from(order + pointer, content, 8 if big else 4)[0]
    first = directory + struct.calcsize("=" + count)
    for number in range(struct.unpack_from(order + count, content, directory)[0]):
        at = first + number * entry
        if struct.unpack_from(order + "H", content, at)[0] == _TIFF_BITS_PER_SAMPLE:
            values = struct.unpack_from(order + pointer, content, at + 4)[0]
            place = at + 4 + struct.calcsize("=" + pointer)
            if values * 2 > struct.calcsize("=" + pointer):
                place = struct.unpack_from(order + pointer, content, place)[0]
            return struct.unpack_from(order + "H", content, place)[0]
    return 1
