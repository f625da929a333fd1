"""Write the filtered DALI indexes of a selection, whose samples are in a random order that the seed fixes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.atomic_files import write_bytes
from data.dali_index import encode_index_rows, read_index_rows, row_key
from data.errors import UserError
from data.hashing import numbers, sha256_bytes
from data.records import DatasetManifest
from data.selection import SelectedShard
from data.shards import ShardPaths, check_file
from pipeline.selection.hamming import Rows
from pipeline.selection.selection import Selection

SPLITS = ("train", "validation")


class SelectedCrops(NamedTuple):
    """The selected crops of one shard for one split."""

    dataset: int
    """Number of the dataset."""
    shard: str
    split: str
    rows: Rows
    """Of the crops."""


def group_by_shard(selection: Selection) -> list[SelectedCrops]:
    """Group the selected crops by dataset, shard and split, sorted by these."""
    rows, crops = selection.rows, selection.crops
    shards = crops.shared("shard")
    names = np.array(shards.values)
    order = np.argsort(names)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    code = (crops.datasets[rows] * len(names) + rank[shards.rows[rows]]) * len(SPLITS) + ~crops.training[rows]
    codes, first = np.unique(code[by_code := np.argsort(code, kind="stable")], return_index=True)
    parts = np.split(rows[by_code], first[1:])
    return [
        SelectedCrops(
            one // len(SPLITS) // len(names),
            str(names[order[one // len(SPLITS) % len(names)]]),
            SPLITS[one % len(SPLITS)],
            part,
        )
        for one, part in zip(codes.tolist(), parts, strict=False)
    ]


def write_indexes(
    groups: Sequence[SelectedCrops],
    selection: Selection,
    datasets: Sequence[Path],
    manifests: Sequence[DatasetManifest],
    out_dir: Path,
    seed: int,
) -> Iterator[tuple[str, SelectedShard]]:
    """Write an index for each shard with a selected crop, its samples shuffled.

    Where crops of a shard are for the other split, as their group is there, each split has an index of the shard.

    Args:
        groups: as `group_by_shard` returns them.
        selection: all filters of which have run.
        datasets, manifests: directories of the datasets, and their dataset.json.
        out_dir: directory of the selection.
        seed: of the order.

    Yields:
        The split, and the record of the shard in it.

    Raises:
        UserError: an index is missing, differs from its record, or lacks a crop.
    """
    headers = {(place, one.shard): one for place, manifest in enumerate(manifests) for one in manifest.shards}
    for place, shard, split, rows in groups:
        header = headers[place, shard]
        paths = ShardPaths(datasets[place], shard)
        check_file(paths.index, header.index_sha256)
        content = _encode_shuffled(paths.index, selection.crops.texts("key", rows), seed)
        suffix = "" if split == header.split else f"-{split}"
        index = f"index/{manifests[place].name}-{place}-{shard}{suffix}.idx"
        write_bytes(out_dir / index, content)
        record = SelectedShard(
            tar=os.path.relpath(paths.tar, out_dir),
            index=index,
            samples=len(rows),
            tar_bytes=header.tar_bytes,
            tar_xxh3=header.tar_xxh3,
            index_sha256=sha256_bytes(content),
        )
        yield split, record


def _encode_shuffled(index: Path, keys: Sequence[str], seed: int) -> bytes:
    """Encode an index of some of the samples of another one, in a random order.

    Raises:
        UserError: the index lacks one of them.
    """
    # Bound to its record by the hash, so its lines need not be checked one by one.
    row_of = {row_key(row): row for row in read_index_rows(index)}
    if missing := [key for key in keys if key not in row_of]:
        message = (
            f"{index} lacks {len(missing)} crops that dataset.parquet has in it, {missing[0]} among them"
        )
        raise UserError(message, "Delete the directory of its dataset and run MakeCrops again")
    shuffled = sorted(zip(numbers("shuffle", seed, texts=keys), keys, strict=True))
    return encode_index_rows([row_of[key] for _, key in shuffled])
