"""Zips that are cut into several files, read in place as one: x.zip.001, x.zip.002 …, or x.z01, x.z02 … and x.zip.

The files of the first kind are a zip's bytes cut anywhere, as 7-Zip and `split` do it. Those of the second kind are the
disks of a zip (PKWARE, APPNOTE.TXT 6.3.10, section 8): it counts offsets from the start of each.
"""

import itertools
import os
from pathlib import Path

from data.sources.zip_directory import ZipFault


def find_parts(path: Path) -> list[Path]:
    """Return the files of a zip in order: of a split one those beside `path`, else `path` alone.

    Args:
        path: for a split zip its .zip.001, or the .zip beside its .z01.

    Raises:
        ZipFault: a part is missing between others.
    """
    name = path.name.lower()
    if name.endswith(".zip.001"):
        return [path, *_count_up(path, path.name[:-3] + "{:03}", 2)]
    if name.endswith(".zip"):
        return [*_count_up(path, path.name[:-2] + "{:02}", 1), path]
    return [path]


def _count_up(path: Path, pattern: str, first: int) -> list[Path]:
    """Return the files beside `path` whose names have one number after the other."""
    parts: list[Path] = []
    for number in itertools.count(first):
        part, next_part = (path.with_name(pattern.format(one)) for one in (number, number + 1))
        if not part.exists():
            if next_part.exists():
                raise ZipFault(f"its part {part.name} is missing beside {next_part.name}")
            return parts
        parts.append(part)
    raise AssertionError("unreachable")


class JoinedFile:
    """Several files, read as one. Several threads may read at once.

    Args:
        paths: the files, in order.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._files = [open(path, "rb") for path in paths]  # noqa: SIM115  (open for as long as the source lives)
        sizes = [os.fstat(file.fileno()).st_size for file in self._files]
        self.starts = tuple(itertools.accumulate(sizes[:-1], initial=0))
        """Position of the first byte of each file."""
        self.bytes = sum(sizes)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer if a file has become smaller."""
        pieces = []
        for file, start, end in zip(self._files, self.starts, (*self.starts[1:], self.bytes), strict=True):
            first, last = max(offset, start), min(offset + size, end)
            if first < last:
                pieces.append(os.pread(file.fileno(), last - first, first - start))
        return b"".join(pieces)
