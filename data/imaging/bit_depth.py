"""Read the bit depth of a stored image from its header. The index records it; decoding always gives 8 bits."""

import struct

from data.imaging import jpeg, tiff

_PALETTE = 3
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
            return (jpeg.frame(content) or (0, 8))[1]
        if format == "tiff":
            layout = tiff.read_layout(content)
            return layout.bits[0] if layout else 8
        if format == "bmp":
            return _BMP_DEPTHS[struct.unpack_from("<H", content, 28)[0]]
    except (struct.error, IndexError, KeyError):
        pass
    return 8
