"""Which bytes of a file being downloaded are there already: a journal beside it that survives a kill at any moment.

The first line says what is being fetched; each further line is a range that was written, after it was written. A torn
last line is ignored. The journal knows nothing of HTTP, and never vouches for content: that is for checksums.
"""

import json
import os
from pathlib import Path
from typing import Any

VERSION = 1

Range = tuple[int, int]
"""First byte, and the byte after the last."""


class Journal:
    """The ranges of one partial file that are on disk.

    Args:
        path: of the journal; what it holds is taken up, and what can't be read starts anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about: dict[str, Any] = {}
        """What the bytes are: url, total (0: not known), etag, modified. Empty before anything was fetched."""
        self.ranges: list[Range] = []
        """What is there: disjoint, in order."""
        self._load()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _load(self) -> None:
        try:
            first, *lines = self.path.read_bytes().split(b"\n")[:-1]
            about = json.loads(first)
            if about.pop("version") != VERSION:
                return
            ranges = [tuple(map(int, line.split())) for line in lines]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        if all(len(one) == 2 and 0 <= one[0] < one[1] for one in ranges):
            self.about, self.ranges = about, merged(ranges)

    @property
    def total(self) -> int:
        """Size of the whole file; 0 while it is not known."""
        return self.about.get("total", 0)

    @property
    def done(self) -> int:
        """Bytes that are there."""
        return sum(end - start for start, end in self.ranges)

    @property
    def frontier(self) -> int:
        """Bytes that are there without a gap from the start."""
        return self.ranges[0][1] if self.ranges and self.ranges[0][0] == 0 else 0

    def begin(self, about: dict[str, Any], ranges: list[Range]) -> None:
        """Start anew, whole or not at all: say what is being fetched, and what of it is there."""
        self.about, self.ranges = about, merged(ranges)
        lines = [json.dumps({"version": VERSION, **about}, sort_keys=True)]
        lines += [f"{start} {end}" for start, end in self.ranges]
        os.close(self._file)
        renewed = self.path.with_name(f"{self.path.name}.new")
        renewed.write_text("".join(f"{line}\n" for line in lines))
        os.replace(renewed, self.path)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)

    def note(self, start: int, end: int) -> None:
        """Write down that a range is on disk; call it after the range was written."""
        os.write(self._file, f"{start} {end}\n".encode())
        self.ranges = merged([*self.ranges, (start, end)])

    def missing(self, largest: int) -> list[Range]:
        """Return what is not there, in order, in pieces of at most `largest` bytes."""
        gaps, before = [], 0
        for start, end in [*self.ranges, (self.total, self.total)]:
            gaps += [(at, min(at + largest, start)) for at in range(before, start, largest)]
            before = end
        return gaps

    def close(self) -> None:
        """Close the file; what it holds stays."""
        os.close(self._file)


def merged(ranges: list[Range]) -> list[Range]:
    """Return the union of ranges: disjoint, not touching, in order."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
