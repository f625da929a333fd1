"""Decode JPEGs strictly: where libjpeg only warns, because a scan is cut short or damaged, an error is raised."""

import io
import re

import kornia_rs
import numpy as np
import numpy.typing as npt
from PIL import Image

from data.exhaustion import raise_if_exhausted

_ICC = b"ICC_PROFILE\0"
_APP2, _SCAN = 0xE2, 0xDA
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_READ_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Baseline, extended and progressive, with Huffman or arithmetic codes."""
_RESTARTS = range(0xD0, 0xD8)
_LOSSLESS_LS = 0xF7
_END_OF_DATA = re.compile(rb"\xff+[\x01-\xfe]")
"""A marker within or behind the data of a scan, restart markers included."""
_MARKER = re.compile(rb"\xff+[^\xff]", re.DOTALL)
_MAX_SEGMENTS = 10_000
"""More segments than any camera or program writes before the pixels: each has up to 64 KiB."""
_PADDING_BYTES = 64


def segments(content: bytes, at: int = 2) -> list[tuple[int, int, int]]:
    """Return marker, start and end of each segment from a position up to the next scan's header, that included.

    A file that is cut off, damaged or hostile gives the segments before the fault.
    """
    found: list[tuple[int, int, int]] = []
    while len(found) < _MAX_SEGMENTS:
        begin = _MARKER.match(content, at)
        if not begin or begin.end() + 2 > len(content):
            break
        at = begin.end() - 2  # behind the fill bytes
        marker = content[at + 1]
        end = at + 2 + (0 if marker in _BARE else int.from_bytes(content[at + 2 : at + 4], "big"))
        found.append((marker, at, end))
        if marker == _SCAN:
            break
        at = end
    return found


def frame(content: bytes) -> tuple[int, int] | None:
    """Return the marker and the bits per sample of the frame header; None if there is none."""
    for marker, start, _ in segments(content):
        if (marker in _FRAMES or marker == _LOSSLESS_LS) and start + 4 < len(content):
            return marker, content[start + 4]
    return None


def unread_kind(content: bytes) -> str:
    """Say which kind a JPEG is of that is not read; empty if it may be read."""
    found = frame(content)
    if found is None:
        return ""
    marker, bits = found
    if marker not in _READ_FRAMES:
        return f"JPEG: lossless or hierarchical (marker {marker:02X})"
    return f"JPEG: {bits} bits" if bits == 12 else ""


def decode_jpeg(content: bytes, mode: str) -> npt.NDArray[np.uint8]:
    """Decode an RGB, YCbCr or gray JPEG.

    Args:
        content: the whole stored bytes.
        mode: rgb or mono.

    Raises:
        Exception: damaged or cut off. A panic of Rust code is a BaseException.
    """
    pixels: npt.NDArray[np.uint8]
    try:
        pixels = kornia_rs.io.decode_image_jpegturbo(content, mode)
    except Exception as error:
        raise_if_exhausted(error)
        bare = _without_profile(content)
        if len(bare) == len(content):
            raise
        pixels = kornia_rs.io.decode_image_jpegturbo(bare, mode)  # a profile that lacks parts costs no pixels
    return pixels[:, :, 0] if mode == "mono" and pixels.ndim == 3 else pixels


def _without_profile(content: bytes) -> bytes:
    """Return a JPEG without the segments of its color profile."""
    kept, at = [], 0
    for marker, start, end in segments(content):
        if marker == _APP2 and content.startswith(_ICC, start + 4):
            kept.append(content[at:start])
            at = end
    return b"".join([*kept, content[at:]])


def check_scans(content: bytes, image: Image.Image) -> None:
    """Check that no scan of a JPEG ends early. For CMYK, which only Pillow reads, and Pillow hides libjpeg's warnings.

    The data of each scan is followed by some that is arbitrary: a whole scan leaves it alone, a short one is
    completed from it, and then the pixels differ.

    Args:
        content: the whole stored bytes.
        image: the image, loaded.

    Raises:
        ValueError: a scan ends early.
    """
    padded = Image.open(io.BytesIO(_pad_scans(content)), formats=["JPEG"])
    padded.load()
    if padded.tobytes() != image.tobytes():
        raise ValueError("premature end of JPEG data")


def _pad_scans(content: bytes) -> bytes:
    """Return a JPEG with arbitrary bytes behind the data of each scan and each restart interval.

    Behind a scan stand further restart intervals of such bytes: they are read if the scan lacks intervals at its end.
    """
    random = np.random.default_rng(0)
    paddings = [random.integers(1, 255, _PADDING_BYTES, np.uint8).tobytes() for _ in _RESTARTS]
    parts, at, restart = [], 0, 0
    search_from = next((end for marker, _, end in segments(content) if marker == _SCAN), len(content))
    while found := _END_OF_DATA.search(content, search_from):
        marker = content[found.end() - 1]
        parts += [content[at : found.start()], paddings[restart]]
        at, search_from = found.start(), found.end()
        if marker in _RESTARTS:
            restart = (marker + 1) % 8
            continue
        numbers = [(restart + more) % 8 for more in range(8)]
        parts += [bytes([0xFF, 0xD0 + number]) + paddings[number] for number in numbers]
        restart = 0
        ahead = segments(content, at)  # tables and the next scan
        if not ahead or ahead[-1][0] != _SCAN:
            break
        search_from = ahead[-1][2]
    return b"".join([*parts, content[at:]])
