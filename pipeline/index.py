"""Index a source: one row for each picture, from headers and bytes; no pixel is decoded.

Rows are written as they are found, so that memory grows with a hash for each picture and no more.
"""

import collections
import contextlib
import dataclasses
import re
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.files import atomic_file, jsonl_line, read_json, read_jsonl, write_json
from data.plain import from_plain, to_plain
from data.progress import Progress, silent
from data.records import BAD_SOURCE_REASONS, SCHEMA, Reason, Rejection, SourceEntry
from data.sources import Source

ENTRIES = "entries.jsonl"
REJECTIONS = "rejections.jsonl"
RECORD = "index.json"


def index_source(
    source: Source,
    name: str,
    out_dir: Path,
    *,
    least_side_px: int,
    max_bad_fraction: float,
    lossy: str = "by_format",
    group: str = "picture",
    threads: int = 1,
    progress: Progress = silent,
) -> None:
    """Scan a source and write its index: entries.jsonl, rejections.jsonl and, last, index.json.

    Args:
        source: what to scan.
        name: the dataset's name, for errors.
        out_dir: where the index goes.
        least_side_px: pictures whose shorter side is below it are rejected.
        max_bad_fraction: more damaged files than this share of all pictures fail the whole.
        lossy: see `data.catalogue.DatasetSpec`.
        group: see `data.catalogue.DatasetSpec`.
        threads: files that are read at once.
        progress: called with pictures looked at.

    Raises:
        UserError: there is no usable picture, or too many are damaged; nothing is written then.
    """
    rejections: list[Rejection] = []
    first_with: dict[bytes, str] = {}
    try:
        with atomic_file(out_dir / REJECTIONS) as rejected, atomic_file(out_dir / ENTRIES) as rows:
            for found in source.scan(threads, progress):
                if isinstance(found, SourceEntry):
                    found = _sift(_described(found, lossy, group), first_with, least_side_px)
                if isinstance(found, Rejection):
                    rejections.append(found)
                    rejected.write(jsonl_line(to_plain(found)))
                else:
                    rows.write(jsonl_line(vars(found)))
            if not first_with:
                raise _nothing_usable(name, rejections, least_side_px)
            check_budget(rejections, len(first_with), max_bad_fraction, name)
    except BaseException:
        with contextlib.suppress(OSError):
            out_dir.rmdir()
        raise
    write_json(
        out_dir / RECORD,
        {
            "schema": SCHEMA,
            "totals": {"sources": len(first_with), "rejected": len(rejections)},
            "rejections": count_reasons(rejections),
        },
    )


def _described(entry: SourceEntry, lossy: str, group: str) -> SourceEntry:
    """Return an entry with what the catalogue knows better than the source."""
    if lossy != "by_format":
        entry = dataclasses.replace(entry, lossy=lossy == "yes")
    if group == "folder":
        return dataclasses.replace(entry, group=entry.id.rpartition("/")[0] or entry.group)
    if group != "picture":
        found = re.search(group, entry.id)
        return dataclasses.replace(entry, group=found.group(1) or entry.group) if found else entry
    return entry


def _sift(entry: SourceEntry, first_with: dict[bytes, str], least_side_px: int) -> SourceEntry | Rejection:
    """Reject what is too small or was seen before."""
    if min(entry.height, entry.width) < least_side_px:
        detail = f"{entry.width}x{entry.height}; the shorter side must be at least {least_side_px}"
        return Rejection(entry.id, "index", Reason.TOO_SMALL, detail)
    first = first_with.setdefault(bytes.fromhex(entry.sha256), entry.id)
    if first != entry.id:
        return Rejection(entry.id, "index", Reason.DUPLICATE, f"the same bytes as {first}")
    return entry


def _nothing_usable(name: str, rejections: list[Rejection], least_side_px: int) -> UserError:
    counts = count_reasons(rejections)
    small = [
        rejection.detail.split(";")[0] for rejection in rejections if rejection.reason is Reason.TOO_SMALL
    ]
    if small:
        largest = max(small, key=lambda size: min(map(int, size.split("x"))))
        expected = f"at least one picture of {least_side_px}x{least_side_px} pixels or more"
        found = f"none (the largest is {largest})"
        return UserError(expected, found, f"dataset {name}", "lower [crops] size_px or use larger pictures")
    found = ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "no files at all"
    return UserError("at least one picture", found, f"dataset {name}", "check the path and the files in it")


def check_budget(rejections: list[Rejection], good: int, max_bad_fraction: float, name: str) -> None:
    """Fail a dataset of which too much is damaged.

    Args:
        rejections: all that was thrown out so far.
        good: pictures that were not.
        max_bad_fraction: 0 to 1.
        name: of the dataset, for the error.

    Raises:
        UserError: more than that share of the pictures is unreadable or unsupported; it carries the reasons.
    """
    bad = [rejection for rejection in rejections if rejection.reason in BAD_SOURCE_REASONS]
    if len(bad) > max_bad_fraction * (good + len(bad)):
        shown = "; ".join(f"{one.id}: {one.reason} ({one.detail})" for one in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise UserError(
            f"at most {max_bad_fraction:.2%} damaged pictures",
            f"{len(bad)} of {good + len(bad)} ({shown}{more})",
            f"dataset {name}",
            "mend or remove them, or raise [crops] max_bad_fraction",
        )


def count_reasons(rejections: list[Rejection]) -> dict[str, int]:
    """Return how many rejections there are for each reason, sorted by reason."""
    return dict(sorted(collections.Counter(str(rejection.reason) for rejection in rejections).items()))


def read_entries(index_dir: Path) -> list[SourceEntry]:
    """Return the entries of an index, in the order of the scan."""
    return [from_plain(SourceEntry, value, str(index_dir)) for value in read_jsonl(index_dir / ENTRIES)]


def read_record(index_dir: Path) -> dict[str, Any]:
    """Return the content of index.json."""
    return read_json(index_dir / RECORD)
