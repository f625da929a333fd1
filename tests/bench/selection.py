"""Measure how long SelectSamples takes for made crop datasets of many rows, and how much memory.

    python tests/bench/selection.py [--rows 1000000,10000000] [--bits 2,4,8,10]

The rows have random perceptual hashes; a fifth of them are others with up to six bits flipped. Shards have no images,
only their indexes: a selection reads nothing else. Each selection runs in a process of its own. Printed are the
processor time and the peak memory of the whole selection, and the processor time of comparing every pair of hashes (on
a sample, scaled up by the square of its size) as the reference.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from data.atomic_files import write_bytes, write_json
from data.dali_index import IndexComponent, IndexLine, encode_index
from data.hashing import sha256_bytes, sha256_file
from data.record_json import to_plain
from data.records import SCHEMA, DatasetManifest, ShardHeader
from data.shards import ShardPaths
from pipeline.dataset import PARQUET, PARQUET_COLUMNS
from pipeline.selection.leakage import NO_BENCHMARKS
from pipeline.selection.rules import parse_rule
from pipeline.selection.select_samples import read_selection, select_samples
from pipeline.selection.settings import SelectionSettings

_CROPS_PER_SHARD = 5000
_SAMPLE = 4000


def make_hashes(count: int, random: np.random.Generator) -> np.ndarray:
    """Return random hashes, of which a fifth differ in up to six bits from another one."""
    hashes = random.integers(0, 2**64, count, np.uint64, endpoint=False)
    rows, twins = random.integers(0, count, count // 5), random.integers(0, count, count // 5)
    flips = np.zeros(len(rows), np.uint64)
    for _ in range(6):
        bit = np.uint64(1) << random.integers(0, 64, len(rows), np.uint64)
        flips ^= np.where(random.random(len(rows)) < 0.7, bit, np.uint64(0))
    hashes[rows] = hashes[twins] ^ flips
    return hashes


def make_dataset(directory: Path, count: int) -> None:
    """Write a dataset of `count` crops without images."""
    random = np.random.default_rng(0)
    hashes, headers = make_hashes(count, random), []
    with pyarrow.parquet.ParquetWriter(directory / PARQUET, PARQUET_COLUMNS, compression="zstd") as writer:
        for first in range(0, count, _CROPS_PER_SHARD):
            split = "validation" if first == 0 else "train"
            paths = ShardPaths(directory, f"{split}-{first // _CROPS_PER_SHARD:06d}")
            table = _make_table(hashes[first : first + _CROPS_PER_SHARD], first, paths.shard, split)
            writer.write_table(table)
            headers.append(_write_index(paths, split, table["key"].to_pylist()))
    manifest = DatasetManifest(
        DatasetManifest.VERSION, "made", "00", "made", "CC0", 512, "png", tuple(headers), {"crops": count}, {}, "",
        {PARQUET: sha256_file(directory / PARQUET)},
    )  # fmt: skip
    write_json(directory / "dataset.json", to_plain(manifest))


def _make_table(hashes: np.ndarray, first: int, shard: str, split: str) -> pyarrow.Table:
    rows = [f"{value:016x}" for value in hashes.tolist()]
    keys = [f"{sha256_bytes(str(first + row).encode())[:16]}-{row % 8:03d}" for row in range(len(rows))]
    sources = [f"folder/image-{(first + row) // 8:08d}.png" for row in range(len(rows))]
    texts = {
        "key": keys, "phash": rows, "source": sources, "shard": [shard] * len(rows), "split": [split] * len(rows),
        "group": sources,
        "source_sha256": [sha256_bytes(one.encode()) for one in sources],
        "source_phashes": [rows[row // 8 * 8] * 8 for row in range(len(rows))],
    }  # fmt: skip
    columns = []
    for field in PARQUET_COLUMNS:
        blank = [""] * len(rows) if field.type == pyarrow.string() else np.zeros(len(rows))
        columns.append(pyarrow.array(texts.get(field.name, blank)).cast(field.type))
    return pyarrow.table(columns, schema=PARQUET_COLUMNS)


def _write_index(paths: ShardPaths, split: str, keys: list[str]) -> ShardHeader:
    lines = [
        IndexLine(
            (
                IndexComponent("png", 512 + row * 500_000, 480_000, f"{key}.png"),
                IndexComponent("json", 490_000 + row * 500_000, 700, f"{key}.json"),
            )
        )
        for row, key in enumerate(keys)
    ]
    index = encode_index(lines)
    write_bytes(paths.index, index)
    return ShardHeader(
        SCHEMA, paths.shard, split, len(keys), 1, 1, 1, "", sha256_bytes(index), sha256_bytes(b""), ""
    )


def measure(directory: Path, out_dir: Path, bits: int, results: Connection) -> None:
    """Select once, and send processor seconds, peak memory in MB and the number of near duplicates."""
    settings = SelectionSettings(
        near_duplicate_bits=bits,
        copy_bits=bits,
        group_bits=16,
        rules=(parse_rule("sharpness >= 0"),),
        max_validation=256,
    )
    start = time.process_time()
    select_samples([directory], NO_BENCHMARKS, settings, out_dir, "abc")
    seconds = time.process_time() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    results.send((seconds, peak_mb, read_selection(out_dir).rejections.get("near_duplicate", 0)))


def compare_every_pair_s(count: int) -> float:
    """Return the processor seconds of comparing every pair of `count` hashes, estimated on a sample."""
    hashes = make_hashes(_SAMPLE, np.random.default_rng(1))
    start = time.process_time()
    for row in range(_SAMPLE):
        np.flatnonzero(np.bitwise_count(hashes[row + 1 :] ^ hashes[row]) <= 4)
    return (time.process_time() - start) * (count / _SAMPLE) ** 2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure how long SelectSamples takes for many crops.")
    parser.add_argument("--rows", default="1000000", help="numbers of crops, separated by commas")
    parser.add_argument("--bits", default="2,4,8,10")
    options = parser.parse_args()
    print("    crops  bits  near duplicates  processor s  s per million  peak MB  every pair / this")
    for rows in map(int, options.rows.split(",")):
        reference_s = compare_every_pair_s(rows)
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / "made"
            directory.mkdir()
            make_dataset(directory, rows)
            for bits in map(int, options.bits.split(",")):
                seconds, peak_mb, found = measure_alone(directory, Path(folder) / f"s{bits}", bits)
                print(
                    f"{rows:9}  {bits:4}  {found:15}  {seconds:11.1f}  {1e6 * seconds / rows:13.1f}  {peak_mb:7}"
                    f"  {reference_s / seconds:17.1f}",
                    flush=True,
                )


def measure_alone(directory: Path, out_dir: Path, bits: int) -> tuple[float, int, int]:
    """Measure in a process of its own, whose peak of memory is that of the selection.

    Raises:
        RuntimeError: the process died.
    """
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=measure, args=(directory, out_dir, bits, sender))
    process.start()
    sender.close()
    try:
        found: tuple[float, int, int] = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"The selection ended with exit code {process.exitcode}") from None
    process.join()
    return found


if __name__ == "__main__":
    main()
