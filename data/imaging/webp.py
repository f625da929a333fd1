"""Walk the chunks of a WebP file. Source: RFC 9649, section 2."""

import struct
from collections.abc import Iterator

_ANIMATION = 0x02
_FRAME_HEADER_BYTES = 16


def is_lossless_webp(content: bytes) -> bool:
    """Return whether every image of a WebP file is compressed without loss."""
    kinds = {kind for kind in _image_chunks(content, 12) if kind in (b"VP8 ", b"VP8L")}
    return kinds == {b"VP8L"}


def is_animated_webp(content: bytes) -> bool:
    """Return whether a WebP file says that it is an animation."""
    return (
        content[:4] == b"RIFF"
        and content[8:16] == b"WEBPVP8X"
        and bool(content[20:21] > b"\0" and content[20] & _ANIMATION)
    )


def _image_chunks(content: bytes, at: int) -> Iterator[bytes]:
    """Yield the names of the chunks that begin at `at`, with those inside the frames of an animation."""
    while at + 8 <= len(content):
        kind, size = struct.unpack_from("<4sL", content, at)
        yield kind
        if kind == b"ANMF":
            frame = content[at + 8 + _FRAME_HEADER_BYTES : at + 8 + size]
            yield from _image_chunks(frame, 0)
        at += 8 + size + size % 2
