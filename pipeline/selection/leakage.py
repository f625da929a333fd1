"""Find crops whose source image is also in a benchmark."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from data.records import Rejection, SourceEntry
from data.sources import Source
from pipeline.perceptual_hash import HASH_DIGITS, ORIENTATIONS, hash_orientations
from pipeline.selection.crop_table import CropTable
from pipeline.selection.hamming import find_first_within, parse_hashes


class Benchmark(NamedTuple):
    """A benchmark that a selection keeps clear of."""

    name: str
    source: Source
    entries: list[SourceEntry]
    """Its images."""


class BenchmarkHashes(NamedTuple):
    """Hashes of all benchmark images, to find leakage."""

    names: tuple[str, ...]
    """benchmark/image of each perceptual hash."""
    perceptual: tuple[str, ...]
    """16 hex digits each."""
    exact: Mapping[str, str]
    """Name of the image by the sha256 of its stored bytes."""


NO_BENCHMARKS = BenchmarkHashes((), (), {})


def hash_benchmarks(benchmarks: Iterable[Benchmark]) -> BenchmarkHashes:
    """Hash the images of benchmarks, so that training crops of these images can be rejected.

    Args:
        benchmarks: the benchmarks.
    """
    exact: dict[str, str] = {}
    perceptual: dict[str, str] = {}
    for name, source, entries in benchmarks:
        for entry, image in source.read(entries):
            exact[entry.sha256] = f"{name}/{entry.id}"
            if not isinstance(image, Rejection):
                perceptual[f"{name}/{entry.id}"] = hash_orientations(image)[:HASH_DIGITS]
    return BenchmarkHashes(tuple(perceptual), tuple(perceptual.values()), exact)


def find_leaks(crops: CropTable, benchmarks: BenchmarkHashes, bits: int) -> dict[int, str]:
    """Return the benchmark image that each leaked crop's source is the same image as, by the crop's row.

    Args:
        crops: the crops.
        benchmarks: hashes of the benchmark images.
        bits: largest number of bits in which perceptual hashes of the same image differ, in any of the orientations of
            the source; -1 compares stored bytes only.
    """
    stored = crops.shared("source_sha256")
    leaks = [benchmarks.exact.get(digest) for digest in stored.values]
    found = {int(row): str(leaks[stored.rows[row]]) for row in _rows_with(stored.rows, leaks)}
    if bits >= 0 and benchmarks.perceptual:
        sources = crops.shared("source_phashes")
        near = find_first_within(parse_hashes(sources.values), parse_hashes(benchmarks.perceptual), bits)
        # The largest, since -1 stands for none.
        first = near.reshape(-1, ORIENTATIONS).max(axis=1)
        names = [benchmarks.names[target] if target >= 0 else None for target in first]
        alike = {int(row): str(names[sources.rows[row]]) for row in _rows_with(sources.rows, names)}
        found = alike | found
    return found


def _rows_with(rows: np.ndarray, names: list[str | None]) -> np.ndarray:
    """Return the rows whose value has a name."""
    return np.flatnonzero(np.array([name is not None for name in names], bool)[rows])
