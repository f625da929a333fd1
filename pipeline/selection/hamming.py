"""Find 64-bit perceptual hashes that differ in few bits, among millions, without comparing every pair.

Two hashes that differ in at most r of 64 bits differ in few bits of at least one of m disjoint bands of bits: if band b
is allowed r_b bits and the r_b add up to r - m + 1, at least one band stays within its own (pigeonhole). So for each
band the hashes are sorted by its value, and each group of equal values is compared, in one array operation, with the
groups whose value differs in at most r_b bits.

Source: Norouzi, Punjani, Fleet, Fast exact search in Hamming space with multi-index hashing (2014).
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

HASH_BITS = 64
Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

_PAIR_S, _GROUP_S = 1.2e-9, 40e-6
"""What comparing a pair and visiting a group cost, about: they only choose between ways that give the same result."""
_BLOCK_PAIRS = 1 << 16
"""Pairs that are compared at once. They fit the processor's cache."""
_MAX_BAND_BITS = 20


def parse_hashes(digits: Sequence[str]) -> Hashes:
    """Convert hashes of 16 hex digits to numbers.

    Example:
        >>> parse_hashes(["00000000000000ff"])
        array([255], dtype=uint64)
    """
    return np.frombuffer(bytes.fromhex("".join(digits)), ">u8").astype(np.uint64)


def find_first_within(queries: Hashes, targets: Hashes, bits: int) -> Rows:
    """Return for each query the first target that differs from it in at most `bits` bits, or -1.

    Args:
        queries, targets: hashes, one-dimensional.
        bits: largest number of differing bits, from 0 to 64.

    Returns:
        One index into `targets`, or -1, for each query.
    """
    first = np.full(len(queries), len(targets), np.int64)
    for rows, others in _candidates(queries, targets, bits, among_themselves=False):
        near = np.bitwise_count(queries[rows][:, None] ^ targets[others][None]) <= bits
        found = near.any(axis=1)
        if found.any():
            nearest = np.where(near[found], others, len(targets)).min(axis=1)
            first[rows[found]] = np.minimum(first[rows[found]], nearest)
    return np.where(first < len(targets), first, -1)


def find_near_duplicates(hashes: Hashes, bits: int) -> Rows:
    """Keep each hash that has no kept hash before it within `bits` bits; return for each other one such hash.

    Args:
        hashes: one-dimensional, the one to keep first.
        bits: largest number of bits in which near-duplicates differ, from 0 to 64.

    Returns:
        -1 for each hash that is kept, else the index of a kept hash before it that it is near to.

    Example:
        >>> find_near_duplicates(np.array([0, 1, 3, 255], np.uint64), bits=1)
        array([-1,  0, -1, -1])
    """
    # Equal hashes need no search: what holds for the first holds for the others.
    _, firsts, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    distinct = np.sort(firsts)
    near = np.full(len(hashes), -1, np.int64)
    near[distinct] = _find_among_distinct(hashes[distinct], bits, distinct)
    representative = firsts[inverse]
    equal = representative != np.arange(len(hashes))
    kept = near[representative[equal]] == -1
    near[equal] = np.where(kept, representative[equal], near[representative[equal]])
    return near


def _find_among_distinct(hashes: Hashes, bits: int, names: Rows) -> Rows:
    """Return the result of `find_near_duplicates` for distinct hashes, as names of the kept ones.

    A hash with nothing near before it is kept. What is near to one of these is settled; the others, near only to hashes
    that are not kept, are searched among themselves again.
    """
    near = np.full(len(hashes), -1, np.int64)
    undecided = np.arange(len(hashes))
    while len(undecided):
        before = _find_first_before(hashes[undecided], bits)
        kept, rest = undecided[before == -1], undecided[before != -1]
        # The first one before it is usually kept itself. Else the kept ones are searched; one after it does not count.
        first = undecided[before[before != -1]]
        unclear = before[before[before != -1]] != -1
        found = find_first_within(hashes[rest[unclear]], hashes[kept], bits)
        first[unclear] = np.where(found != -1, kept[found], len(hashes))
        settled = first < rest
        near[rest[settled]] = names[first[settled]]
        undecided = rest[~settled]
    return near


def _find_first_before(hashes: Hashes, bits: int) -> Rows:
    """Return for each hash the first one before it within `bits` bits, or -1."""
    first = np.arange(len(hashes))
    for rows, others in _candidates(hashes, hashes, bits, among_themselves=True):
        near = np.bitwise_count(hashes[rows][:, None] ^ hashes[others][None]) <= bits
        # Far faster than np.nonzero of the matrix, nearly all of which is False.
        found = np.flatnonzero(near.ravel())
        if len(found):
            one, other = rows[found // len(others)], others[found % len(others)]
            np.minimum.at(first, np.maximum(one, other), np.minimum(one, other))
    return np.where(first < np.arange(len(hashes)), first, -1)


class _Bands(NamedTuple):
    """How hashes are divided to be searched."""

    width: int
    """Bits of a band."""
    radii: tuple[int, ...]
    """For each band the number of bits in which the groups that are compared differ."""


def _candidates(
    queries: Hashes, targets: Hashes, bits: int, *, among_themselves: bool
) -> Iterator[tuple[Rows, Rows]]:
    """Yield blocks of rows of both, such that every pair within `bits` bits is in at least one block."""
    bands = _choose_bands(len(queries), len(targets), bits)
    if bands is None:
        yield from _split_block(np.arange(len(queries)), np.arange(len(targets)))
        return
    for band, radius in enumerate(bands.radii):
        masks = _masks_within(bands.width, radius)
        query_rows, query_starts = _group(_read_band(queries, band, bands), bands.width)
        target_rows, target_starts = (
            (query_rows, query_starts)
            if among_themselves
            else _group(_read_band(targets, band, bands), bands.width)
        )
        for group in np.flatnonzero(np.diff(query_starts)):
            near = group ^ masks
            # Among themselves, each pair of groups is compared once.
            near = near[near >= group] if among_themselves else near
            others = _join_ranges(target_rows, target_starts[near], target_starts[near + 1])
            if len(others) > among_themselves:
                yield from _split_block(query_rows[query_starts[group] : query_starts[group + 1]], others)


def _choose_bands(queries: int, targets: int, bits: int) -> _Bands | None:
    """Return the division of hashes that should be fastest, or None to compare all pairs."""
    best, best_s = None, queries * targets * _PAIR_S
    for width in range(2, _MAX_BAND_BITS + 1):
        count = HASH_BITS // width
        spare = bits - count + 1
        radii = tuple((spare + band) // count for band in range(count)) if spare >= 0 else (0,) * (bits + 1)
        if max(radii) >= width:
            continue
        groups = min(queries, 1 << width)
        seconds = sum(
            groups * _GROUP_S + queries * targets / 2**width * _ball_size(width, radius) * _PAIR_S
            for radius in radii
        )
        if seconds < best_s:
            best, best_s = _Bands(width, radii), seconds
    return best


def _ball_size(width: int, radius: int) -> int:
    return sum(math.comb(width, flipped) for flipped in range(radius + 1))


@functools.cache
def _masks_within(width: int, radius: int) -> Rows:
    """Return all numbers of `width` bits of which at most `radius` are set, ascending."""
    flips = (
        positions for count in range(radius + 1) for positions in itertools.combinations(range(width), count)
    )
    return np.array(sorted(sum(1 << bit for bit in positions) for positions in flips), np.int64)


def _read_band(hashes: Hashes, band: int, bands: _Bands) -> Rows:
    """Return the value of one band of each hash. Its bits lie far apart, since neighboring coefficients are alike."""
    step = HASH_BITS // bands.width
    value = np.zeros(len(hashes), np.int64)
    for bit in range(bands.width):
        value |= ((hashes >> np.uint64(bit * step + band)) & np.uint64(1)).astype(np.int64) << bit
    return value


def _group(values: Rows, width: int) -> tuple[Rows, Rows]:
    """Return the rows sorted by value, and for each value (and one more) where its rows start."""
    rows: Rows = np.argsort(values, kind="stable")
    return rows, np.concatenate(([0], np.cumsum(np.bincount(values, minlength=1 << width))))


def _join_ranges(rows: Rows, starts: Rows, ends: Rows) -> Rows:
    """Return rows[start:end] of all ranges, joined."""
    if len(starts) == 1:
        return rows[starts[0] : ends[0]]
    lengths = ends - starts
    offsets = np.cumsum(lengths)
    places: Rows = np.repeat(starts - offsets + lengths, lengths) + np.arange(offsets[-1])
    return rows[places]


def _split_block(rows: Rows, others: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Yield the pairs of rows and others in blocks of limited size."""
    width = min(len(others), _BLOCK_PAIRS)
    height = max(1, _BLOCK_PAIRS // max(1, width))
    for top in range(0, len(rows), height):
        for left in range(0, len(others), max(1, width)):
            yield rows[top : top + height], others[left : left + width]
