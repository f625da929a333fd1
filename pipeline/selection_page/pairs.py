"""Find the pairs of images whose distance is nearest to a threshold: those just rejected and those just kept."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow.compute

from pipeline.perceptual_hash import ORIENTATIONS
from pipeline.selection.copies import list_sources
from pipeline.selection.filters import COPIES, LEAKAGE, NEAR_DUPLICATES
from pipeline.selection.hamming import Rows, find_first_within, find_near_duplicates, parse_hashes
from pipeline.selection.leakage import BenchmarkHashes
from pipeline.selection_page.contents import Contents

SHOWN = 6
"""Pairs on each side of a threshold."""
BITS_BEYOND = 6
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


class LikePair(NamedTuple):
    """A crop that a filter rejects, and the image that it is like."""

    detail: str
    """Why it is rejected."""
    row: int
    """The row of the crop."""
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


def find_pairs(contents: Contents, name: str) -> Pairs:
    """Find the pairs nearest to the threshold of one filter.

    Args:
        contents: the crops and the decisions.
        name: one of HASH_FILTERS.
    """
    bits, benchmarks = getattr(contents.settings, name), contents.hashes
    begin = {LEAKAGE: _search_leaks, COPIES: _search_copies, NEAR_DUPLICATES: _search_near_duplicates}[name]
    found = begin(contents, contents.reached(name))(bits)
    rejected = _take(found, np.lexsort((found.rows, -found.distances)), name, benchmarks)
    kept: list[Pair] = []
    search = begin(contents, contents.selected)
    for more in range(1, min(BITS_BEYOND, _HASH_BITS - bits) + 1):
        found = search(bits + more)
        kept = _take(found, np.lexsort((found.rows, found.distances)), name, benchmarks)
        if len(kept) == SHOWN:
            break
    return Pairs(name, rejected, kept)


def find_like_pairs(contents: Contents, name: str) -> list[LikePair]:
    """Return some of the crops that a filter rejects because they are like another image, evenly spread.

    Args:
        contents: the crops and the decisions.
        name: of a filter; one that compares nothing gives no pairs.
    """
    rows = contents.decisions.rows_with_like(contents.filters.index(name))
    rows = rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(np.int64)]
    keys = contents.crops.column("key")
    pairs = []
    for row in rows.tolist():
        like = contents.decisions.like(row)
        other = pyarrow.compute.index(keys, like).as_py()
        pairs.append(LikePair(contents.decisions.detail(row), row, like if other < 0 else other))
    return pairs


def _take(found: _Found, order: Rows, name: str, benchmarks: BenchmarkHashes) -> list[Pair]:
    """Return the first pairs in an order."""
    columns = (column[order[:SHOWN]].tolist() for column in found)
    return [
        Pair(distance, row, benchmarks.names[other] if name == LEAKAGE else other)
        for distance, row, other in zip(*columns, strict=True)
    ]


def _search_leaks(contents: Contents, rows: Rows) -> _Search:
    sources = list_sources(contents.crops, rows)
    first, targets = sources.first_crops(rows), parse_hashes(contents.hashes.perceptual)

    def search(bits: int) -> _Found:
        found = find_first_within(sources.hashes.ravel(), targets, bits).reshape(-1, ORIENTATIONS)
        target = found.max(axis=1, initial=-1)
        near = np.flatnonzero(target >= 0)
        distances = np.bitwise_count(sources.hashes[near] ^ targets[target[near], None]).min(
            axis=1, initial=_HASH_BITS
        )
        return _Found(distances.astype(np.int64), first[near], target[near])

    return search


def _search_copies(contents: Contents, rows: Rows) -> _Search:
    sources = list_sources(contents.crops, rows)
    first = sources.first_crops(rows)

    def search(bits: int) -> _Found:
        kept = sources.find_copies(bits)
        near = np.flatnonzero(kept >= 0)
        upright = sources.hashes[kept[near], :1]
        distances = np.bitwise_count(sources.hashes[near] ^ upright).min(axis=1, initial=_HASH_BITS)
        return _Found(distances.astype(np.int64), first[near], first[kept[near]])

    return search


def _search_near_duplicates(contents: Contents, rows: Rows) -> _Search:
    rows = contents.grouped.validation_first(rows)
    hashes = contents.crops.hashes()[rows]

    def search(bits: int) -> _Found:
        kept = find_near_duplicates(hashes, bits)
        near = np.flatnonzero(kept >= 0)
        distances = np.bitwise_count(hashes[near] ^ hashes[kept[near]]).astype(np.int64)
        return _Found(distances, rows[near], rows[kept[near]])

    return search
