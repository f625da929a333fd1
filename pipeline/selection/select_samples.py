"""Select crops for training from one or more datasets, without touching a shard.

Rejects crops whose source image is also in a benchmark, near duplicates, and blurred crops. Then writes filtered DALI
indexes, whose samples are in a random order that the seed fixes.
"""

import collections
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.atomic_files import atomic_file, jsonl_line, read_json, write_json
from data.errors import UserError
from data.hashing import number
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, DatasetManifest, Rejection, RejectionReason, SelectedShard, SelectionManifest
from pipeline.dataset import read_manifest
from pipeline.index import REJECTIONS
from pipeline.rejection_counts import RejectionCounter, format_counts
from pipeline.selection.crop_table import CropTable, read_crop_table
from pipeline.selection.hamming import Rows, find_near_duplicates
from pipeline.selection.leakage import BenchmarkHashes, find_leaks
from pipeline.selection.write_indexes import write_indexes

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
    """Reject leaked, blurred and nearly equal crops, then those above the caps.

    Of several near duplicates the first one is kept: a validation crop before a training crop.

    Args:
        crops: the crops of all datasets.
        benchmarks: hashes of the benchmark images.
        settings: thresholds.
    """
    selection = Selection(crops)
    _reject_leaks(selection, benchmarks, settings.leakage_bits)
    _reject_blurred(selection, settings.min_sharpness)
    if settings.near_duplicate_bits >= 0:
        _reject_near_duplicates(selection, settings.near_duplicate_bits)
    _reject_over_cap(selection, settings.max_train, settings.seed, training=True)
    _reject_over_cap(selection, settings.max_validation, settings.seed, training=False)
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


def _reject_blurred(selection: Selection, minimum: float) -> None:
    sharpness = selection.crops.numbers("metric_sharpness")
    rows = np.flatnonzero(selection.selected & (sharpness < minimum))
    sources = selection.crops.texts("source", rows)
    details = [
        f"{source}: sharpness is {value:g}, below min_sharpness {minimum:g}"
        for source, value in zip(sources, sharpness[rows], strict=True)
    ]
    selection.reject(RejectionReason.LOW_QUALITY, rows, details)


def _reject_near_duplicates(selection: Selection, bits: int) -> None:
    candidates = selection.rows
    near = find_near_duplicates(selection.crops.hashes()[candidates], bits)
    twins = selection.crops.texts("key", candidates[near[near >= 0]])
    selection.reject(
        RejectionReason.NEAR_DUPLICATE,
        candidates[near >= 0],
        [f"nearly the same as {twin}" for twin in twins],
    )


def _reject_over_cap(selection: Selection, limit: int, seed: int, *, training: bool) -> None:
    """Keep a random choice of at most `limit` crops of a split, fixed by the seed; 0 keeps all."""
    rows = np.flatnonzero(selection.selected & (selection.crops.training == training))
    if not limit or len(rows) <= limit:
        return
    keys = selection.crops.texts("key", rows)
    order = sorted(range(len(keys)), key=lambda place: (number("choose", seed, keys[place]), keys[place]))
    dropped = rows[order[limit:]]
    detail = f"{len(rows)} crops; at most {limit} are used"
    selection.reject(RejectionReason.OVER_CAP, dropped, [detail] * len(dropped))


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
    crops = read_crop_table(datasets, manifests, ["sharpness"])
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
