"""Check the chunks of a PNG, and read those that Pillow leaves aside."""

import struct
import zlib

_RAW_PROFILES = ("Raw profile type exif", "Raw profile type APP1")
_EXIF_SIGNATURE = b"Exif\0\0"


def check_chunks(content: bytes) -> None:
    """Check every chunk against its CRC, which Pillow does not do for all.

    Raises:
        ValueError: a chunk is damaged, or the file is cut off.
    """
    view, at, name = memoryview(content), 8, b""
    while name != b"IEND":
        if at + 12 > len(content):
            raise ValueError("cut off before the end of the PNG")
        size, name = struct.unpack_from(">L4s", content, at)
        if at + 12 + size > len(content):
            raise ValueError(f"PNG chunk {name!r} is cut off")
        crc = struct.unpack_from(">L", content, at + 8 + size)[0]
        if zlib.crc32(view[at + 4 : at + 8 + size]) != crc:
            raise ValueError(f"PNG chunk {name!r} has a wrong CRC")
        at += 12 + size


def read_raw_exif(info: dict[str | tuple[int, int], object]) -> bytes:
    """Return the EXIF data that ImageMagick stores as text: a name, a length, and hexadecimal digits; empty if none.

    Args:
        info: Pillow's.

    Raises:
        ValueError: the digits are damaged.
    """
    for key in _RAW_PROFILES:
        lines = str(info.get(key, "")).split("\n")
        exif = bytes.fromhex("".join(lines[3:]))
        if exif and (exif.startswith(_EXIF_SIGNATURE) or key == _RAW_PROFILES[0]):
            return exif
    return b""
