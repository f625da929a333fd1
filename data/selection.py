"""Reads selection.json: the shards of a split, checked before any of their samples is read.

It opens no shard and loads only the standard library.
"""

import dataclasses
from pathlib import Path

from data.atomic_files import read_json
from data.errors import UserError
from data.record_json import from_plain
from data.records import SelectionManifest
from data.shards import check_file, check_size


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
