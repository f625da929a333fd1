"""Reading selection.json: which shards a split is made of, checked before anyone reads a byte of them.

It opens no shard and loads no library but the standard one.
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
    """One split of a selection, checked and ready for DALI."""

    name: str
    tars: tuple[str, ...]
    indexes: tuple[str, ...]
    image_extension: str
    samples: int
    crop_size_px: int


def open_split(selection: Path, name: str, selection_hash: str | None = None) -> Split:
    """Read selection.json and make sure that the files of one split are the ones it names.

    Indexes are compared by hash, since DALI takes a stale one without complaint and gives wrong bytes; tars
    by size.

    Args:
        selection: path of selection.json.
        name: train or validation.
        selection_hash: the spec hash that the selection must have; None for any.

    Raises:
        UserError: it is another selection, the split is empty, or a file is missing or another one.
    """
    manifest = from_plain(SelectionManifest, read_json(selection), str(selection))
    if selection_hash is not None and manifest.spec_hash != selection_hash:
        raise UserError(
            f"selection {selection_hash}", manifest.spec_hash, str(selection), "run SelectSamples again"
        )
    shards = manifest.splits.get(name, ())
    if not shards:
        raise UserError(
            f"samples in split {name}", "none", str(selection), "select more, or from a larger dataset"
        )
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
