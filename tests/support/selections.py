"""Write small selections for tests: shards of textured images, and the selection.json that names them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from images import textured

from data.atomic_files import write_json
from data.imaging.encode import encode_png
from data.record_json import to_plain
from data.records import SCHEMA, Box, CropRecord
from data.selection import SelectedShard, SelectionManifest
from data.shards import ShardPaths, open_shard, read_header, shard_name

SELECTION_HASH = "0123456789ab"


def crop_record(key: str, split: str, side_px: int) -> CropRecord:
    """Return a record without metrics, hashes and place."""
    box = Box(0, 0, side_px, side_px)
    return CropRecord(key, "", 0, 0, "", key, "ab", 1, box, "0" * 16, "0" * 16, {}, split, key)


def write_selection(
    root: Path,
    train: tuple[int, ...],
    validation: tuple[int, ...],
    side_px: int,
    draw: Callable[[str, int], np.ndarray] | None = None,
) -> Path:
    """Write shards and the selection.json that names them; return the path of selection.json.

    Args:
        root: directory to write to.
        train: number of samples of each training shard.
        validation: number of samples of each validation shard.
        side_px: side of the images.
        draw: returns the image of a key (its split, shard and number) and a side; by default `image_of`.
    """
    splits = {}
    for split, counts in (("train", train), ("validation", validation)):
        splits[split] = tuple(
            _shard(root, split, shard, count, side_px, draw or image_of) for shard, count in enumerate(counts)
        )
    totals = {"train": sum(train), "validation": sum(validation), "rejected": 0}
    manifest = SelectionManifest(SCHEMA, SELECTION_HASH, side_px, "png", splits, totals, {})
    path = root / "selection" / "selection.json"
    write_json(path, to_plain(manifest))
    return path


def image_of(key: str, side_px: int) -> np.ndarray:
    """Return the image of a sample: uint8, side x side x 3."""
    split, shard, number = key.split("-")
    return textured(hash_free_seed(split, int(shard), int(number)), side_px, side_px)


def hash_free_seed(split: str, shard: int, number: int) -> int:
    """Return a seed that is the same in every process."""
    return (split == "train") * 10_000 + shard * 100 + number


def _shard(
    root: Path,
    split: str,
    shard: int,
    count: int,
    side_px: int,
    draw: Callable[[str, int], np.ndarray],
) -> SelectedShard:
    paths = ShardPaths(root, shard_name(split, shard))
    with open_shard(paths, split, "png", []) as writer:
        for number in range(count):
            key = f"{split}-{shard}-{number}"
            writer.add(crop_record(key, split, side_px), encode_png(draw(key, side_px)))
    header = read_header(paths.header)
    index = f"../index/{paths.index.name}"
    tar = f"../shards/{paths.tar.name}"
    return SelectedShard(tar, index, count, header.tar_bytes, header.tar_xxh3, header.index_sha256)
