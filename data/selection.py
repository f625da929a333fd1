"""Read selection.json and check the shards of one split before training reads them. It opens no shard."""

import dataclasses
from pathlib import Path

from data.atomic_files import read_json
from data.errors import UserError
from data.record_json import from_plain
from data.records import SelectionManifest
from data.shards import check_file, check_size


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a selection: its checked files, ready for a data loader."""

    name: str
    """train or validation."""
    tars: tuple[str, ...]
    """Paths of the shards."""
    indexes: tuple[str, ...]
    """Paths of their DALI indexes, in the same order."""
    image_extension: str
    """png or jpg."""
    samples: int
    """Number of selected crops in all shards."""
    crop_size_px: int
    """Side of the square crops."""


def open_split(selection: Path, name: str, selection_hash: str | None = None) -> Split:
    """Read selection.json and check that the files of one split are those it names.

    Indexes are compared by hash, because DALI accepts a stale index and returns wrong bytes. Tars are compared by size.

    Args:
        selection: path of selection.json.
        name: train or validation.
        selection_hash: the spec hash that the selection must have; None accepts any.

    Raises:
        UserError: the hash differs, the split is empty, or a file is missing or another one.
    """
    manifest = from_plain(SelectionManifest, read_json(selection), str(selection))
    if selection_hash is not None and manifest.spec_hash != selection_hash:
        message = f"{selection} is selection {manifest.spec_hash}, but selection {selection_hash} is needed"
        raise UserError(message, "Run SelectSamples again")
    shards = manifest.splits.get(name, ())
    if not shards:
        message = f"The split {name} of {selection} has no samples"
        raise UserError(message, "Select more samples, or use a larger dataset")
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
