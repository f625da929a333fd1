"""Select crops for training over one or more datasets, without touching a shard.

Drops what leaks from the benchmarks, what is nearly the same as another crop, and what scores too low; then writes
filtered DALI indexes, their samples in a random order that is fixed by the seed.
"""

import dataclasses
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
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
    Reason,
    Rejection,
    SelectedShard,
    SelectionManifest,
    SourceEntry,
)
from data.shards import ShardPaths, check_file, index_bytes, read_index, read_records
from data.sources import Source
from pipeline.dataset import read_manifest
from pipeline.index import REJECTIONS
from pipeline.perceptual_hash import perceptual_hash
from pipeline.rejection_counts import Tally, worded

RECORD = "selection.json"
SPLITS = ("train", "validation")
_HASH_BITS = 64


@dataclasses.dataclass(frozen=True)
class SelectSettings:
    """What a selection depends on, besides its datasets and benchmarks."""

    near_duplicate_bits: int
    """Crops whose perceptual hashes differ in at most so many of 64 bits count as one; -1 turns it off."""
    leakage_bits: int
    """The same for whole images against those of the benchmarks; -1 turns it off."""
    min_sharpness: int
    """Lowest score `detail` of pipeline.quality_filters, in hundredths of a level."""
    max_train: int
    """Training crops at the most, a random choice; 0 for all."""
    max_validation: int
    """Validation crops at the most, a random choice; 0 for all."""
    seed: int


class HashIndex:
    """Finds perceptual hashes within a few bits of each other.

    Two hashes that differ in at most k bits agree in one of k + 1 bands of bits at least, so only those that share
    a band are compared.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        edges = [_HASH_BITS * band // (bits + 1) for band in range(bits + 2)]
        self._bands = [(low, (1 << (high - low)) - 1) for low, high in itertools.pairwise(edges)]
        self._tables: list[dict[int, list[tuple[int, str]]]] = [{} for _ in self._bands]

    def find(self, phash: str) -> str | None:
        """Return the name of an added hash within `bits` of this one, or None."""
        value = int(phash, 16)
        for (shift, mask), table in zip(self._bands, self._tables, strict=True):
            for other, name in table.get(value >> shift & mask, ()):
                if (value ^ other).bit_count() <= self.bits:
                    return name
        return None

    def add(self, phash: str, name: str) -> None:
        """Add a hash under a name."""
        value = int(phash, 16)
        item = (value, name)
        for (shift, mask), table in zip(self._bands, self._tables, strict=True):
            table.setdefault(value >> shift & mask, []).append(item)


def benchmark_hashes(
    benchmarks: Iterable[tuple[str, Source, list[SourceEntry]]], bits: int
) -> tuple[HashIndex, dict[str, str]]:
    """Hash the images of benchmarks, so that no training crop comes from one of them.

    Args:
        benchmarks: name, source and entries of each.
        bits: how far hashes may differ and still count as the same image.

    Returns:
        An index of perceptual hashes, and sha256 of the stored bytes to name.
    """
    near, exact = HashIndex(max(bits, 0)), {}
    for name, source, entries in benchmarks:
        for entry, image in source.read(entries):
            exact[entry.sha256] = f"{name}/{entry.id}"
            if not isinstance(image, Rejection):
                near.add(perceptual_hash(image), f"{name}/{entry.id}")
    return near, exact


class Kept(NamedTuple):
    """What is remembered of a crop that is used: there may be millions, so not its record."""

    dataset: int
    """Number of its dataset."""
    split: str
    shard: str
    key: str


def sift(
    records: Iterable[tuple[int, CropRecord]],
    leaks: tuple[HashIndex, dict[str, str]],
    settings: SelectSettings,
) -> Iterator[Kept | Rejection]:
    """Yield what is used, or why it is not, in order; of near duplicates the first is kept.

    Args:
        records: each with the number of its dataset.
        leaks: from `benchmark_hashes`.
        settings: thresholds.
    """
    near, exact = leaks
    seen = HashIndex(max(settings.near_duplicate_bits, 0))
    for dataset, record in records:
        leak = exact.get(record.source_sha256)
        if leak is None and settings.leakage_bits >= 0:
            leak = near.find(record.source_phash)
        if leak is not None:
            yield Rejection(record.key, "select", Reason.LEAKAGE, f"{record.source} is an image of {leak}")
            continue
        if record.scores["detail"] < settings.min_sharpness:
            detail = f"{record.source}: detail {record.scores['detail']}; at least {settings.min_sharpness} is needed"
            yield Rejection(record.key, "select", Reason.LOW_QUALITY, detail)
            continue
        if settings.near_duplicate_bits >= 0:
            twin = seen.find(record.phash)
            if twin is not None:
                yield Rejection(record.key, "select", Reason.NEAR_DUPLICATE, f"nearly the same as {twin}")
                continue
            seen.add(record.phash, record.key)
        # One string for all of a shard, where each record has read its own.
        yield Kept(dataset, sys.intern(record.split), sys.intern(record.shard), record.key)


def select_samples(
    datasets: list[Path],
    leaks: tuple[HashIndex, dict[str, str]],
    settings: SelectSettings,
    out_dir: Path,
    spec_hash: str,
    progress: Progress = silent,
) -> None:
    """Write a selection: filtered indexes, rejections.jsonl and, last, selection.json.

    Args:
        datasets: directories of finished crop datasets.
        leaks: from `benchmark_hashes`.
        settings: thresholds and caps.
        out_dir: where the selection goes.
        spec_hash: of the selection.
        progress: called with crops looked at.

    Raises:
        UserError: the datasets do not go together, or a split would be empty.
    """
    manifests = [read_manifest(directory) for directory in datasets]
    _check_alike(manifests)
    tally = Tally()
    kept: dict[str, list[Kept]] = {split: [] for split in SPLITS}
    whole = sum(one.totals["crops"] for one in manifests)
    # Validation first: of two crops that are nearly the same in both splits, training loses its own.
    owned = itertools.chain.from_iterable(_records(datasets, manifests, split) for split in reversed(SPLITS))
    with atomic_file(out_dir / REJECTIONS) as rejected:
        for looked_at, found in enumerate(sift(owned, leaks, settings), 1):
            progress(looked_at, whole)
            if isinstance(found, Rejection):
                rejected.write(jsonl_line(to_plain(tally.add(found))))
            else:
                kept[found.split].append(found)
        for split, cap in zip(SPLITS, (settings.max_train, settings.max_validation), strict=True):
            kept[split], dropped = _cap(kept[split], cap, settings.seed)
            rejected.writelines(jsonl_line(to_plain(one)) for one in tally.through(dropped))
            if not kept[split]:
                found = f"none ({worded(tally.reasons)})"
                remedy = "loosen [selection], add images or raise [crops] validation_fraction"
                where = ", ".join(one.name for one in manifests)
                raise UserError(f"at least one {split} crop", found, where, remedy)
    splits = {
        split: tuple(_write_indexes(kept[split], datasets, manifests, out_dir, settings.seed))
        for split in SPLITS
    }
    manifest = SelectionManifest(
        schema=SCHEMA,
        spec_hash=spec_hash,
        crop_size_px=manifests[0].crop_size_px,
        image_extension=manifests[0].image_extension,
        splits=splits,
        totals={split: len(kept[split]) for split in SPLITS} | {"rejected": tally.total},
        rejections=tally.reasons,
    )
    write_json(out_dir / RECORD, to_plain(manifest))


def read_selection(directory: Path) -> SelectionManifest:
    """Return the content of a selection's selection.json.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    return from_plain(SelectionManifest, read_json(directory / RECORD), str(directory / RECORD))


def _check_alike(manifests: list[DatasetManifest]) -> None:
    forms = sorted({(one.crop_size_px, one.image_extension) for one in manifests})
    if len(forms) != 1:
        names = ", ".join(one.name for one in manifests)
        raise UserError(
            "datasets of one crop size and one format", str(forms), names, "make them with the same [crops]"
        )


def _records(
    datasets: list[Path], manifests: list[DatasetManifest], split: str
) -> Iterator[tuple[int, CropRecord]]:
    """Yield dataset number and record of every crop of a split."""
    for place, (directory, manifest) in enumerate(zip(datasets, manifests, strict=True)):
        for header in manifest.shards:
            if header.split == split:
                for record in read_records(ShardPaths(directory, header.shard)):
                    yield place, record


def _cap(kept: list[Kept], cap: int, seed: int) -> tuple[list[Kept], Iterator[Rejection]]:
    """Keep a random choice of `cap` crops that is fixed by the seed."""
    if not cap or len(kept) <= cap:
        return kept, iter(())
    ordered = sorted(kept, key=lambda one: (number("choose", seed, one.key), one.key))
    detail = f"{len(kept)} crops; at most {cap} are taken"
    return ordered[:cap], (Rejection(one.key, "select", Reason.OVER_CAP, detail) for one in ordered[cap:])


def _write_indexes(
    kept: list[Kept],
    datasets: list[Path],
    manifests: list[DatasetManifest],
    out_dir: Path,
    seed: int,
) -> Iterator[SelectedShard]:
    """Write one index for each shard that has a kept crop, its samples shuffled, and yield its record."""
    chosen: dict[tuple[int, str], set[str]] = {}
    for one in kept:
        chosen.setdefault((one.dataset, one.shard), set()).add(one.key)
    for (place, shard), keys in sorted(chosen.items()):
        header = next(one for one in manifests[place].shards if one.shard == shard)
        paths = ShardPaths(datasets[place], shard)
        check_file(paths.index, header.index_sha256)
        lines = [line for line in read_index(paths.index) if line.key in keys]
        lines.sort(key=lambda line: (number("shuffle", seed, line.key), line.key))
        content = index_bytes(lines)
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
