"""Write the filtered DALI indexes of a selection, whose samples are in a random order that the seed fixes."""

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from data.atomic_files import write_bytes
from data.dali_index import encode_index_rows, read_index_rows, row_key
from data.hashing import number, sha256_bytes
from data.records import DatasetManifest
from data.selection import SelectedShard
from data.shards import ShardPaths, check_file


def write_indexes(
    selected_keys: Mapping[tuple[int, str, str], Set[str]],
    datasets: Sequence[Path],
    manifests: Sequence[DatasetManifest],
    out_dir: Path,
    seed: int,
) -> Iterator[tuple[str, SelectedShard]]:
    """Write an index for each shard with a selected crop, its samples shuffled.

    Args:
        selected_keys: keys of the selected crops by dataset number, shard and split.
        datasets: directories of the datasets.
        manifests: their dataset.json.
        out_dir: directory of the selection.
        seed: of the order.

    Yields:
        The split, and the record of the shard in it.

    Raises:
        UserError: an index is missing or differs from its record.
    """
    headers = {(place, one.shard): one for place, manifest in enumerate(manifests) for one in manifest.shards}
    for (place, shard, split), selected in sorted(selected_keys.items()):
        header = headers[place, shard]
        paths = ShardPaths(datasets[place], shard)
        check_file(paths.index, header.index_sha256)
        # Bound to its record by the hash, so its lines need not be checked one by one.
        row_of = {row_key(row): row for row in read_index_rows(paths.index)}
        keys = sorted(selected & row_of.keys(), key=lambda key: (number("shuffle", seed, key), key))
        content = encode_index_rows([row_of[key] for key in keys])
        suffix = "" if split == header.split else f"-{split}"
        index = f"index/{manifests[place].name}-{place}-{shard}{suffix}.idx"
        write_bytes(out_dir / index, content)
        yield (
            split,
            SelectedShard(
                tar=os.path.relpath(paths.tar, out_dir),
                index=index,
                samples=len(keys),
                tar_bytes=header.tar_bytes,
                tar_xxh3=header.tar_xxh3,
                index_sha256=sha256_bytes(content),
            ),
        )
