"""Archives for tests, made on the spot."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from images import textured
from PIL import Image

from data.records import Rejection, SourceEntry
from data.sources.archive import ArchiveSource


def encoded_image(seed: int, height: int = 20, width: int = 30) -> bytes:
    """Return a textured image as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(textured(seed, height, width)).save(buffer, "PNG")
    return buffer.getvalue()


def make_tar(members: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar with these members, content by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def scan_archive(path: Path, members: str = "") -> list[SourceEntry | Rejection]:
    """Scan one archive with two threads."""
    return list(ArchiveSource([path], members).scan(threads=2))


def reader_of(content: bytes) -> Callable[[int, int], bytes]:
    """Return a function that reads from `content`, as `data.sources.tar_format.walk` wants it."""
    return lambda offset, size: content[offset : offset + size]


def tar_member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, size: int | None = None, **fields: object
) -> bytes:
    """Return a header and the content behind it, padded to whole blocks.

    Args:
        name: of the member, at most 100 bytes.
        content: what follows the header.
        kind: the member's type.
        size: in the header; None for the size of the content.
        fields: others of TarInfo, such as `pax_headers`.
    """
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    info.size = len(content) if size is None else size
    header = info.tobuf(tarfile.PAX_FORMAT if "pax_headers" in fields else tarfile.GNU_FORMAT)
    return header + content + bytes(-len(content) % 512)


def sealed(header: bytes) -> bytes:
    """Return a tar header of 512 bytes with a checksum that is right."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]
