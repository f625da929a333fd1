"""Decode opaque RGB PNGs; check the chunks of any PNG, and read those that Pillow leaves aside."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import kornia_rs
import numpy.typing as npt

from data.exhaustion import raise_if_exhausted

_RAW_PROFILES = ("Raw profile type exif", "Raw profile type APP1")
_RAW_PROFILE_KEYS = tuple(key.encode() for key in _RAW_PROFILES)
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_LARGEST_PROFILE_BYTES = 1 << 24
_EXIF_SIGNATURE = b"Exif\0\0"


def decode_rgb(content: bytes, height: int, width: int, bits: int) -> npt.NDArray[Any]:
    """Decode an opaque RGB PNG: uint8 or uint16, height x width x 3.

    Args:
        content: the whole stored bytes.
        height: as in the header.
        width: as in the header.
        bits: 8 or 16 per channel, as in the header.

    Raises:
        Exception: damaged or cut off. A panic of Rust code is a BaseException.
    """
    decoder = kornia_rs.io.decode_image_png_u8 if bits == 8 else kornia_rs.io.decode_image_png_u16
    pixels: npt.NDArray[Any]
    try:
        pixels = decoder(content, (height, width), "rgb")
    except Exception as error:
        if "limits" not in str(error):
            raise
        check_chunks(content)
        pixels = decoder(split_large_texts(content)[0], (height, width), "rgb")
    return pixels


def check_chunks(content: bytes) -> None:
    """Check every chunk against its CRC, which Pillow does not do for all.

    Raises:
        ValueError: a chunk is damaged, or the file is cut off.
    """
    view = memoryview(content)
    for name, start, end in _chunks(content):
        crc = struct.unpack_from(">L", content, end)[0]
        if zlib.crc32(view[start - 4 : end]) != crc:
            raise ValueError(f"PNG chunk {name!r} has a wrong CRC")


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, and where its contents start and end.

    Raises:
        ValueError: the file is cut off.
    """
    at, name = 8, b""
    while name != b"IEND":
        if at + 12 > len(content):
            raise ValueError("cut off before the end of the PNG")
        size, name = struct.unpack_from(">L4s", content, at)
        if at + 12 + size > len(content):
            raise ValueError(f"PNG chunk {name!r} is cut off")
        yield name, at + 8, at + 8 + size
        at += 12 + size


def split_large_texts(content: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG without texts and profile, and the profile: for files whose texts are larger than Pillow reads.

    Returns:
        The PNG, and its ICC profile; None if there is none, empty if it is damaged or larger than 16 MiB.

    Raises:
        ValueError: the file is cut off.
    """
    kept: list[bytes] = [content[:8]]
    profile: bytes | None = None
    for name, start, end in _chunks(content):
        is_raw_exif = content.startswith(_RAW_PROFILE_KEYS, start)
        if name == b"iCCP":
            profile = _inflate(content[start:end].partition(b"\0")[2][1:])
        elif is_raw_exif or name not in _TEXTS:
            kept.append(content[start - 8 : end + 4])
    return b"".join(kept), profile


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, _LARGEST_PROFILE_BYTES)
    except zlib.error as error:
        raise_if_exhausted(error)
        return b""
    return inflated if inflater.eof else b""


def read_raw_exif(info: dict[str | tuple[int, int], object]) -> bytes:
    """Return the EXIF data that ImageMagick stores as text (name, length, hexadecimal digits); empty if there is none.

    Args:
        info: Pillow's.
    """
    for key in _RAW_PROFILES:
        lines = str(info.get(key, "")).split("\n")
        try:
            exif = bytes.fromhex("".join(lines[3:]))
        except ValueError:  # text is not checked further
            continue
        if exif and (exif.startswith(_EXIF_SIGNATURE) or key == _RAW_PROFILES[0]):
            return exif
    return b""
