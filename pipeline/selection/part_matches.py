"""Find the matching features of the crops of all shards with the targets, shard by shard, and keep them on disk.

A shard whose matches are on disk is not compared again, so a killed search goes on where it was.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.atomic_files import jsonl_line, read_json, read_jsonl, write_bytes
from data.dali_index import read_index_rows, row_key
from data.progress import Progress
from data.shards import ShardPaths
from pipeline import worker_pool
from pipeline.parts.features import StoredFeatures, restore_features
from pipeline.parts.geometry import Similarity
from pipeline.parts.lookup import FeatureIndex
from pipeline.parts.match import match_crops
from pipeline.parts.sidecar import FeaturePaths, read_features
from pipeline.selection.crop_table import CropTable
from pipeline.selection.hamming import Rows

_CROPS_AT_ONCE = 64


class DescribedDataset(NamedTuple):
    """A crop dataset and the features of its crops."""

    crops: Path
    """Its directory."""
    features: Path | None
    """Directory of the features, see `pipeline.parts.sidecar`; None if its crops are not compared."""


class Found(NamedTuple):
    """A crop that matches a target."""

    row: int
    """Of the crop."""
    target: int
    """Number of the target."""
    inliers: int
    """Matching features whose places agree."""
    similarity: Similarity
    """Maps pixels of the crop to pixels of the target."""


class ShardFeatures:
    """The features of the crops of all datasets, read shard by shard.

    Args:
        crops: the crops.
        datasets: as they are numbered in the crops.
    """

    def __init__(self, crops: CropTable, datasets: Sequence[DescribedDataset]) -> None:
        self._datasets = datasets
        names = crops.shared("shard")
        code = crops.datasets * len(names.values) + names.rows
        order = np.argsort(code, kind="stable")
        codes, starts = np.unique(code[order], return_index=True)
        self._rows = {
            (int(one) // len(names.values), names.values[int(one) % len(names.values)]): rows
            for one, rows in zip(codes, np.split(order, starts[1:]), strict=True)
        }
        self._crops = crops

    def shards(self) -> list[tuple[int, str]]:
        """Return dataset number and name of each shard that has features, sorted."""
        return sorted(place for place in self._rows if self._datasets[place[0]].features)

    def rows(self) -> Rows:
        """Return the rows of all crops that have features."""
        return np.concatenate([np.zeros(0, np.int64), *(self._rows[place] for place in self.shards())])

    def count_plain(self) -> int:
        """Return how many crops have too few features to match anything."""
        paths = [
            FeaturePaths(self._datasets[place].features or Path(), shard) for place, shard in self.shards()
        ]
        return sum(int(read_json(one.record)["too_plain"]) for one in paths)

    def read(self, place: tuple[int, str]) -> Iterator[tuple[int, StoredFeatures]]:
        """Yield the rows of a shard's crops with their features, in ascending order of the rows."""
        dataset, shard = place
        described = self._datasets[dataset]
        assert described.features is not None
        stored = read_features(FeaturePaths(described.features, shard))
        lines = read_index_rows(ShardPaths(described.crops, shard).index)
        position = {row_key(line): number for number, line in enumerate(lines)}
        rows = self._rows[place]
        for row, key in zip(rows.tolist(), self._crops.texts("key", rows), strict=True):
            yield row, stored[position[key]]

    def read_rows(self, rows: Rows) -> Iterator[tuple[int, StoredFeatures]]:
        """Yield the given rows that have features with these."""
        wanted = set(rows.tolist())
        for place in self.shards():
            if not wanted.isdisjoint(self._rows[place].tolist()):
                yield from (found for found in self.read(place) if found[0] in wanted)


@dataclasses.dataclass(frozen=True)
class PartSearch:
    """What crops are compared with, and which crops."""

    index: FeatureIndex
    """The features of the targets, those of benchmarks first."""
    target_sources: list[int]
    """For each target the number of its source image; -1 for a benchmark image."""
    sources: Rows
    """For each crop the number of its source image."""
    training: npt.NDArray[np.bool_]
    """Whether each crop may be for training; the others are compared with benchmarks only."""
    skipped: frozenset[int]
    """Rows of crops that are not compared."""
    side_px: int
    """Side of the crops."""


def _match_shard(
    place: tuple[int, str], features: ShardFeatures, search: PartSearch
) -> Iterator[tuple[list[Found], None]]:
    """Yield the matches of the crops of a shard, in whichever process."""
    wanted = [
        one
        for one in features.read(place)
        if one[0] not in search.skipped and (-1 in search.target_sources or search.training[one[0]])
    ]
    found: list[Found] = []
    for start in range(0, len(wanted), _CROPS_AT_ONCE):
        found += _match_batch(wanted[start : start + _CROPS_AT_ONCE], search)
    yield found, None


def _match_batch(batch: list[tuple[int, StoredFeatures]], search: PartSearch) -> Iterator[Found]:
    described = [restore_features(stored, search.side_px) for _, stored in batch]
    for match in match_crops(described, search.side_px, search.index):
        row, source = batch[match.crop][0], search.target_sources[match.target]
        # An image may be for training or for validation, depending on its group: it is not compared with itself.
        if source < 0 or (search.training[row] and source != search.sources[row]):
            yield Found(row, match.target, match.inliers, match.similarity)


def find_matches(
    features: ShardFeatures, search: PartSearch, out_dir: Path, *, processes: int, progress: Progress
) -> list[Found]:
    """Return all matches of crops with targets.

    Args:
        features: of the crops.
        search: what they are compared with.
        out_dir: directory for the matches of each shard.
        processes: number of processes.
        progress: called with the number of shards.
    """
    shards = features.shards()
    missing = [place for place in shards if not _path(out_dir, place).exists()]
    work = functools.partial(_match_shard, features=features, search=search)
    done = len(shards) - len(missing)
    for place, made in zip(missing, worker_pool.map_in_order(work, missing, processes, 1), strict=True):
        for found, _ in made:
            write_bytes(_path(out_dir, place), b"".join(map(_encode, found)))
        done += 1
        progress(done, len(shards))
    return [_decode(line, search.side_px) for place in shards for line in read_jsonl(_path(out_dir, place))]


def _path(out_dir: Path, place: tuple[int, str]) -> Path:
    return out_dir / f"{place[0]}-{place[1]}.jsonl"


def _encode(found: Found) -> bytes:
    factor, shift, mirrored, _ = found.similarity
    numbers = [factor.real, factor.imag, shift.real, shift.imag]
    return jsonl_line([found.row, found.target, found.inliers, *numbers, mirrored])


def _decode(line: list[float], side_px: int) -> Found:
    row, target, inliers, a, b, x, y, mirrored = line
    similarity = Similarity(complex(a, b), complex(x, y), bool(mirrored), side_px)
    return Found(int(row), int(target), int(inliers), similarity)
