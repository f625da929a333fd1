"""Select crops for training from one or more datasets, without touching a shard.

Rejects crops whose source image is also in a benchmark, near duplicates, and blurred crops. Then writes filtered DALI
indexes, whose samples are in a random order that the seed fixes.
"""

import dataclasses
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data.atomic_files import atomic_file, jsonl_line, read_json, write_bytes, write_json
from data.errors import UserError
from data.hashing import number, sha256_bytes
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import (
    SCHEMA,
    CropRecord,
    DatasetManifest,
    Rejection,
    RejectionReason,
    SelectedShard,
    SelectionManifest,
    SourceEntry,
)
from data.shards import ShardPaths, check_file, encode_index, read_index, read_records
from data.sources import Source
from pipeline.dataset import read_manifest
from pipeline.hash_index import HashIndex
from pipeline.index import REJECTIONS
from pipeline.perceptual_hash import perceptual_hash
from pipeline.rejection_counts import RejectionCounter, format_counts

RECORD = "selection.json"
SPLITS = ("train", "validation")


@dataclasses.dataclass(frozen=True)
class SelectionSettings:
    """Everything a selection depends on besides its datasets and benchmarks."""

    near_duplicate_bits: int
    """Crops whose perceptual hashes differ in at most this many of 64 bits are near duplicates; -1 turns it off."""
    leakage_bits: int
    """The same for source images against the images of the benchmarks; -1 turns it off."""
    min_sharpness: float
    """Smallest `sharpness` of pipeline.quality_metrics, in levels (0 to 255)."""
    max_train: int
    """Largest number of training crops, chosen at random; 0 for all."""
    max_validation: int
    """Largest number of validation crops, chosen at random; 0 for all."""
    seed: int


class BenchmarkHashes(NamedTuple):
    """Hashes of all benchmark images, to find leakage."""

    near: HashIndex
    """Perceptual hashes."""
    exact: dict[str, str]
    """Name of the image by the sha256 of its stored bytes."""


def hash_benchmarks(
    benchmarks: Iterable[tuple[str, Source, list[SourceEntry]]], bits: int
) -> BenchmarkHashes:
    """Hash the images of benchmarks, so that training crops of these images can be rejected.

    Args:
        benchmarks: name, source and entries of each.
        bits: largest number of bits in which the hashes of the same image may differ.
    """
    hashes = BenchmarkHashes(HashIndex(max(bits, 0)), {})
    for name, source, entries in benchmarks:
        for entry, image in source.read(entries):
            hashes.exact[entry.sha256] = f"{name}/{entry.id}"
            if not isinstance(image, Rejection):
                hashes.near.add(perceptual_hash(image), f"{name}/{entry.id}")
    return hashes


class SelectedCrop(NamedTuple):
    """What is kept in memory of a selected crop. There may be millions, so not the whole record."""

    dataset: int
    """Number of its dataset."""
    split: str
    shard: str
    key: str


def filter_crops(
    records: Iterable[tuple[int, CropRecord]], benchmarks: BenchmarkHashes, settings: SelectionSettings
) -> Iterator[SelectedCrop | Rejection]:
    """Yield each crop as selected or rejected, in order. The first of several near duplicates is selected.

    Args:
        records: dataset number and record of each crop.
        benchmarks: hashes of the benchmark images.
        settings: thresholds.
    """
    seen = HashIndex(max(settings.near_duplicate_bits, 0))
    for dataset, record in records:
        rejection = _find_rejection(record, benchmarks, seen, settings)
        if rejection:
            yield rejection
            continue
        if settings.near_duplicate_bits >= 0:
            seen.add(record.phash, record.key)
        # Interned: all crops of a shard share one string, although each record has read its own.
        yield SelectedCrop(dataset, sys.intern(record.split), sys.intern(record.shard), record.key)


def _find_rejection(
    record: CropRecord, benchmarks: BenchmarkHashes, seen: HashIndex, settings: SelectionSettings
) -> Rejection | None:
    leak = benchmarks.exact.get(record.source_sha256)
    if leak is None and settings.leakage_bits >= 0:
        leak = benchmarks.near.find(record.source_phash)
    if leak is not None:
        return Rejection(
            record.key, "select", RejectionReason.LEAKAGE, f"{record.source} is the same image as {leak}"
        )
    sharpness = record.metrics["sharpness"]
    if sharpness < settings.min_sharpness:
        detail = (
            f"{record.source}: sharpness is {sharpness:g}, below min_sharpness {settings.min_sharpness:g}"
        )
        return Rejection(record.key, "select", RejectionReason.LOW_QUALITY, detail)
    if settings.near_duplicate_bits >= 0:
        twin = seen.find(record.phash)
        if twin is not None:
            return Rejection(
                record.key, "select", RejectionReason.NEAR_DUPLICATE, f"nearly the same as {twin}"
            )
    return None


def select_samples(
    datasets: list[Path],
    benchmarks: BenchmarkHashes,
    settings: SelectionSettings,
    out_dir: Path,
    spec_hash: str,
    progress: Progress = silent,
) -> None:
    """Write a selection: filtered indexes, rejections.jsonl and, last, selection.json.

    Args:
        datasets: directories of finished crop datasets.
        benchmarks: hashes of the benchmark images, from `hash_benchmarks`.
        settings: thresholds and limits.
        out_dir: directory of the selection.
        spec_hash: hash of the selection's specification.
        progress: called with the number of crops examined.

    Raises:
        UserError: the datasets differ in crop size or format, or a split would be empty.
    """
    manifests = [read_manifest(directory) for directory in datasets]
    _check_same_format(manifests)
    # Validation first: if both splits have a near duplicate, the training crop is rejected.
    records = itertools.chain.from_iterable(
        _read_split(datasets, manifests, split) for split in reversed(SPLITS)
    )
    examined = filter_crops(records, benchmarks, settings)
    selected, counter = _write_rejections(examined, manifests, settings, out_dir, progress)
    splits = {
        split: tuple(_write_indexes(crops, datasets, manifests, out_dir, settings.seed))
        for split, crops in selected.items()
    }
    manifest = SelectionManifest(
        schema=SCHEMA,
        spec_hash=spec_hash,
        crop_size_px=manifests[0].crop_size_px,
        image_extension=manifests[0].image_extension,
        splits=splits,
        totals={split: len(crops) for split, crops in selected.items()} | {"rejected": counter.total},
        rejections=counter.by_reason,
    )
    write_json(out_dir / RECORD, to_plain(manifest))


def read_selection(directory: Path) -> SelectionManifest:
    """Return the content of a selection's selection.json.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    return from_plain(SelectionManifest, read_json(directory / RECORD), str(directory / RECORD))


def _check_same_format(manifests: list[DatasetManifest]) -> None:
    formats = sorted({(one.crop_size_px, one.image_extension) for one in manifests})
    if len(formats) != 1:
        names = ", ".join(one.name for one in manifests)
        found = ", ".join(f"{size_px} px {extension}" for size_px, extension in formats)
        raise UserError(
            f"The datasets {names} must have one crop size and one format, but they have {found}",
            "Make all of them with the same [crops] settings",
        )


def _read_split(
    datasets: list[Path], manifests: list[DatasetManifest], split: str
) -> Iterator[tuple[int, CropRecord]]:
    """Yield dataset number and record of every crop of a split."""
    for place, (directory, manifest) in enumerate(zip(datasets, manifests, strict=True)):
        for header in manifest.shards:
            if header.split == split:
                for record in read_records(ShardPaths(directory, header.shard)):
                    yield place, record


def _write_rejections(
    examined: Iterable[SelectedCrop | Rejection],
    manifests: list[DatasetManifest],
    settings: SelectionSettings,
    out_dir: Path,
    progress: Progress,
) -> tuple[dict[str, list[SelectedCrop]], RejectionCounter]:
    """Write rejections.jsonl, with the crops above a limit; return the selected crops by split, and the counts."""
    counter, total = RejectionCounter(), sum(one.totals["crops"] for one in manifests)
    selected: dict[str, list[SelectedCrop]] = {split: [] for split in SPLITS}
    with atomic_file(out_dir / REJECTIONS) as file:
        for count, found in enumerate(examined, 1):
            progress(count, total)
            if isinstance(found, Rejection):
                file.write(jsonl_line(to_plain(counter.add(found))))
            else:
                selected[found.split].append(found)
        for split, limit in zip(SPLITS, (settings.max_train, settings.max_validation), strict=True):
            selected[split], dropped = _limit(selected[split], limit, settings.seed)
            file.writelines(jsonl_line(to_plain(one)) for one in counter.count_each(dropped))
            if not selected[split]:
                raise UserError(
                    f"No {split} crops are left of {', '.join(one.name for one in manifests)} "
                    f"(rejected: {format_counts(counter.by_reason)})",
                    "Relax [selection], add images or raise [crops] validation_fraction",
                )
    return selected, counter


def _limit(
    crops: list[SelectedCrop], limit: int, seed: int
) -> tuple[list[SelectedCrop], Iterator[Rejection]]:
    """Keep a random choice of at most `limit` crops, fixed by the seed; 0 keeps all."""
    if not limit or len(crops) <= limit:
        return crops, iter(())
    ordered = sorted(crops, key=lambda one: (number("choose", seed, one.key), one.key))
    detail = f"{len(crops)} crops; at most {limit} are used"
    return ordered[:limit], (
        Rejection(one.key, "select", RejectionReason.OVER_CAP, detail) for one in ordered[limit:]
    )


def _write_indexes(
    crops: Sequence[SelectedCrop],
    datasets: list[Path],
    manifests: list[DatasetManifest],
    out_dir: Path,
    seed: int,
) -> Iterator[SelectedShard]:
    """Write an index for each shard with a selected crop, its samples shuffled, and yield its record."""
    keys_of: dict[tuple[int, str], set[str]] = {}
    for one in crops:
        keys_of.setdefault((one.dataset, one.shard), set()).add(one.key)
    for (place, shard), keys in sorted(keys_of.items()):
        header = next(one for one in manifests[place].shards if one.shard == shard)
        paths = ShardPaths(datasets[place], shard)
        check_file(paths.index, header.index_sha256)
        lines = [line for line in read_index(paths.index) if line.key in keys]
        lines.sort(key=lambda line: (number("shuffle", seed, line.key), line.key))
        content = encode_index(lines)
        index = f"index/{manifests[place].name}-{place}-{shard}.idx"
        write_bytes(out_dir / index, content)
        yield SelectedShard(
            tar=os.path.relpath(paths.tar, out_dir),
            index=index,
            samples=len(lines),
            tar_bytes=header.tar_bytes,
            tar_xxh3=header.tar_xxh3,
            index_sha256=sha256_bytes(content),
        )
