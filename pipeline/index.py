"""Index a source: one row for each image, from headers and bytes; no pixel is decoded.

Rows are written as they are found, so that memory grows with a hash and a name for each image and no more.
"""

import array
import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import atomic_file, jsonl_line, read_json, read_jsonl, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, Reason, Rejection, SourceEntry
from data.sources import Source
from pipeline.rejection_counts import Tally, check_budget, images, worded

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
    group: str = "image",
    threads: int = 1,
    progress: Progress = silent,
) -> None:
    """Scan a source and write its index: entries.jsonl, rejections.jsonl and, last, index.json.

    Args:
        source: what to scan.
        name: the dataset's name, for errors.
        out_dir: where the index goes.
        least_side_px: images whose shorter side is below it are rejected.
        max_bad_fraction: more damaged files than this share of all images fail the whole.
        lossy: see `data.catalog.catalog.DatasetSpec`.
        group: see `data.catalog.catalog.DatasetSpec`.
        threads: files that are read at once.
        progress: called with images looked at.

    Raises:
        UserError: there is no usable image, or too many are damaged; nothing is written then but the list of what was
            thrown out, where something was damaged.
    """
    tally = Tally()
    first_with: dict[bytes, str] = {}
    largest = (0, 0)
    try:
        with atomic_file(out_dir / ENTRIES) as rows:
            with atomic_file(out_dir / REJECTIONS) as rejected:
                for found in source.scan(threads, progress):
                    if isinstance(found, SourceEntry):
                        largest = max(largest, (found.width, found.height), key=min)
                        found = _sift(_described(found, lossy, group), first_with, least_side_px)
                    if isinstance(found, Rejection):
                        rejected.write(jsonl_line(to_plain(tally.add(found))))
                    else:
                        rows.write(jsonl_line(vars(found)))
                if not first_with and not tally.damaged:
                    raise _nothing_usable(name, tally, largest, least_side_px)
            totals = {
                "images": images(len(first_with), tally.reasons),
                "sources": len(first_with),
                "rejected": tally.total,
            }
            check_budget(tally, totals, max_bad_fraction, name, out_dir / REJECTIONS)
            if not first_with:
                raise _nothing_usable(name, tally, largest, least_side_px)
    except BaseException:
        with contextlib.suppress(OSError):
            out_dir.rmdir()
        raise
    write_json(out_dir / RECORD, {"schema": SCHEMA, "totals": totals, "rejections": tally.reasons})


def _described(entry: SourceEntry, lossy: str, group: str) -> SourceEntry:
    """Return an entry with what the catalog knows better than the source."""
    if lossy != "by_format":
        entry = dataclasses.replace(entry, lossy=lossy == "yes")
    if group == "folder":
        return dataclasses.replace(entry, group=entry.id.rpartition("/")[0] or entry.group)
    if group != "image":
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


def _nothing_usable(name: str, tally: Tally, largest: tuple[int, int], least_side_px: int) -> UserError:
    if Reason.TOO_SMALL in tally.reasons:
        expected = f"at least one image of {least_side_px}x{least_side_px} pixels or more"
        found = f"none (the largest is {largest[0]}x{largest[1]})"
        return UserError(expected, found, f"dataset {name}", "lower [crops] size_px or use larger images")
    found = worded(tally.reasons) or "no files at all"
    return UserError("at least one image", found, f"dataset {name}", "check the path and the files in it")


class Entries(Sequence[SourceEntry]):
    """The entries of an index, in the order of the scan, read from its file as they are asked for.

    They cost 8 bytes of memory each; `read_entries` has all of them in memory, at a hundred times as much.

    Args:
        index_dir: of the index.
    """

    def __init__(self, index_dir: Path) -> None:
        self._path = index_dir / ENTRIES
        self._starts = array.array("Q")
        end = 0
        with open(self._path, "rb") as file:
            for line in file:
                self._starts.append(end)
                end += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> SourceEntry:
        with open(self._path, "rb") as file:
            file.seek(self._starts[number])
            return from_plain(SourceEntry, json.loads(file.readline()), str(self._path))

    def __iter__(self) -> Iterator[SourceEntry]:
        for value in read_jsonl(self._path):
            yield from_plain(SourceEntry, value, str(self._path))


def read_entries(index_dir: Path) -> list[SourceEntry]:
    """Return the entries of an index, in the order of the scan."""
    return list(Entries(index_dir))


def read_record(index_dir: Path) -> dict[str, Any]:
    """Return the content of index.json."""
    return read_json(index_dir / RECORD)
