"""Select crops for training from one or more datasets, without touching a shard.

Rejects crops whose source image is also in a benchmark, crops that a rule on their metrics excludes, and near
duplicates, and keeps no more than the caps allow. Then writes filtered DALI indexes, whose samples are in a random
order that the seed fixes.
"""

import collections
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.atomic_files import atomic_file, jsonl_line, read_json, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, DatasetManifest, Rejection, RejectionReason, SelectedShard, SelectionManifest
from pipeline.dataset import read_manifest
from pipeline.index import REJECTIONS
from pipeline.quality_metrics import METRICS
from pipeline.rejection_counts import RejectionCounter, format_counts
from pipeline.selection.caps import compute_quotas, draw_order, take_in_order
from pipeline.selection.copies import find_copies, list_sources
from pipeline.selection.crop_table import CropTable, read_crop_table
from pipeline.selection.hamming import Rows, find_near_duplicates
from pipeline.selection.leakage import BenchmarkHashes, find_leaks
from pipeline.selection.rules import Rule, check_metrics
from pipeline.selection.scores import join_scores, read_scores, score_names
from pipeline.selection.write_indexes import write_indexes

RECORD = "selection.json"
SPLITS = ("train", "validation")


@dataclasses.dataclass(frozen=True)
class SelectionSettings:
    """Everything a selection depends on besides its datasets and benchmarks."""

    near_duplicate_bits: int
    """Crops whose perceptual hashes differ in at most this many of 64 bits are near duplicates; -1 turns it off."""
    copy_bits: int
    """Source images whose perceptual hashes differ in at most this many bits, in any orientation, are copies of one
    image; -1 turns it off."""
    leakage_bits: int
    """The same for source images against the images of the benchmarks; -1 turns it off."""
    rules: tuple[Rule, ...]
    """What the metrics and scores of a crop must be."""
    scores: tuple[Path, ...]
    """Files of scores, see `pipeline.selection.scores`."""
    max_per_source: int
    """Largest number of training crops of one source image; 0 for all."""
    weights: tuple[float, ...]
    """How the numbers of training crops of the datasets are to each other; empty: as they are."""
    max_train: int
    """Largest number of training crops, chosen at random; 0 for all."""
    max_validation: int
    """Largest number of validation crops, chosen at random; 0 for all."""
    seed: int


class Selection:
    """Which crops are still selected, and why the others are not. Every crop is rejected at most once.

    Args:
        crops: the crops to select from.
    """

    def __init__(self, crops: CropTable) -> None:
        self.crops = crops
        self.selected: npt.NDArray[np.bool_] = np.ones(len(crops), bool)
        """Whether each crop is still selected."""
        self.rejections: list[tuple[RejectionReason, Rows, list[str]]] = []
        """Reason, rows and details of the rejected crops, in the order of the filters."""

    @property
    def rows(self) -> Rows:
        """The rows of the crops that are still selected."""
        return np.flatnonzero(self.selected)

    def reject(self, reason: RejectionReason, rows: Rows, details: list[str]) -> None:
        """Reject crops that are still selected, each with its detail."""
        self.selected[rows] = False
        self.rejections.append((reason, rows, details))

    def each_rejection(self) -> Iterator[Rejection]:
        """Yield a record of every rejected crop."""
        for reason, rows, details in self.rejections:
            for key, detail in zip(self.crops.texts("key", rows), details, strict=True):
                yield Rejection(key, "select", reason, detail)


def filter_crops(crops: CropTable, benchmarks: BenchmarkHashes, settings: SelectionSettings) -> Selection:
    """Reject leaked crops, those that break a rule, copies, nearly equal ones, then those above the caps.

    Of several near duplicates the first one is kept: a validation crop before a training crop.

    Args:
        crops: the crops of all datasets.
        benchmarks: hashes of the benchmark images.
        settings: thresholds.
    """
    selection = Selection(crops)
    _reject_leaks(selection, benchmarks, settings.leakage_bits)
    for rule in settings.rules:
        _apply_rule(selection, rule)
    if settings.copy_bits >= 0:
        _reject_copies(selection, settings.copy_bits)
    if settings.near_duplicate_bits >= 0:
        _reject_near_duplicates(selection, settings.near_duplicate_bits)
    _apply_caps(selection, settings, training=True)
    _apply_caps(selection, settings, training=False)
    return selection


def _reject_leaks(selection: Selection, benchmarks: BenchmarkHashes, bits: int) -> None:
    leaks = find_leaks(selection.crops, benchmarks, bits)
    rows = np.array(sorted(leaks), np.int64)
    sources = selection.crops.texts("source", rows)
    details = [
        f"{source} is the same image as {leaks[row]}"
        for source, row in zip(sources, rows.tolist(), strict=True)
    ]
    selection.reject(RejectionReason.LEAKAGE, rows, details)


def _apply_rule(selection: Selection, rule: Rule) -> None:
    values = selection.crops.numbers(rule.metric)
    threshold = rule.threshold(values)
    rows = np.flatnonzero(selection.selected & ~rule.passes(values))
    sources = selection.crops.texts("source", rows)
    details = [
        f"{source}: {rule.explain(value, threshold)}"
        for source, value in zip(sources, values[rows].tolist(), strict=True)
    ]
    selection.reject(RejectionReason.LOW_QUALITY, rows, details)


def _reject_copies(selection: Selection, bits: int) -> None:
    rows = selection.rows
    sources = list_sources(selection.crops, rows)
    original = find_copies(sources.hashes, bits)[sources.of_crop]
    copied = original >= 0
    details = [
        f"{sources.names[source]} is a copy of {sources.names[kept]}"
        for source, kept in zip(sources.of_crop[copied].tolist(), original[copied].tolist(), strict=True)
    ]
    selection.reject(RejectionReason.NEAR_DUPLICATE, rows[copied], details)


def _reject_near_duplicates(selection: Selection, bits: int) -> None:
    candidates = selection.rows
    near = find_near_duplicates(selection.crops.hashes()[candidates], bits)
    twins = selection.crops.texts("key", candidates[near[near >= 0]])
    selection.reject(
        RejectionReason.NEAR_DUPLICATE,
        candidates[near >= 0],
        [f"nearly the same as {twin}" for twin in twins],
    )


def _apply_caps(selection: Selection, settings: SelectionSettings, *, training: bool) -> None:
    """Keep at most so many crops of a source, of each dataset by weight, and in all; weights are for training."""
    limit = settings.max_train if training else settings.max_validation
    per_source, weights = (settings.max_per_source, settings.weights) if training else (0, ())
    rows = np.flatnonzero(selection.selected & (selection.crops.training == training))
    if not len(rows) or not (per_source or weights or 0 < limit < len(rows)):
        return
    datasets = selection.crops.datasets
    # Images of two datasets may have one id.
    shared = selection.crops.shared("source")
    sources = datasets[rows] * len(shared.values) + shared.rows[rows]
    order, ranks = draw_order(sources, selection.crops.texts("key", rows), settings.seed)
    if per_source:
        _reject_over_cap(selection, rows[ranks >= per_source], f"more than {per_source} of its source")
        order = order[ranks[order] < per_source]
    available = np.bincount(datasets[rows[order]], minlength=len(weights)).tolist()
    if weights:
        quotas = compute_quotas(available, weights, limit)
        taken = take_in_order(order, datasets[rows], quotas)
        detail = f"{len(order)} crops; the weights of the datasets leave {sum(quotas)}"
    else:
        taken = np.zeros(len(rows), bool)
        taken[order[: limit or len(order)]] = True
        detail = f"{len(order)} crops; at most {limit} are used"
    dropped = np.zeros(len(rows), bool)
    dropped[order] = ~taken[order]
    _reject_over_cap(selection, rows[dropped], detail)


def _reject_over_cap(selection: Selection, rows: Rows, detail: str) -> None:
    selection.reject(RejectionReason.OVER_CAP, rows, [detail] * len(rows))


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
        progress: called with the number of shards whose index is written.

    Raises:
        UserError: the datasets differ in crop size or format, or a split would be empty.
    """
    manifests = [read_manifest(directory) for directory in datasets]
    _check_same_format(manifests)
    crops = _read_crops(datasets, manifests, settings)
    selection = filter_crops(crops, benchmarks, settings)
    counter = _write_rejections(selection, out_dir)
    _check_splits(selection, manifests, counter)
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
    )
    write_json(out_dir / RECORD, to_plain(manifest))


def _read_crops(
    datasets: list[Path], manifests: list[DatasetManifest], settings: SelectionSettings
) -> CropTable:
    """Read the crops with every metric and score that a rule needs."""
    scored = [name for path in settings.scores for name in score_names(read_scores(path))]
    check_metrics(settings.rules, [*METRICS, *scored])
    needed = sorted({"sharpness", *(rule.metric for rule in settings.rules)} & set(METRICS))
    crops = read_crop_table(datasets, manifests, needed)
    for path in settings.scores:
        join_scores(crops, path)
    return crops


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


def _write_rejections(selection: Selection, out_dir: Path) -> RejectionCounter:
    """Write rejections.jsonl and return the counts."""
    counter = RejectionCounter()
    with atomic_file(out_dir / REJECTIONS) as file:
        for rejection in counter.count_each(selection.each_rejection()):
            file.write(jsonl_line(to_plain(rejection)))
    return counter


def _check_splits(selection: Selection, manifests: list[DatasetManifest], counter: RejectionCounter) -> None:
    training = selection.crops.training[selection.selected]
    for split, count in zip(SPLITS, (training.sum(), (~training).sum()), strict=True):
        if not count:
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
    rows = selection.rows
    shards = selection.crops.shared("shard")
    keys: dict[tuple[int, str], set[str]] = collections.defaultdict(set)
    for dataset, shard, key in zip(
        selection.crops.datasets[rows].tolist(),
        shards.rows[rows].tolist(),
        selection.crops.texts("key", rows),
        strict=True,
    ):
        keys[dataset, shards.values[shard]].add(key)
    written: dict[str, list[SelectedShard]] = {split: [] for split in SPLITS}
    splits = {(place, one.shard): one.split for place, each in enumerate(manifests) for one in each.shards}
    for count, (place, one) in enumerate(write_indexes(keys, datasets, manifests, out_dir, seed), 1):
        written[splits[place]].append(one)
        progress(count, len(keys))
    return {split: tuple(of_split) for split, of_split in written.items()}
