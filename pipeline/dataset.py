"""Finish a crop dataset whose shards are all there: what makes it one thing that other people can use.

Gathers rejections, draws the contact sheet, writes the parquet and the card, and dataset.json last.
"""

import dataclasses
import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet

from data.atomic_files import atomic_file, read_json, write_bytes, write_json, write_jsonl
from data.catalog.catalog import DatasetSpec
from data.errors import UserError
from data.hashing import number, sha256_file
from data.imaging.decode import decode
from data.imaging.encode import encode_jpeg
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import CropRecord, DatasetManifest, ShardHeader
from data.shards import ShardPaths, check_file, check_size, read_header, read_records, read_rejections
from pipeline.crop_plan import planned_shards
from pipeline.index import REJECTIONS, read_record
from pipeline.rejection_counts import Tally, check_budget, is_borne, worded

RECORD = "dataset.json"
PARQUET, SHEET, CARD = "dataset.parquet", "contact-sheet.jpg", "README.md"
_TEXTS = ("key", "shard", "sha256", "source", "source_sha256", "phash", "source_phash", "split", "group")
_BOX = ("top", "left", "height", "width")
_SCORES = ("contrast", "detail", "noise", "dark", "bright", "blockiness", "border")
PARQUET_COLUMNS = pyarrow.schema(
    [pyarrow.field(name, pyarrow.string(), nullable=False) for name in _TEXTS]
    + [pyarrow.field(name, pyarrow.int64(), nullable=False) for name in ("offset", "bytes")]
    + [pyarrow.field("downscale_factor", pyarrow.int32(), nullable=False)]
    + [pyarrow.field(f"box_{name}", pyarrow.int32(), nullable=False) for name in _BOX]
    + [pyarrow.field(f"score_{name}", pyarrow.int32(), nullable=False) for name in _SCORES]
)
"""docs/formats.md says what each is."""
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
    """Write everything of a dataset that stands beside its shards, dataset.json last.

    Raises:
        UserError: a shard's files are not what its header says, or too many sources were damaged, or no crop is left.
    """
    headers = _checked_headers(directory, plan_dir, progress)
    tally = Tally()
    listed = [index_dir / REJECTIONS, plan_dir / REJECTIONS]
    listed += [ShardPaths(directory, header.shard).rejections for header in headers]
    rejections = itertools.chain.from_iterable(map(read_rejections, listed))
    write_jsonl(directory / REJECTIONS, map(to_plain, tally.through(rejections)))
    indexed = read_record(index_dir)["totals"]
    totals = {
        "images": indexed["images"],
        "sources": indexed["sources"],
        "crops": sum(header.samples for header in headers),
        "bytes": sum(header.image_bytes for header in headers),
        "rejected": tally.total,
    }
    check_budget(tally, totals, max_bad_fraction, dataset.name, directory / REJECTIONS)
    if not totals["crops"]:
        found = f"none ({worded(tally.reasons)})"
        raise UserError(
            "at least one crop", found, f"dataset {dataset.name}", "loosen the screens in [crops]"
        )
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
        rejections=tally.reasons,
        citation=dataset.citation,
        sides={},
    )
    write_bytes(directory / SHEET, contact_sheet(directory, manifest))
    write_parquet(directory, manifest.shards)
    write_bytes(directory / CARD, card(manifest).encode())
    sides = {name: sha256_file(directory / name) for name in sorted((CARD, SHEET, PARQUET, REJECTIONS))}
    write_json(directory / RECORD, to_plain(dataclasses.replace(manifest, sides=sides)))


def _checked_headers(directory: Path, plan_dir: Path, progress: Progress) -> list[ShardHeader]:
    """Return the headers of the planned shards, once their files were held against them."""
    headers = [read_header(ShardPaths(directory, shard["name"]).header) for shard in planned_shards(plan_dir)]
    for checked, header in enumerate(headers, 1):
        paths = ShardPaths(directory, header.shard)
        check_size(paths.tar, header.tar_bytes)
        for path, sha256 in ((paths.index, header.index_sha256), (paths.manifest, header.manifest_sha256)):
            check_file(path, sha256)
        progress(checked, len(headers))
    return headers


def is_current(manifest: DatasetManifest, dataset: DatasetSpec, max_bad_fraction: float) -> bool:
    """Return whether a finished dataset would be finished in the same way today.

    Neither what the catalog calls it nor how much damage is borne changes a crop, so they have no part in its name:
    where they have changed, `finish_dataset` says so anew, or refuses, and no shard is touched.
    """
    named = (manifest.title, manifest.license, manifest.citation)
    return named == (dataset.title, dataset.license, dataset.citation) and is_borne(
        manifest.totals, manifest.rejections, max_bad_fraction
    )


def read_manifest(directory: Path) -> DatasetManifest:
    """Return the content of a dataset's dataset.json.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    return from_plain(DatasetManifest, read_json(directory / RECORD), str(directory / RECORD))


def all_records(directory: Path, headers: tuple[ShardHeader, ...]) -> Iterator[CropRecord]:
    """Yield the records of all shards, in order."""
    for header in headers:
        yield from read_records(ShardPaths(directory, header.shard))


def contact_sheet(directory: Path, manifest: DatasetManifest) -> bytes:
    """Return a JPEG with a fixed random choice of the crops, 60 at the most, reduced to 128 pixels."""
    records = all_records(directory, manifest.shards)
    cells = _SHEET_ROWS * _SHEET_COLUMNS
    chosen = heapq.nsmallest(cells, records, key=lambda record: (number("sheet", record.key), record.key))
    rows = -(-len(chosen) // _SHEET_COLUMNS)
    columns = min(len(chosen), _SHEET_COLUMNS)
    sheet = np.full((rows * _SHEET_CELL_PX, columns * _SHEET_CELL_PX, 3), 255, np.uint8)
    for place, record in enumerate(chosen):
        with open(ShardPaths(directory, record.shard).tar, "rb") as tar:
            tar.seek(record.offset)
            image = decode(tar.read(record.bytes))
        top, left = (place // _SHEET_COLUMNS) * _SHEET_CELL_PX, (place % _SHEET_COLUMNS) * _SHEET_CELL_PX
        small = cv2.resize(image, (_SHEET_CELL_PX, _SHEET_CELL_PX), interpolation=cv2.INTER_AREA)
        sheet[top : top + _SHEET_CELL_PX, left : left + _SHEET_CELL_PX] = small
    return encode_jpeg(sheet, quality=85)


def write_parquet(directory: Path, headers: tuple[ShardHeader, ...]) -> None:
    """Write dataset.parquet: the crop records with box and scores as columns of their own, a row group a shard.

    No more than one shard's records are in memory.
    """
    with (
        atomic_file(directory / PARQUET) as file,
        pyarrow.parquet.ParquetWriter(file, PARQUET_COLUMNS, compression="zstd") as writer,
    ):
        for header in headers:
            rows = map(_row, read_records(ShardPaths(directory, header.shard)))
            writer.write_table(pyarrow.Table.from_pylist(list(rows), schema=PARQUET_COLUMNS))


def _row(record: CropRecord) -> dict[str, int | str]:
    row = to_plain(record)
    box, measured = row.pop("box"), row.pop("scores")
    row |= {f"box_{name}": value for name, value in box.items()}
    return row | {f"score_{name}": value for name, value in measured.items()}


def card(manifest: DatasetManifest) -> str:
    """Return the Hugging Face card; its YAML keeps `load_dataset` to the shards."""
    splits = [
        split for split in ("train", "validation") if any(one.split == split for one in manifest.shards)
    ]
    files = "".join(f"      - split: {split}\n        path: shards/{split}-*.tar\n" for split in splits)
    totals = manifest.totals
    rejected = (
        "".join(f"- {count} {reason}\n" for reason, count in manifest.rejections.items()) or "- nothing\n"
    )
    return (
        "---\nconfigs:\n  - config_name: default\n    data_files:\n"
        f"{files}---\n\n# {manifest.name}: {manifest.crop_size_px}x{manifest.crop_size_px} crops\n\n"
        f"{manifest.title}. License of the images: {manifest.license}.\n\n"
        f"{manifest.citation + chr(10) + chr(10) if manifest.citation else ''}"
        f"{totals['crops']} crops of {totals['sources']} images, {totals['bytes']} bytes, "
        f"{manifest.image_extension}. `manifest/` has a record for each, `dataset.parquet` the same as a table, "
        f"`index/` the indexes for DALI.\n\nThrown out:\n\n{rejected}"
    )
