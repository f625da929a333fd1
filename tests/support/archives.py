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
