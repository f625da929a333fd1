"""Finish a crop dataset once all its shards exist, so that other programs can open it as one thing.

Gathers the rejections, draws the contact sheet, writes the parquet file and the dataset card, and dataset.json last.
"""

import dataclasses
import heapq
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet

from data.atomic_files import atomic_file, read_json, read_jsonl, write_bytes, write_json, write_jsonl
from data.catalog.spec import DatasetSpec
from data.errors import UserError
from data.hashing import number, sha256_file
from data.imaging.decode import decode
from data.imaging.encode import encode_jpeg
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import CropRecord, DatasetManifest, ShardHeader
from data.shard_warnings import gather_warnings, sum_counts
from data.shards import (
    ShardPaths,
    check_file,
    check_size,
    read_header,
    read_records,
    read_rejections,
)
from pipeline.index import REJECTIONS, read_index_record
from pipeline.plan_files import read_planned_shards
from pipeline.quality_metrics import METRICS
from pipeline.rejection_counts import RejectionCounter, check_budget, format_counts, is_within_budget

RECORD = "dataset.json"
WARNINGS = "warnings.jsonl"
PARQUET, CONTACT_SHEET, CARD = "dataset.parquet", "contact-sheet.jpg", "README.md"
_TEXTS = ("key", "shard", "sha256", "source", "source_sha256", "phash", "source_phashes", "split", "group")
_BOX = ("top", "left", "height", "width")
PARQUET_COLUMNS = pyarrow.schema(
    [pyarrow.field(name, pyarrow.string(), nullable=False) for name in _TEXTS]
    + [pyarrow.field(name, pyarrow.int64(), nullable=False) for name in ("offset", "bytes")]
    + [pyarrow.field("downscale_factor", pyarrow.int32(), nullable=False)]
    + [pyarrow.field(f"box_{name}", pyarrow.int32(), nullable=False) for name in _BOX]
    + [pyarrow.field(f"metric_{name}", pyarrow.float64(), nullable=False) for name in METRICS]
)
"""docs/reference/formats.md explains each."""
_SHEET_ROWS, _SHEET_COLUMNS, _SHEET_CELL_PX = 6, 10, 128


def finish_dataset(
    directory: Path,
    dataset: DatasetSpec,
    index_dir: Path,
    plan_dir: Path,
    *,
    spec_hash: str,
    crop_size_px: int,
    image_extension: str,
    max_bad_fraction: float,
    progress: Progress = silent,
) -> None:
    """Check the shards, and write the files beside them, dataset.json last.

    Args:
        directory: directory of the crop dataset, with all its shards.
        dataset: the dataset as the catalog describes it.
        index_dir, plan_dir: directories of its index and of its crop plan.
        spec_hash, crop_size_px, image_extension: of the crops, as their specification says.
        max_bad_fraction: largest share of damaged images, from 0 to 1.
        progress: called with the number of shards checked.

    Raises:
        UserError: the files of a shard differ from its header, too many images are damaged, or no crop is left.
    """
    headers = _read_checked_headers(directory, plan_dir, progress)
    counter = _gather_rejections(directory, index_dir, plan_dir, headers)
    totals = _sum_totals(index_dir, headers, counter)
    check_budget(counter, totals, max_bad_fraction, dataset.name, directory / REJECTIONS)
    _require_crops(totals, counter, dataset.name)
    manifest = DatasetManifest(
        schema=DatasetManifest.VERSION,
        name=dataset.name,
        spec_hash=spec_hash,
        title=dataset.title,
        license=dataset.license,
        crop_size_px=crop_size_px,
        image_extension=image_extension,
        shards=tuple(headers),
        totals=totals,
        rejections=counter.by_reason,
        citation=dataset.citation,
        file_sha256={},
    )
    _write_files(directory, manifest)


def _write_files(directory: Path, manifest: DatasetManifest) -> None:
    """Add the warnings, and write the files beside the shards, and dataset.json with their hashes last."""
    warnings = sum_counts(header.warnings for header in manifest.shards)
    manifest = dataclasses.replace(manifest, warnings=warnings)
    write_bytes(directory / CONTACT_SHEET, draw_contact_sheet(directory, manifest))
    write_parquet(directory, manifest.shards)
    write_bytes(directory / CARD, render_card(manifest).encode())
    warned = [one.shard for one in manifest.shards if one.warnings]
    gather_warnings([ShardPaths(directory, shard).warnings for shard in warned], directory / WARNINGS)
    names = [CARD, CONTACT_SHEET, PARQUET, REJECTIONS, *([WARNINGS] if warned else [])]
    hashes = {name: sha256_file(directory / name) for name in sorted(names)}
    write_json(directory / RECORD, to_plain(dataclasses.replace(manifest, file_sha256=hashes)))


def _read_checked_headers(directory: Path, plan_dir: Path, progress: Progress) -> list[ShardHeader]:
    """Return the headers of the planned shards after comparing their files with them."""
    planned = read_planned_shards(plan_dir)
    headers = [read_header(ShardPaths(directory, shard["name"]).header) for shard in planned]
    for checked, header in enumerate(headers, 1):
        paths = ShardPaths(directory, header.shard)
        check_size(paths.tar, header.tar_bytes)
        check_file(paths.index, header.index_sha256)
        check_file(paths.manifest, header.manifest_sha256)
        progress(checked, len(headers))
    return headers


def _gather_rejections(
    directory: Path, index_dir: Path, plan_dir: Path, headers: Sequence[ShardHeader]
) -> RejectionCounter:
    """Write the rejections of index, plan and shards to one rejections.jsonl, and return their counts."""
    files = [index_dir / REJECTIONS, plan_dir / REJECTIONS]
    files += [ShardPaths(directory, header.shard).rejections for header in headers]
    counter = RejectionCounter()
    rejections = itertools.chain.from_iterable(map(read_rejections, files))
    write_jsonl(directory / REJECTIONS, map(to_plain, counter.count_each(rejections)))
    return counter


def _sum_totals(index_dir: Path, headers: Sequence[ShardHeader], counter: RejectionCounter) -> dict[str, int]:
    indexed = read_index_record(index_dir)["totals"]
    return {
        "images": indexed["images"],
        "sources": indexed["sources"],
        "crops": sum(header.samples for header in headers),
        "bytes": sum(header.image_bytes for header in headers),
        "rejected": counter.total,
    }


def _require_crops(totals: dict[str, int], counter: RejectionCounter, name: str) -> None:
    if not totals["crops"]:
        raise UserError(
            f"Dataset {name} has no crops left (rejected: {format_counts(counter.by_reason)})",
            "Relax the quality thresholds in [crops]",
        )


def is_current(manifest: DatasetManifest, dataset: DatasetSpec, max_bad_fraction: float) -> bool:
    """Return whether finishing the dataset again would give the same dataset.json.

    The catalog's texts and the damage budget change no crop, so they are not part of the directory's name. If they have
    changed, `finish_dataset` runs again and writes or refuses the dataset, and no shard is touched.
    """
    texts = (manifest.title, manifest.license, manifest.citation)
    return texts == (dataset.title, dataset.license, dataset.citation) and is_within_budget(
        manifest.totals, manifest.rejections, max_bad_fraction
    )


def read_manifest(directory: Path) -> DatasetManifest:
    """Return the content of a dataset's dataset.json.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    return from_plain(DatasetManifest, read_json(directory / RECORD), str(directory / RECORD))


def read_all_records(directory: Path, headers: Sequence[ShardHeader]) -> Iterator[CropRecord]:
    """Yield the crop records of all shards, in order."""
    for header in headers:
        yield from read_records(ShardPaths(directory, header.shard))


def draw_contact_sheet(directory: Path, manifest: DatasetManifest) -> bytes:
    """Return a JPEG of up to 60 crops at 128 x 128 pixels, chosen at random but the same every time."""
    lines = itertools.chain.from_iterable(_read_plain(directory, header) for header in manifest.shards)
    places = ((line["key"], line["shard"], line["offset"], line["bytes"]) for line in lines)
    cells = _SHEET_ROWS * _SHEET_COLUMNS
    chosen = heapq.nsmallest(cells, places, key=lambda place: (number("sheet", place[0]), place[0]))
    rows = -(-len(chosen) // _SHEET_COLUMNS)
    columns = min(len(chosen), _SHEET_COLUMNS)
    sheet = np.full((rows * _SHEET_CELL_PX, columns * _SHEET_CELL_PX, 3), 255, np.uint8)
    for place, (_, shard, offset, size) in enumerate(chosen):
        with open(ShardPaths(directory, shard).tar, "rb") as tar:
            tar.seek(offset)
            image = decode(tar.read(size))
        top, left = (place // _SHEET_COLUMNS) * _SHEET_CELL_PX, (place % _SHEET_COLUMNS) * _SHEET_CELL_PX
        small = cv2.resize(image, (_SHEET_CELL_PX, _SHEET_CELL_PX), interpolation=cv2.INTER_AREA)
        sheet[top : top + _SHEET_CELL_PX, left : left + _SHEET_CELL_PX] = small
    return encode_jpeg(sheet, quality=85)


def write_parquet(directory: Path, headers: Sequence[ShardHeader]) -> None:
    """Write dataset.parquet: the crop records, with box and metrics as separate columns, one row group for each shard.

    Only the records of one shard are in memory at a time.
    """
    with (
        atomic_file(directory / PARQUET) as file,
        pyarrow.parquet.ParquetWriter(file, PARQUET_COLUMNS, compression="zstd") as writer,
    ):
        for header in headers:
            rows = map(_make_row, _read_plain(directory, header))
            writer.write_table(pyarrow.Table.from_pylist(list(rows), schema=PARQUET_COLUMNS))


def _read_plain(directory: Path, header: ShardHeader) -> Iterator[dict[str, Any]]:
    """Yield the lines of a shard's manifest as JSON data.

    The manifest is bound to its header by a hash that was just checked, so its lines need not be checked one by one.
    """
    return read_jsonl(ShardPaths(directory, header.shard).manifest)


def _make_row(line: dict[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in line.items() if name not in ("box", "metrics")}
    row |= {f"box_{name}": value for name, value in line["box"].items()}
    return row | {f"metric_{name}": value for name, value in line["metrics"].items()}


def render_card(manifest: DatasetManifest) -> str:
    """Return the Hugging Face dataset card. Its YAML header makes `load_dataset` read only the shards."""
    splits = [
        split for split in ("train", "validation") if any(one.split == split for one in manifest.shards)
    ]
    files = "".join(f"      - split: {split}\n        path: shards/{split}-*.tar\n" for split in splits)
    totals = manifest.totals
    rejected = (
        "".join(f"- {count} {reason}\n" for reason, count in manifest.rejections.items()) or "- nothing\n"
    )
    warned = "".join(f"- {count} {reason}\n" for reason, count in manifest.warnings.items())
    return (
        "---\nconfigs:\n  - config_name: default\n    data_files:\n"
        f"{files}---\n\n# {manifest.name}: {manifest.crop_size_px}x{manifest.crop_size_px} crops\n\n"
        f"{manifest.title}. License of the images: {manifest.license}.\n\n"
        f"{manifest.citation + chr(10) + chr(10) if manifest.citation else ''}"
        f"{totals['crops']} crops of {totals['sources']} images, {totals['bytes']} bytes, "
        f"{manifest.image_extension}. `manifest/` has a record for each crop, `dataset.parquet` has the same records "
        f"as a table, and `index/` has the indexes for DALI.\n\nRejected:\n\n{rejected}"
        + (f"\nTaken with a warning, as `{WARNINGS}` lists them:\n\n{warned}" if warned else "")
    )
