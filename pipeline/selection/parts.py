"""Find the crops that show a part of a benchmark image or of a validation image: `find_parts`, which MatchParts runs.

Whole images that are copies are found by their hashes; this finds the rest, by local features: windows cut out of an
image, images with bars, collages. See `pipeline.parts`.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.errors import UserError
from data.progress import Progress, silent
from data.records import Rejection
from pipeline.dataset import read_manifest
from pipeline.parts.lookup import FeatureIndex
from pipeline.quality_metrics import rgb_to_luma
from pipeline.selection.crop_table import CropTable, check_same_format, read_crop_table
from pipeline.selection.filters import find_movable
from pipeline.selection.leakage import Benchmark, BenchmarkHashes, find_leaks
from pipeline.selection.part_embeddings import Embedded, find_alike
from pipeline.selection.part_matches import DescribedDataset, PartSearch, ShardFeatures, find_matches
from pipeline.selection.part_proof import (
    Luma,
    PartLeak,
    prove_matches,
    read_crop_pixels,
    spread_matches,
)
from pipeline.selection.part_records import ShownPart, add_parts, write_parts
from pipeline.selection.part_targets import (
    BOX_COLUMNS,
    Target,
    describe_benchmarks,
    gather_validation,
    source_numbers,
)
from pipeline.selection.settings import SelectionSettings

SHARDS = "shards"
"""Folder for the matches of each shard."""


def find_parts(
    datasets: Sequence[DescribedDataset],
    benchmarks: Sequence[Benchmark],
    hashes: BenchmarkHashes,
    settings: SelectionSettings,
    out_dir: Path,
    *,
    embedded: Embedded | None = None,
    processes: int = 1,
    progress: Progress = silent,
) -> None:
    """Compare the crops of datasets with benchmark and validation images, and write parts.jsonl and parts.json.

    Crops of images that the hashes find are not compared.

    Args:
        datasets: the crop datasets.
        benchmarks: the benchmarks.
        hashes: of the benchmark images.
        settings: those of leakage, copies and groups, which say what may be for validation.
        out_dir: directory to write to.
        embedded: embeddings to compare in addition; None for none.
        processes, progress: number of processes; called with the number of shards.
    """
    directories = [one.crops for one in datasets]
    manifests = [read_manifest(directory) for directory in directories]
    check_same_format(manifests)
    crops = read_crop_table(directories, manifests, ["sharpness"], [*BOX_COLUMNS, "offset", "bytes"])
    side_px = manifests[0].crop_size_px
    features = ShardFeatures(crops, datasets)
    skipped = frozenset(find_leaks(crops, hashes, settings.leakage_bits))
    movable = find_movable(crops, hashes, settings)
    validation = np.flatnonzero(~crops.training | movable)
    targets = describe_benchmarks(benchmarks)
    targets += gather_validation(crops, validation, side_px, features.read_rows)
    index, own = FeatureIndex([one.features for one in targets]), [one.source for one in targets]
    search = PartSearch(index, own, source_numbers(crops), crops.training | movable, skipped, side_px)
    found = find_matches(features, search, out_dir / SHARDS, processes=processes, progress=progress)
    read_crop = functools.partial(read_crop_pixels, crops, directories)
    proven = prove_matches(found, crops, targets, read_crop, _BenchmarkPixels(benchmarks, targets).read)
    leaks = _name_parts(spread_matches(proven, crops, targets), crops, targets)
    if embedded:
        alike = find_alike(crops, embedded, training=search.training, validation=validation, skipped=skipped)
        leaks = add_parts(leaks, alike)
    write_parts(out_dir, leaks, _count_compared(features, search))


def _count_compared(features: ShardFeatures, search: PartSearch) -> dict[str, int]:
    """Return how many crops were compared with what."""
    images = search.target_sources.count(-1)
    return {
        "crops": len(set(features.rows().tolist()) - search.skipped),
        "too_plain": features.count_plain(),
        "benchmark_images": images,
        "validation_images": len(search.target_sources) - images,
        "features": len(search.index),
    }


def _name_parts(leaks: Sequence[PartLeak], crops: CropTable, targets: Sequence[Target]) -> list[ShownPart]:
    """Return the leaks with names instead of rows."""
    keys = crops.texts("key", np.arange(len(crops)))
    sources = crops.texts("source", np.array([one.row for one in leaks], np.int64))
    return [
        ShownPart(
            dataset=int(crops.datasets[one.row]),
            key=keys[one.row],
            source=source,
            benchmark=one.like < 0,
            target=targets[one.target].name,
            like_dataset=int(crops.datasets[one.like]) if one.like >= 0 else -1,
            like=keys[one.like] if one.like >= 0 else "",
            inliers=one.inliers,
            by=keys[one.by] if one.by != one.row else "",
        )
        for one, source in zip(leaks, sources, strict=True)
    ]


class _BenchmarkPixels:
    """Reads benchmark images again by their names, the few that are needed."""

    def __init__(self, benchmarks: Sequence[Benchmark], targets: Sequence[Target]) -> None:
        self._entries = {
            f"{name}/{entry.id}": (source, entry) for name, source, entries in benchmarks for entry in entries
        }
        self._targets = targets

    def read(self, target: int) -> Luma:
        """Return the luma of a target.

        Raises:
            UserError: it can't be read any more.
        """
        source, entry = self._entries[self._targets[target].name]
        ((_, image),) = source.read([entry])
        if isinstance(image, Rejection):
            message = f"{self._targets[target].name} could be read before, but not again: {image.detail}"
            raise UserError(message, "Check the disk that the benchmark is on, and run again")
        return rgb_to_luma(image)
