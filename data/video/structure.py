"""What the structure of a video file says about whether it is whole, and a reader of single places in it."""

import dataclasses
import os
import re
from collections.abc import Iterator

_CHUNK_BYTES = 1 << 20
"""Bytes that are searched at a time for the place where a damaged file goes on."""
_MAX_SHOWN = 3
"""Damaged stretches that are listed; more are counted."""


@dataclasses.dataclass(frozen=True)
class Structure:
    """What the structure of a file says. All positions are in bytes."""

    file_bytes: int
    missing_bytes: int = 0
    """How many bytes the file ends before the end that it states."""
    ends_midway: bool = False
    """Whether the file ends within its last packet; how much is missing behind that it does not say."""
    damage: tuple[tuple[int, int], ...] = ()
    """Stretches, from and to, that hold something else than what the container has there."""
    states_duration: bool = True
    """Whether the file can state how long it is. (For a container without a duration FFmpeg estimates one.)"""
    lacks_index: bool = False
    """Whether the index without which nothing can be played is missing: the moov box of an MP4."""

    def describe(self) -> str:
        """Return what is wrong, as text; empty if nothing is."""
        found = []
        if self.missing_bytes:
            whole = self.file_bytes + self.missing_bytes
            found.append(f"its last {self.missing_bytes:,} of {whole:,} bytes are missing")
        elif self.ends_midway:
            found.append("the file ends within a packet")
        found += [f"bytes {start:,} to {end:,} are damaged" for start, end in self.damage[:_MAX_SHOWN]]
        if len(self.damage) > _MAX_SHOWN:
            found.append(f"{len(self.damage) - _MAX_SHOWN} more places are damaged")
        return "; ".join(found)


@dataclasses.dataclass(frozen=True)
class FileReader:
    """Reads single places of an open file."""

    handle: int
    size: int

    def read(self, at: int, count: int) -> bytes:
        """Return up to `count` bytes from a position on; fewer at the end of the file."""
        return os.pread(self.handle, count, at)

    def find(self, pattern: re.Pattern[bytes], start: int, end: int) -> Iterator[int]:
        """Yield where a pattern of up to 4 bytes begins, from `start` to `end`."""
        for at in range(start, end, _CHUNK_BYTES):
            for match in pattern.finditer(self.read(at, min(_CHUNK_BYTES + 3, end - at))):
                if match.start() < _CHUNK_BYTES:
                    yield at + match.start()
