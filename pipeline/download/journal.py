"""Record which byte ranges of a partial file are present, in a journal that survives a kill at any moment.

The first line says which file is being fetched, and identifies the current boot of the machine. Each further line is a
byte range, added after its bytes were written. A crash of the machine may lose these bytes but keep the line, so after
a reboot only ranges marked as safe count, which were synced to the disk. An incomplete last line is ignored. The
journal knows nothing of HTTP and does not vouch for content; checksums do.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from data.atomic_files import write_bytes
from data.exhaustion import raise_if_exhausted

VERSION = 2
_SAFE = b"safe"

Range = tuple[int, int]
"""First byte, and the byte after the last."""


class Journal:
    """The ranges of one partial file that are present.

    Args:
        path: path of the journal. An existing journal is continued; an unreadable one starts empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about: dict[str, Any] = {}
        """The file being fetched: url, total (size in bytes; 0: unknown), etag, modified. Empty at the beginning."""
        self.ranges: list[Range] = []
        """Ranges that are present: disjoint, in order."""
        self._safe: list[Range] = []
        can_append = self._load()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if not can_append:
            self.restart(self.about, self.ranges)

    def _load(self) -> bool:
        """Load the ranges in the file that still count; return whether lines can be appended to it as it is."""
        try:
            first, *lines, torn = self.path.read_bytes().split(b"\n")
            about = json.loads(first)
            if about.pop("version") != VERSION:
                return True
            is_same_boot = about.pop("boot") == _read_boot_id()
            ranges = [_parse_line(line) for line in lines]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise_if_exhausted(error)
            return True
        self.about = about
        self._safe = merge_ranges([one for one, is_safe in ranges if is_safe])
        self.ranges = merge_ranges([one for one, _ in ranges]) if is_same_boot else self._safe
        return is_same_boot and not torn

    @property
    def total(self) -> int:
        """Size of the whole file in bytes; 0 while unknown."""
        return int(self.about.get("total", 0))

    @property
    def done(self) -> int:
        """Number of bytes present."""
        return sum(end - start for start, end in self.ranges)

    @property
    def frontier(self) -> int:
        """Number of bytes present without a gap from the start."""
        return self.ranges[0][1] if self.ranges and self.ranges[0][0] == 0 else 0

    def restart(self, about: dict[str, Any], ranges: list[Range]) -> None:
        """Replace the journal atomically: describe the file being fetched, and the ranges that are present."""
        self.about, self.ranges = about, merge_ranges(ranges)
        self._safe = self._safe if ranges else []
        header = {"version": VERSION, "boot": _read_boot_id(), **about}
        lines = [json.dumps(header, sort_keys=True).encode() + b"\n"]
        lines += [_format_line(*one) for one in self.ranges]
        lines += [_format_line(*one, _SAFE) for one in self._safe]
        write_bytes(self.path, b"".join(lines))
        replaced = os.open(
            self.path, os.O_WRONLY | os.O_APPEND
        )  # before the old one is closed: it may have vanished
        os.close(self._file)
        self._file = replaced

    def add(self, start: int, end: int) -> None:
        """Add a range. Call this after its bytes were written."""
        os.write(self._file, _format_line(start, end))
        self.ranges = merge_ranges([*self.ranges, (start, end)])

    def mark_safe(self, ranges: list[Range]) -> None:
        """Mark ranges as safe from a power failure. Call this after the file was synced with them."""
        self._safe = merge_ranges([*self._safe, *ranges])
        os.write(self._file, b"".join(_format_line(*one, _SAFE) for one in self._safe))

    def keep_only_safe(self) -> None:
        """Drop all ranges that are not safe. Call this after a failed sync, since their bytes may be lost."""
        try:
            self.restart(self.about, self._safe)
        except OSError:
            self.path.unlink()

    def missing(self, max_bytes: int) -> list[Range]:
        """Return the missing ranges, in order, in pieces of at most `max_bytes` bytes."""
        gaps: list[Range] = []
        previous_end = 0
        for start, end in [*self.ranges, (self.total, self.total)]:
            gaps += [(at, min(at + max_bytes, start)) for at in range(previous_end, start, max_bytes)]
            previous_end = end
        return gaps

    def close(self) -> None:
        """Close the file. Its content stays."""
        os.close(self._file)


def _format_line(start: int, end: int, *mark: bytes) -> bytes:
    return b" ".join([b"%d %d" % (start, end), *mark]) + b"\n"


def _parse_line(line: bytes) -> tuple[Range, bool]:
    """Return the range in a line, and whether it is marked as safe.

    Raises:
        ValueError: it is not a line of a journal.
    """
    first, last, *mark = line.split()
    start, end = int(first), int(last)
    if mark not in ([], [_SAFE]) or not 0 <= start < end:
        raise ValueError(line)
    return (start, end), bool(mark)


def _read_boot_id() -> str:
    """Return an id of the machine's current boot; if the kernel has none, another one each time."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return secrets.token_hex(8)


def merge_ranges(ranges: list[Range]) -> list[Range]:
    """Return the union of ranges: disjoint, not touching, in order."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
