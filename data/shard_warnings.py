"""Write and count the warnings about the images that a shard, or a dataset, was made from.

Most datasets have none. There is no file then, and the counts are empty.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import jsonl_line, write_bytes
from data.hashing import sha256_bytes
from data.record_json import to_plain
from data.records import ImageWarning


def count_warnings(warnings: Iterable[ImageWarning]) -> dict[str, int]:
    """Return the number of warnings by reason, sorted by reason."""
    return _sorted_counts(collections.Counter(str(warning.reason) for warning in warnings))


def sum_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add numbers of warnings by reason."""
    total: collections.Counter[str] = collections.Counter()
    for one in counts:
        total.update(one)
    return _sorted_counts(total)


def _sorted_counts(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def write_warnings(path: Path, warnings: Sequence[ImageWarning]) -> dict[str, Any]:
    """Write warnings, one a line; without any, leave no file. Return the fields of the shard's header about them."""
    lines = b"".join(jsonl_line(to_plain(warning)) for warning in warnings)
    _write_or_remove(path, lines)
    return {"warnings": count_warnings(warnings), "warnings_sha256": sha256_bytes(lines) if lines else ""}


def gather_warnings(files: Iterable[Path], path: Path) -> None:
    """Write the warnings of several files to one; without any, leave no file."""
    _write_or_remove(path, b"".join(file.read_bytes() for file in files))


def _write_or_remove(path: Path, content: bytes) -> None:
    """Write a file, or remove it if there is nothing to write."""
    if content:
        write_bytes(path, content)
    else:
        path.unlink(missing_ok=True)
