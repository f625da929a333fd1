"""Find the pairs of images whose distance is nearest to a threshold: those just rejected and those just kept."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pipeline.perceptual_hash import ORIENTATIONS
from pipeline.selection.copies import find_copies, list_sources
from pipeline.selection.crop_table import CropTable
from pipeline.selection.filters import COPIES, LEAKAGE, NEAR_DUPLICATES
from pipeline.selection.hamming import Rows, find_first_within, find_near_duplicates, parse_hashes
from pipeline.selection.leakage import BenchmarkHashes

SHOWN = 6
"""Pairs on each side of a threshold."""
_BITS_BEYOND = 6
"""How far beyond a threshold pairs are searched for."""
_HASH_BITS = 64


class Pair(NamedTuple):
    """Two images that are alike."""

    distance_bits: int
    """In how many bits their perceptual hashes differ."""
    row: int
    """The row of a crop; of an image its first crop."""
    other: int | str
    """The row of the crop that it is like, or benchmark/image."""


class Pairs(NamedTuple):
    """The pairs nearest to a threshold."""

    filter: str
    """The key of [selection] that holds the threshold."""
    rejected: list[Pair]
    """The most different ones that are within the threshold."""
    kept: list[Pair]
    """The most alike ones that are beyond it, among the selected crops."""


class _Found(NamedTuple):
    """Pairs as columns."""

    distances: Rows
    rows: Rows
    others: Rows
    """Rows of crops, or numbers of benchmark images."""


_Search = Callable[[int], _Found]
"""Finds for each image that has one within so many bits one such other image."""


def find_pairs(
    name: str, bits: int, crops: CropTable, benchmarks: BenchmarkHashes, reached: Rows, selected: Rows
) -> Pairs:
    """Find the pairs nearest to the threshold of one filter.

    Args:
        name: LEAKAGE, COPIES or NEAR_DUPLICATES.
        bits: its threshold.
        crops: the crops of all datasets.
        benchmarks: hashes of the benchmark images.
        reached: rows of the crops that reach the filter.
        selected: rows of the crops that are selected in the end.
    """
    begin = {LEAKAGE: _search_leaks, COPIES: _search_copies, NEAR_DUPLICATES: _search_near_duplicates}[name]
    found = begin(crops, benchmarks, reached)(bits)
    rejected = _take(found, np.lexsort((found.rows, -found.distances)), name, benchmarks)
    kept: list[Pair] = []
    search = begin(crops, benchmarks, selected)
    for more in range(1, min(_BITS_BEYOND, _HASH_BITS - bits) + 1):
        found = search(bits + more)
        kept = _take(found, np.lexsort((found.rows, found.distances)), name, benchmarks)
        if len(kept) == SHOWN:
            break
    return Pairs(name, rejected, kept)


def _take(found: _Found, order: Rows, name: str, benchmarks: BenchmarkHashes) -> list[Pair]:
    """Return the first pairs in an order."""
    columns = (column[order[:SHOWN]].tolist() for column in found)
    return [
        Pair(distance, row, benchmarks.names[other] if name == LEAKAGE else other)
        for distance, row, other in zip(*columns, strict=True)
    ]


def _search_leaks(crops: CropTable, benchmarks: BenchmarkHashes, rows: Rows) -> _Search:
    sources = list_sources(crops, rows)
    first, targets = sources.first_crops(rows), parse_hashes(benchmarks.perceptual)

    def search(bits: int) -> _Found:
        found = find_first_within(sources.hashes.ravel(), targets, bits).reshape(-1, ORIENTATIONS)
        target = found.max(axis=1, initial=-1)
        near = np.flatnonzero(target >= 0)
        distances = np.bitwise_count(sources.hashes[near] ^ targets[target[near], None]).min(
            axis=1, initial=_HASH_BITS
        )
        return _Found(distances.astype(np.int64), first[near], target[near])

    return search


def _search_copies(crops: CropTable, benchmarks: BenchmarkHashes, rows: Rows) -> _Search:
    sources = list_sources(crops, rows)
    first = sources.first_crops(rows)

    def search(bits: int) -> _Found:
        kept = find_copies(sources.hashes, bits)
        near = np.flatnonzero(kept >= 0)
        upright = sources.hashes[kept[near], :1]
        distances = np.bitwise_count(sources.hashes[near] ^ upright).min(axis=1, initial=_HASH_BITS)
        return _Found(distances.astype(np.int64), first[near], first[kept[near]])

    return search


def _search_near_duplicates(crops: CropTable, benchmarks: BenchmarkHashes, rows: Rows) -> _Search:
    hashes = crops.hashes()[rows]

    def search(bits: int) -> _Found:
        kept = find_near_duplicates(hashes, bits)
        near = np.flatnonzero(kept >= 0)
        distances = np.bitwise_count(hashes[near] ^ hashes[kept[near]]).astype(np.int64)
        return _Found(distances, rows[near], rows[kept[near]])

    return search
