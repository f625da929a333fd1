"""Which bytes of a file being downloaded are there already: a journal beside it that survives a kill at any moment.

The first line says what is being fetched, and since when the machine runs; each further line is a range that was
written, after it was written. What was written before the machine went down may be lost, while its line is not: then
only the ranges count that are marked as safe, after the file was synced. A torn last line is ignored. The journal knows
nothing of HTTP, and never vouches for content: that is for checksums.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from data.atomic_files import write_bytes

VERSION = 2
_SAFE = b"safe"

Range = tuple[int, int]
"""First byte, and the byte after the last."""


class Journal:
    """The ranges of one partial file that are there.

    Args:
        path: of the journal; what it holds is taken up, and what can't be read starts anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about: dict[str, Any] = {}
        """What the bytes are: url, total (0: not known), etag, modified. Empty before anything was fetched."""
        self.ranges: list[Range] = []
        """What is there: disjoint, in order."""
        self._safe: list[Range] = []
        can_go_on = self._load()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if not can_go_on:
            self.begin(self.about, self.ranges)

    def _load(self) -> bool:
        """Take up what counts of what the file holds; return whether more lines may be added to it as it is."""
        try:
            first, *lines, torn = self.path.read_bytes().split(b"\n")
            about = json.loads(first)
            if about.pop("version") != VERSION:
                return True
            is_same_boot = about.pop("boot") == _boot()
            rows = [line.split() for line in lines]
            ranges = [(int(start), int(end), *mark) for start, end, *mark in rows]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return True
        if not all(mark in ([], [_SAFE]) and 0 <= start < end for start, end, *mark in ranges):
            return True
        self.about = about
        self._safe = merged([(start, end) for start, end, *mark in ranges if mark])
        self.ranges = merged([one[:2] for one in ranges]) if is_same_boot else self._safe
        return is_same_boot and not torn

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
        self._safe = self._safe if ranges else []
        lines = [json.dumps({"version": VERSION, "boot": _boot(), **about}, sort_keys=True).encode() + b"\n"]
        lines += [_line(*one) for one in self.ranges] + [_line(*one, _SAFE) for one in self._safe]
        write_bytes(self.path, b"".join(lines))
        os.close(self._file)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)

    def note(self, start: int, end: int) -> None:
        """Write down that a range was written; call it after that."""
        os.write(self._file, _line(start, end))
        self.ranges = merged([*self.ranges, (start, end)])

    def mark_safe(self, ranges: list[Range]) -> None:
        """Write down that ranges outlast a power cut; call it after the file was synced with them."""
        self._safe = merged([*self._safe, *ranges])
        os.write(self._file, b"".join(_line(*one, _SAFE) for one in self._safe))

    def distrust(self) -> None:
        """Let only the safe ranges count; call it when a sync failed, for then the others may be lost."""
        try:
            self.begin(self.about, self._safe)
        except OSError:
            self.path.unlink()

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


def _line(start: int, end: int, *mark: bytes) -> bytes:
    return b" ".join([b"%d %d" % (start, end), *mark]) + b"\n"


def _boot() -> str:
    """Return what is another after each start of the machine; where the kernel does not say, each time."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return secrets.token_hex(8)


def merged(ranges: list[Range]) -> list[Range]:
    """Return the union of ranges: disjoint, not touching, in order."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
