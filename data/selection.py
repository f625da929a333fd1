"""The record of a selection, selection.json, and its splits, checked before any of their samples is read.

It opens no shard and loads only the standard library.
"""

import dataclasses
from pathlib import Path

from data.atomic_files import read_json
from data.errors import UserError
from data.record_json import from_plain
from data.records import RejectionReason
from data.shards import check_file, check_size


@dataclasses.dataclass(frozen=True)
class SelectedShard:
    """A shard in a selection: the unchanged tar, and an index that names only the selected samples."""

    tar: str
    """Path relative to the selection's directory."""
    index: str
    """Path of the DALI index, relative to the selection's directory."""
    samples: int
    """Number of samples in the index, at least 1."""
    tar_bytes: int
    """Size of the tar in bytes."""
    tar_xxh3: str
    """XXH3 of the tar (128 bits, 32 hex digits)."""
    index_sha256: str
    """Of the index."""


@dataclasses.dataclass(frozen=True)
class SelectedDataset:
    """How many crops of one dataset there are, and how many of them are selected."""

    name: str
    crops: int
    """In the dataset."""
    train: int
    """Selected for training."""
    validation: int
    """Selected for validation."""


@dataclasses.dataclass(frozen=True)
class FilterCounts:
    """How many crops of each dataset one filter of a selection rejects."""

    filter: str
    """A rule, or the key of [selection] that holds its threshold."""
    reason: RejectionReason
    rejected: tuple[int, ...]
    """In the order of the datasets. Each crop is rejected by one filter."""


@dataclasses.dataclass(frozen=True)
class PartPair:
    """Two images, one of which shows a part of the other, found by local features."""

    dataset: int
    """Number of the dataset of the crops, from 0."""
    source: str
    """Id of the source image of the crops."""
    benchmark: bool
    """Whether the other image is of a benchmark; otherwise it is one of validation."""
    target: str
    """The other image: benchmark/image, or the id of the validation image."""
    crops: int
    """Crops of the source image that were left out for it."""
    inliers: int
    """How many local features match and agree on one place, in the crop that has the most."""


@dataclasses.dataclass(frozen=True)
class SelectionManifest:
    """selection.json: the crops for training and for validation, from one or more datasets."""

    schema: int
    spec_hash: str
    """12 hex digits that name the selection's directory: the hash of everything that it was made from."""
    crop_size_px: int
    """Side of the square crops, in pixels."""
    image_extension: str
    """png or jpg, the same for all shards."""
    splits: dict[str, tuple[SelectedShard, ...]]
    """Shards by split: train, validation."""
    totals: dict[str, int]
    """Number of samples in train and in validation, and of rejected crops."""
    rejections: dict[str, int]
    """Number of rejected crops by reason."""
    datasets: tuple[SelectedDataset, ...] = ()
    """The datasets that were selected from, in their order."""
    filters: tuple[FilterCounts, ...] = ()
    """The filters, in the order in which they reject."""
    moved: dict[str, int] = dataclasses.field(default_factory=dict)
    """Number of selected crops that are in another split than their shard, by the split that they are in, because their
    group was in both. Empty if there are none."""
    decisions_sha256: str = ""
    """Of decisions.parquet: which filter rejects each crop."""
    part_pairs: tuple[PartPair, ...] = ()
    """Pairs of images, one of which shows a part of the other, those with the most inliers first, at most 200."""
    part_pairs_total: int = 0
    """Number of all such pairs."""


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a selection, checked and ready to be read."""

    name: str
    """train or validation."""
    tars: tuple[str, ...]
    """Paths of the shards."""
    indexes: tuple[str, ...]
    """Paths of their DALI indexes, which list only the selected samples."""
    image_extension: str
    samples: int
    crop_size_px: int
    """Side of the square images."""


def open_split(selection: Path, name: str, selection_hash: str | None = None) -> Split:
    """Read selection.json and check the files of one split.

    Indexes are compared by hash, since DALI accepts a stale index without complaint and returns wrong bytes; tars are
    compared by size.

    Args:
        selection: path of selection.json.
        name: train or validation.
        selection_hash: the spec hash that the selection must have; None for any.

    Raises:
        UserError: the selection has another hash, the split is empty, or a file is missing or differs.
    """
    manifest = from_plain(SelectionManifest, read_json(selection), str(selection))
    if selection_hash is not None and manifest.spec_hash != selection_hash:
        message = f"{selection} is the selection {manifest.spec_hash}, but this run needs {selection_hash}"
        raise UserError(message, "Run SelectSamples again")
    shards = manifest.splits.get(name, ())
    if not shards:
        message = f"The selection {selection} has no samples in its split {name}"
        raise UserError(message, "Select more samples, or select from a larger dataset")
    root = selection.parent
    for shard in shards:
        check_file(root / shard.index, shard.index_sha256)
        check_size(root / shard.tar, shard.tar_bytes)
    return Split(
        name,
        tuple(str(root / shard.tar) for shard in shards),
        tuple(str(root / shard.index) for shard in shards),
        manifest.image_extension,
        sum(shard.samples for shard in shards),
        manifest.crop_size_px,
    )
