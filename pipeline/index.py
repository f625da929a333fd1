"""Index a source: write one row for each image, from its header and bytes. No pixels are decoded.

Rows are written as they are found, so memory holds only a hash and a name for each image.
"""

import array
import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast, overload

from data.atomic_files import atomic_file, jsonl_line, read_json, read_jsonl, write_json
from data.catalog.spec import name_group
from data.errors import UserError
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, Rejection, RejectionReason, SourceEntry
from data.sources import Source
from data.sources.member_names import ARCHIVES_LEFT_OUT
from pipeline.rejection_counts import RejectionCounter, check_budget, count_images, format_counts

ENTRIES = "entries.jsonl"
REJECTIONS = "rejections.jsonl"
RECORD = "index.json"


def index_source(
    source: Source,
    name: str,
    out_dir: Path,
    *,
    min_side_px: int,
    max_bad_fraction: float,
    lossy: str = "by_format",
    group: str = "image",
    threads: int = 1,
    progress: Progress = silent,
) -> str:
    """Scan a source and write its index: entries.jsonl, rejections.jsonl and, last, index.json.

    Args:
        source: the source to scan.
        name, out_dir: name of the dataset, for errors; directory of the index.
        min_side_px: images whose shorter side is below this are rejected.
        max_bad_fraction: largest share of damaged images, from 0 to 1; more fail the whole index.
        lossy, group: see `data.catalog.spec.DatasetSpec`.
        threads, progress: number of files to read at once; called with the number of images examined.

    Returns:
        Lines to print: which archives inside the source are left out, and that `group` joins no images.

    Raises:
        UserError: no image is usable, or too many are damaged. Then only a list of damaged images is written.
    """
    index = _IndexFilter(lossy, group, min_side_px)
    with _removed_if_empty(out_dir), atomic_file(out_dir / ENTRIES) as rows:
        with atomic_file(out_dir / REJECTIONS) as rejected:
            for found in map(index.filter, source.scan(threads, progress)):
                is_rejected = isinstance(found, Rejection)
                (rejected if is_rejected else rows).write(jsonl_line(to_plain(found)))
            if not index.rejections.damaged:
                index.require_sources(name)
        totals = index.totals()
        check_budget(index.rejections, totals, max_bad_fraction, name, out_dir / REJECTIONS)
        index.require_sources(name)
    missing_group = index.describe_missing_group(name)
    record = {"schema": SCHEMA, "totals": totals, "rejections": index.rejections.by_reason}
    notes = [*source.notes, *missing_group]
    write_json(out_dir / RECORD, record | ({"notes": notes} if notes else {}))
    return "\n".join([*index.describe_left_out(name), *missing_group])


@contextlib.contextmanager
def _removed_if_empty(directory: Path) -> Iterator[None]:
    """After an error, remove the directory if nothing was written to it."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            directory.rmdir()
        raise


class _IndexFilter:
    """Apply the catalog's knowledge to scanned entries, reject those of no use, and count."""

    def __init__(self, lossy: str, group: str, min_side_px: int) -> None:
        self.lossy, self.group, self.min_side_px = lossy, group, min_side_px
        self.rejections = RejectionCounter()
        self._first_with: dict[bytes, str] = {}
        self._largest = (0, 0)
        self._has_groups = False
        self._archives, self._first_archive = 0, ""

    @property
    def sources(self) -> int:
        """Number of accepted entries."""
        return len(self._first_with)

    def filter(self, found: SourceEntry | Rejection) -> SourceEntry | Rejection:
        """Return the entry to write, or count and return why the image is rejected."""
        if isinstance(found, SourceEntry):
            self._has_groups = self._has_groups or bool(name_group(found.id, self.group))
            self._largest = max(self._largest, (found.width, found.height), key=min)
            found = self._reject_small_or_repeated(_apply_catalog(found, self.lossy, self.group))
        if isinstance(found, SourceEntry):
            return found
        if found.detail in ARCHIVES_LEFT_OUT:
            self._archives += 1
            self._first_archive = self._first_archive or f"{found.id}, {found.detail}"
        return self.rejections.add(found)

    def describe_missing_group(self, name: str) -> list[str]:
        """Say that no image has a group as the catalog defines them; empty if one has, or if each is to be alone."""
        if self.group == "image" or self._has_groups:
            return []
        return [
            f"The group of dataset {name} is {self.group!r}, but no image's name has such a group: each is alone"
        ]

    def describe_left_out(self, name: str) -> list[str]:
        """Say how many archives are left out, each of which may hold many images; empty if none is."""
        if not self._archives:
            return []
        others = f" ({self._archives} archives in all)" if self._archives > 1 else ""
        return [f"Left out of {name}: {self._first_archive}{others}"]

    def _reject_small_or_repeated(self, entry: SourceEntry) -> SourceEntry | Rejection:
        if min(entry.height, entry.width) < self.min_side_px:
            detail = f"{entry.width}x{entry.height}; the shorter side must be at least {self.min_side_px}"
            return Rejection(entry.id, "index", RejectionReason.TOO_SMALL, detail)
        first = self._first_with.setdefault(bytes.fromhex(entry.sha256), entry.id)
        if first != entry.id:
            return Rejection(entry.id, "index", RejectionReason.DUPLICATE, f"the same bytes as {first}")
        return entry

    def totals(self) -> dict[str, int]:
        """Return the totals that index.json has."""
        return {
            "images": count_images(self.sources, self.rejections.by_reason),
            "sources": self.sources,
            "rejected": self.rejections.total,
        }

    def require_sources(self, name: str) -> None:
        """Raise UserError if no image is usable."""
        if self.sources:
            return
        if RejectionReason.TOO_SMALL in self.rejections.by_reason:
            raise UserError(
                f"Dataset {name} has no image of at least {self.min_side_px}x{self.min_side_px} pixels; the largest is "
                f"{self._largest[0]}x{self._largest[1]}",
                "Lower [crops] size_px or use larger images",
            )
        found = format_counts(self.rejections.by_reason) or "no files at all"
        left_out = "".join(f". {line}" for line in self.describe_left_out(name))
        raise UserError(
            f"Dataset {name} has no images (found: {found}){left_out}", "Check the path and the files in it"
        )


def _apply_catalog(entry: SourceEntry, lossy: str, group: str) -> SourceEntry:
    """Return an entry with `lossy` and `group` as the catalog defines them."""
    if lossy != "by_format":
        entry = dataclasses.replace(entry, lossy=lossy == "yes")
    named = name_group(entry.id, group)
    return dataclasses.replace(entry, group=named) if named else entry


class Entries(Sequence[SourceEntry]):
    """The entries of an index in scan order, read from the file on demand.

    Each entry costs 8 bytes of memory. `read_entries` loads all of them, which needs a hundred times as much.

    Args:
        index_dir: directory of the index.
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

    @overload
    def __getitem__(self, place: int) -> SourceEntry: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[SourceEntry]: ...

    def __getitem__(self, place: int | slice) -> SourceEntry | Sequence[SourceEntry]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        with open(self._path, "rb") as file:
            file.seek(self._starts[place])
            return from_plain(SourceEntry, json.loads(file.readline()), str(self._path))

    def __iter__(self) -> Iterator[SourceEntry]:
        for value in read_jsonl(self._path):
            yield from_plain(SourceEntry, value, str(self._path))


def read_entries(index_dir: Path) -> list[SourceEntry]:
    """Return the entries of an index in scan order."""
    return list(Entries(index_dir))


def read_index_record(index_dir: Path) -> dict[str, Any]:
    """Return the content of index.json: `totals` and `rejections`."""
    return cast(dict[str, Any], read_json(index_dir / RECORD))
