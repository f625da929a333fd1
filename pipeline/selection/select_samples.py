"""Select crops for training from one or more datasets, without touching a shard.

Rejects crops whose source image is also in a benchmark, crops that a rule on their metrics excludes, and near
duplicates, and keeps no more than the caps allow. Then writes filtered DALI indexes, whose samples are in a random
order that the seed fixes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import atomic_file, jsonl_line, read_json, write_json, write_jsonl
from data.errors import UserError
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, DatasetManifest
from data.selection import SelectedShard, SelectionManifest
from pipeline.dataset import read_manifest
from pipeline.index import REJECTIONS
from pipeline.quality_metrics import METRICS
from pipeline.rejection_counts import RejectionCounter, format_counts
from pipeline.selection.counts_table import format_counts_table
from pipeline.selection.crop_table import CropTable, check_same_format, read_crop_table
from pipeline.selection.decisions import write_decisions
from pipeline.selection.filters import BENCHMARK_PARTS, VALIDATION_PARTS, filter_crops
from pipeline.selection.leakage import BenchmarkHashes
from pipeline.selection.network_scores import join_network_scores
from pipeline.selection.part_records import pair_parts, read_parts
from pipeline.selection.rules import check_metrics, check_unambiguous
from pipeline.selection.score_files import read_scores, score_names
from pipeline.selection.scores import join_scores
from pipeline.selection.selection import Selection
from pipeline.selection.settings import SelectionSettings
from pipeline.selection.write_indexes import SPLITS, group_by_shard, write_indexes

RECORD = "selection.json"
MOVED = "moved.jsonl"
MOST_PAIRS = 200
"""Pairs of images, one of which shows a part of the other, that selection.json names; parts.jsonl has all."""


def select_samples(
    datasets: list[Path],
    benchmarks: BenchmarkHashes,
    settings: SelectionSettings,
    out_dir: Path,
    spec_hash: str,
    progress: Progress = silent,
) -> None:
    """Write a selection: filtered indexes, rejections.jsonl, moved.jsonl, decisions.parquet and, last, selection.json.

    Args:
        datasets: directories of finished crop datasets.
        benchmarks: hashes of the benchmark images, from `hash_benchmarks`.
        settings: thresholds and limits.
        out_dir: directory of the selection.
        spec_hash: hash of the selection's specification.
        progress: called with the number of shards whose index is written.

    Raises:
        UserError: the datasets differ in crop size or format, or a split would be empty.
    """
    manifests = [read_manifest(directory) for directory in datasets]
    selection = run_filters(datasets, manifests, benchmarks, settings)
    counter = _write_rejections(selection, out_dir)
    write_jsonl(out_dir / MOVED, selection.each_move())
    _check_splits(selection, manifests, counter)
    names = [one.name for one in manifests]
    decisions_sha256 = write_decisions(selection, names, out_dir)
    shards = _write_indexes(selection, datasets, manifests, out_dir, settings.seed, progress)
    manifest = SelectionManifest(
        schema=SCHEMA,
        spec_hash=spec_hash,
        crop_size_px=manifests[0].crop_size_px,
        image_extension=manifests[0].image_extension,
        splits=shards,
        totals={name: sum(one.samples for one in of_split) for name, of_split in shards.items()}
        | {"rejected": counter.total},
        rejections=counter.by_reason,
        datasets=selection.count_datasets(names),
        filters=selection.count_filters(),
        moved=selection.count_moved(),
        decisions_sha256=decisions_sha256,
        **_part_fields(selection, settings),
    )
    write_json(out_dir / RECORD, to_plain(manifest))


def _part_fields(selection: Selection, settings: SelectionSettings) -> dict[str, Any]:
    """Return the fields of selection.json about images that show parts of others."""
    if settings.parts is None:
        return {}
    rows = {
        name: set(selection.rows_rejected_by(name).tolist()) for name in (BENCHMARK_PARTS, VALIDATION_PARTS)
    }
    shown = read_parts(settings.parts)
    row_of = selection.crops.find_rows([(one.dataset, one.key) for one in shown])
    pairs = pair_parts(
        [
            one
            for one in shown
            if row_of[one.dataset, one.key] in rows[BENCHMARK_PARTS if one.benchmark else VALIDATION_PARTS]
        ]
    )
    return {"part_pairs": pairs[:MOST_PAIRS], "part_pairs_total": len(pairs)}


def preview_selection(
    datasets: Sequence[Path], benchmarks: BenchmarkHashes, settings: SelectionSettings
) -> tuple[list[str], list[str]]:
    """Return what `select_samples` would select: the lines of a table, and the splits that would be empty.

    Nothing is written.

    Args:
        datasets, benchmarks, settings: as for `select_samples`.

    Raises:
        UserError: the datasets differ in crop size or format.
    """
    manifests = [read_manifest(directory) for directory in datasets]
    selection = run_filters(datasets, manifests, benchmarks, settings)
    counts = selection.count_datasets([one.name for one in manifests])
    lines = format_counts_table(counts, selection.count_filters()) + describe_moved(selection.count_moved())
    return lines, _empty_splits(selection)


def describe_moved(moved: Mapping[str, int]) -> list[str]:
    """Return a line about the crops that have changed sides, see `SelectionManifest.moved`; none if there are none."""
    into = " and ".join(f"{count:,} to {split}" for split, count in moved.items())
    return [f"Moved, because their group was in both splits: {into}"] if into else []


def run_filters(
    datasets: Sequence[Path],
    manifests: Sequence[DatasetManifest],
    benchmarks: BenchmarkHashes,
    settings: SelectionSettings,
) -> Selection:
    """Read the crops of datasets, and decide which are selected.

    Raises:
        UserError: the datasets differ in crop size or format, or a rule names an unknown metric.
    """
    check_same_format(manifests)
    return filter_crops(read_scored_crops(datasets, manifests, settings), benchmarks, settings)


def read_scored_crops(
    datasets: Sequence[Path],
    manifests: Sequence[DatasetManifest],
    settings: SelectionSettings,
    metrics: Sequence[str] = (),
) -> CropTable:
    """Read the crops with every metric and score that a rule needs.

    Args:
        datasets, manifests: directories and records of the crop datasets.
        settings: the rules and the files of scores.
        metrics: further metrics to read.

    Raises:
        UserError: a file is missing or damaged, or a rule names an unknown metric.
    """
    scored = [name for path in settings.scores for name in score_names(read_scores(path))]
    scored += [one.metric for one in settings.network_scores]
    check_metrics(settings.rules, [*METRICS, *scored])
    check_unambiguous(settings.rules, [*METRICS, *scored])
    needed = sorted({"sharpness", *metrics, *(rule.metric for rule in settings.rules)} & set(METRICS))
    crops = read_crop_table(datasets, manifests, needed)
    for path in settings.scores:
        join_scores(crops, path)
    for one in settings.network_scores:
        join_network_scores(crops, one)
    return crops


def read_selection(directory: Path) -> SelectionManifest:
    """Return the content of a selection's selection.json.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    return from_plain(SelectionManifest, read_json(directory / RECORD), str(directory / RECORD))


def _write_rejections(selection: Selection, out_dir: Path) -> RejectionCounter:
    """Write rejections.jsonl and return the counts."""
    counter = RejectionCounter()
    with atomic_file(out_dir / REJECTIONS) as file:
        for rejection in counter.count_each(selection.each_rejection()):
            file.write(jsonl_line(to_plain(rejection)))
    return counter


def _empty_splits(selection: Selection) -> list[str]:
    training = selection.crops.training[selection.selected]
    return [
        split for split, found in zip(SPLITS, (training.any(), (~training).any()), strict=True) if not found
    ]


def _check_splits(selection: Selection, manifests: list[DatasetManifest], counter: RejectionCounter) -> None:
    for split in _empty_splits(selection):
        raise UserError(
            f"No {split} crops are left of {', '.join(one.name for one in manifests)} "
            f"(rejected: {format_counts(counter.by_reason)})",
            "Relax [selection], add images or raise [crops] validation_fraction",
        )


def _write_indexes(
    selection: Selection,
    datasets: list[Path],
    manifests: list[DatasetManifest],
    out_dir: Path,
    seed: int,
    progress: Progress,
) -> dict[str, tuple[SelectedShard, ...]]:
    """Write the indexes of both splits and return their records."""
    groups = group_by_shard(selection)
    written: dict[str, list[SelectedShard]] = {split: [] for split in SPLITS}
    indexes = write_indexes(groups, selection, datasets, manifests, out_dir, seed)
    for count, (split, one) in enumerate(indexes, 1):
        written[split].append(one)
        progress(count, len(groups))
    return {split: tuple(of_split) for split, of_split in written.items()}
