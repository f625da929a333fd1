"""Measure how long SelectSamples takes for made crop datasets of many rows, and how much memory.

    python tests/bench/selection.py [--rows 1000000,10000000] [--bits 2,4,8,10] [--page]

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
from typing import NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet

from data.atomic_files import write_bytes, write_json
from data.dali_index import IndexComponent, IndexLine, encode_index
from data.hashing import sha256_bytes, sha256_file
from data.record_json import to_plain
from data.records import SCHEMA, DatasetManifest, ShardHeader
from data.shards import ShardPaths
from pipeline.dataset import PARQUET, PARQUET_COLUMNS, read_manifest
from pipeline.quality_metrics import METRICS
from pipeline.selection.decisions import read_decisions
from pipeline.selection.leakage import NO_BENCHMARKS
from pipeline.selection.rules import parse_rule
from pipeline.selection.select_samples import read_scored_crops, read_selection, select_samples
from pipeline.selection.settings import SelectionSettings
from pipeline.selection_page.contents import HASH_FILTERS, Contents
from pipeline.selection_page.pairs import find_pairs
from pipeline.selection_page.selection_page import count_metrics, count_steps

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
    # The hash of an image says nothing about that of the image when it is turned.
    others = [hashes[::8] * np.uint64(2 * turn + 1) for turn in range(8)]
    of_sources = ["".join(f"{value:016x}" for value in each) for each in np.stack(others, 1).tolist()]
    turned = [of_sources[row // 8] for row in range(len(rows))]
    texts = {
        "key": keys, "phash": rows, "source": sources, "shard": [shard] * len(rows), "split": [split] * len(rows),
        "group": sources,
        "source_sha256": [sha256_bytes(one.encode()) for one in sources],
        "source_phashes": turned,
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


class Measured(NamedTuple):
    """What a selection has taken."""

    seconds: float
    """Processor seconds."""
    peak_mb: int
    """Of memory."""
    near_duplicates: int
    page_seconds: float
    """Processor seconds of the figures of its page, without the images; 0 if they are not measured."""


def measure(directory: Path, out_dir: Path, bits: int, page: bool, results: Connection) -> None:
    """Select once, and send what that has taken."""
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
    found = read_selection(out_dir).rejections.get("near_duplicate", 0)
    results.send(
        Measured(seconds, peak_mb, found, _make_page_figures(directory, out_dir, settings) if page else 0.0)
    )


def _make_page_figures(directory: Path, out_dir: Path, settings: SelectionSettings) -> float:
    """Make the figures of a selection's page; return the processor seconds."""
    start = time.process_time()
    selection = read_selection(out_dir)
    crops = read_scored_crops([directory], [read_manifest(directory)], settings, METRICS)
    decisions = read_decisions(out_dir, selection.decisions_sha256)
    contents = Contents(selection, crops, decisions, NO_BENCHMARKS, settings)
    count_steps(contents)
    count_metrics(contents)
    for name in HASH_FILTERS:
        if contents.is_comparing(name):
            find_pairs(contents, name)
    return time.process_time() - start


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
    parser.add_argument("--page", action="store_true", help="also make the figures of ReviewSelection")
    options = parser.parse_args()
    heads = (
        "crops",
        "bits",
        "near duplicates",
        "processor s",
        "s per million",
        "peak MB",
        "every pair / this",
        "page s",
    )
    print("  ".join(f"{head:>9}" for head in heads))
    for rows in map(int, options.rows.split(",")):
        reference_s = compare_every_pair_s(rows)
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / "made"
            directory.mkdir()
            make_dataset(directory, rows)
            for bits in map(int, options.bits.split(",")):
                one = measure_alone(directory, Path(folder) / f"s{bits}", bits, options.page)
                cells = [f"{rows}", f"{bits}", f"{one.near_duplicates}", f"{one.seconds:.1f}"]
                cells += [
                    f"{1e6 * one.seconds / rows:.1f}",
                    f"{one.peak_mb}",
                    f"{reference_s / one.seconds:.1f}",
                ]
                cells += [f"{one.page_seconds:.1f}" if options.page else ""]
                row = (cell.rjust(max(9, len(head))) for head, cell in zip(heads, cells, strict=True))
                print("  ".join(row), flush=True)


def measure_alone(directory: Path, out_dir: Path, bits: int, page: bool) -> Measured:
    """Measure in a process of its own, whose peak of memory is that of the selection.

    Raises:
        RuntimeError: the process died.
    """
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=measure, args=(directory, out_dir, bits, page, sender))
    process.start()
    sender.close()
    try:
        found: Measured = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"The selection ended with exit code {process.exitcode}") from None
    process.join()
    return found


if __name__ == "__main__":
    main()
