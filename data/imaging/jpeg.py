"""Decode JPEGs strictly: where libjpeg only warns, because a scan is cut short or damaged, an error is raised.

So it is where a whole scan is missing, of which libjpeg says nothing. What costs no pixel costs no image.
"""

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import simplejpeg

from data.imaging.image_warnings import warn
from data.records import WarningReason

_ICC = b"ICC_PROFILE\0"
_APP2, _SCAN, _END = 0xE2, 0xDA, 0xD9
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_READ_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive, with Huffman codes."""
_PROGRESSIVE = 0xC2
_ARITHMETIC = frozenset(range(0xC9, 0xD0))
_LOSSLESS_LS = 0xF7
_END_OF_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
"""The marker behind the data of a scan; no restart marker, which stands within."""
_MARKER = re.compile(rb"\xff+[^\xff]", re.DOTALL)
_MAX_SEGMENTS = 10_000
"""More segments than any camera or program writes before the pixels: each has up to 64 KiB."""
_EXTRA_BYTES = re.compile("([0-9]+) extraneous bytes before marker 0xd9")
_REPAIRED = (WarningReason.EXTRA_BYTES, WarningReason.UNREADABLE_PROFILE)
_PATTERN_BYTES = 32
"""Different bytes in the longest pattern that is taken for padding."""
_COEFFICIENTS = 64
_COLORS = {"rgb": "RGB", "mono": "GRAY", "cmyk": "CMYK"}


def segments(content: bytes, at: int = 2) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment from a position up to the next scan's header, that included.

    A file that is cut off, damaged or hostile gives the segments before the fault.
    """
    for _ in range(_MAX_SEGMENTS):
        begin = _MARKER.match(content, at)
        if not begin or begin.end() + 2 > len(content):
            break
        at = begin.end() - 2  # behind the fill bytes
        marker = content[at + 1]
        end = at + 2 + (0 if marker in _BARE else int.from_bytes(content[at + 2 : at + 4], "big"))
        yield marker, at, end
        if marker == _SCAN:
            break
        at = end


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
        is_arithmetic = marker in _ARITHMETIC
        kind = "arithmetic codes, which show no damage" if is_arithmetic else "lossless or hierarchical"
        return f"JPEG: {kind} (marker {marker:02X})"
    return f"JPEG: {bits} bits" if bits == 12 else ""


def decode_jpeg(content: bytes, mode: str) -> npt.NDArray[np.uint8]:
    """Decode a JPEG.

    Args:
        content: the whole stored bytes.
        mode: rgb, mono or cmyk: as it is stored, but YCbCr as rgb and YCCK as cmyk.

    Returns:
        Height x width for mono, otherwise height x width x 3 or 4.

    Raises:
        ValueError: damaged, cut off, or without all its scans.
        MemoryError: there is not enough memory.
    """
    _check_scans(content)
    pixels = _decode_repaired(content, mode, set(_REPAIRED))
    return pixels[:, :, 0] if mode == "mono" and pixels.ndim == 3 else pixels


def _decode_repaired(content: bytes, mode: str, allowed: set[WarningReason]) -> npt.NDArray[np.uint8]:
    """Decode a JPEG; where libjpeg warns of what costs no pixel, without that, once for each reason allowed."""
    try:
        return _decode(content, mode)
    except ValueError as error:
        repaired, reason, detail = _repair(content, str(error))
        if len(repaired) == len(content) or reason not in allowed:
            raise
    pixels = _decode_repaired(repaired, mode, allowed - {reason})
    warn(reason, detail)
    return pixels


def _repair(content: bytes, problem: str) -> tuple[bytes, WarningReason, str]:
    """Return a JPEG without what costs it no pixel: bytes before its end, or a profile; unchanged if it is neither.

    Args:
        content: the whole stored bytes.
        problem: libjpeg's message.
    """
    found = _EXTRA_BYTES.search(problem)
    if found:
        bare = _without_extra_bytes(content, int(found[1]))
        return bare, WarningReason.EXTRA_BYTES, f"{found[1]} bytes between the pixels and the end marker"
    detail = "the profile is damaged or lacks parts; the colors count as sRGB"
    return _without_profile(content), WarningReason.UNREADABLE_PROFILE, detail


def _without_extra_bytes(content: bytes, count: int) -> bytes:
    """Return a JPEG without the bytes before its end marker; unchanged if they may be coded pixels.

    Coded pixels are left over where damage has brought the decoder out of step. They look like noise; what programs and
    cameras leave there is one byte repeated, a pattern, or text.
    """
    end = _find_end(content)
    extra = content[end - count : end]
    if len(set(extra)) > min(count / 2, _PATTERN_BYTES) and not extra.isascii():
        return content
    return content[: end - count] + content[end:]


def _find_end(content: bytes) -> int:
    """Return the position of the marker behind the last scan of a JPEG; 0 if there is none."""
    return max((end for _, end in _scans(content)), default=0)


def _scans(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the header of each scan starts, and the position of the marker behind its data."""
    ahead = list(segments(content))
    while ahead and ahead[-1][0] == _SCAN:
        _, start, end = ahead[-1]
        if end > len(content):
            break
        behind = _END_OF_SCAN.search(content, end)
        yield start, behind.start() if behind else len(content)
        has_more = behind and content[behind.end() - 1] != _END
        ahead = list(segments(content, behind.end() - 2)) if behind and has_more else []


def _decode(content: bytes, mode: str) -> npt.NDArray[np.uint8]:
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(content, _COLORS[mode], strict=True)
    except ValueError as error:
        if "memory" in str(error).lower():
            raise MemoryError(str(error)) from None
        raise
    return pixels


def _without_profile(content: bytes) -> bytes:
    """Return a JPEG without the segments of its color profile."""
    kept, at = [], 0
    for marker, start, end in segments(content):
        if marker == _APP2 and content.startswith(_ICC, start + 4):
            kept.append(content[at:start])
            at = end
    return b"".join([*kept, content[at:]])


def _check_scans(content: bytes) -> None:
    """Check that the scans of a JPEG give every coefficient of every component to its last bit.

    libjpeg takes zeros for what is missing, so a progressive JPEG without its last scans is blurred, and one whose
    components have a scan each loses a color.

    Raises:
        ValueError: a scan is missing.
    """
    ahead = list(segments(content))
    marker, at = next(((one, at) for one, at, _ in ahead if one in _READ_FRAMES), (0, 0))
    if not marker or ahead[-1][0] != _SCAN or ahead[-1][2] > len(content):
        return  # cut off, which libjpeg says
    components = content[at + 10 : at + 10 + 3 * content[at + 9] : 3]
    if marker != _PROGRESSIVE and content[ahead[-1][1] + 4] == len(components):
        return  # the usual case: one scan
    missing = {name: [True] * _COEFFICIENTS for name in components}
    for start, _ in _scans(content):
        count = content[start + 4]
        names, spectrum = (
            content[start + 5 : start + 5 + 2 * count : 2],
            content[start + 5 + 2 * count : start + 8 + 2 * count],
        )
        first, last, bits = spectrum if marker == _PROGRESSIVE else (0, _COEFFICIENTS - 1, 0)
        for name in names:
            missing.get(name, [])[first : last + 1] = [bits % 16 > 0] * (last + 1 - first)
    if any(map(any, missing.values())):
        raise ValueError("the file ends before all its scans; the image is blurred or lacks a color")
