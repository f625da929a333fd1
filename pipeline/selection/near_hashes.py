"""Find the pairs of 64-bit hashes that differ in few bits, among millions, without comparing every pair.

Two hashes that differ in at most r of 64 bits differ in few bits of at least one of m disjoint bands of bits: if band b
is allowed r_b bits and the r_b add up to r - m + 1, at least one band stays within its own (pigeonhole). So for each
band the hashes are sorted by its value, and each group of equal values is compared, in one array operation, with the
groups whose value differs in at most r_b bits.

Source: Norouzi, Punjani, Fleet, Fast exact search in Hamming space with multi-index hashing (2014).
"""

import contextvars
import functools
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

HASH_BITS = 64
Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

_PAIR_S, _GATHER_S, _LOOKUP_S, _GROUP_S, _SORT_S = 1e-9, 4e-9, 6e-9, 9e-6, 2e-7
"""What it costs, about, to compare a pair, to gather a hash to compare with, to look up a value of a band, to visit a
group, and to sort a hash into its group. They only choose between ways that give the same result."""
_BLOCK_PAIRS = 1 << 15
"""Pairs that are compared at once. They fit the processor's cache."""
_GATHERED = 1 << 15
"""Hashes that are gathered at once, about, and values that are looked up at once."""
_MAX_BAND_BITS = 21
_SMALLEST_BUFFER = 16
"""Elements, of numpy."""


def find_pairs(
    queries: Hashes, targets: Hashes, bits: int, *, among_themselves: bool = False
) -> Iterator[tuple[Rows, Rows]]:
    """Yield every query and target that differ in at most `bits` bits, some of them more than once.

    Args:
        queries, targets: hashes, one-dimensional.
        bits: largest number of differing bits, from 0 to 64.
        among_themselves: `targets` are the `queries`; each pair is yielded once or more, in any order of the two. A
            hash may be paired with itself.

    Yields:
        Some queries, and for each of them one target.
    """
    # numpy would copy what it repeats into a buffer, which takes longer than to compare it.
    context = contextvars.copy_context()
    context.run(np.setbufsize, _SMALLEST_BUFFER)
    pairs = _find_pairs(queries, targets, bits, among_themselves=among_themselves)
    while found := context.run(next, pairs, ()):
        yield found


def _find_pairs(
    queries: Hashes, targets: Hashes, bits: int, *, among_themselves: bool
) -> Iterator[tuple[Rows, Rows]]:
    bands = choose_bands(len(queries), len(targets), bits, among_themselves=among_themselves)
    comparison = _Comparison(bits)
    if bands is None:
        yield from comparison.find(queries, targets, is_own=among_themselves)
        return
    for band, radius in enumerate(bands.radii):
        masks = _masks_within(bands.width, radius)
        of_queries = _group(queries, band, bands.width)
        of_targets = of_queries if among_themselves else _group(targets, band, bands.width)
        yield from _search_band(of_queries, of_targets, masks, comparison)


class _Comparison:
    """Compares blocks of hashes, always in the same memory.

    Args:
        bits: largest number of differing bits.
    """

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._differing = np.empty(_BLOCK_PAIRS, np.uint64)
        self._counts = np.empty(_BLOCK_PAIRS, np.uint8)

    def find(self, hashes: Hashes, others: Hashes, *, is_own: bool) -> Iterator[tuple[Rows, Rows]]:
        """Yield the places of each near pair.

        Args:
            hashes, others: to compare, each with each.
            is_own: `others` begin with `hashes`.
        """
        width = max(1, min(len(others), _BLOCK_PAIRS))
        height = _BLOCK_PAIRS // width
        for top in range(0, len(hashes), height):
            for left in range(0, len(others), width):
                beside = others[left : left + width]
                counts = self._count(hashes[top : top + height], beside)
                if is_own and width == len(others):
                    # No hash is paired with itself: nearly every block would have something to look for.
                    counts[top :: width + 1] = HASH_BITS + 1
                if counts.min() <= self._bits:
                    found = np.flatnonzero(counts <= self._bits)
                    yield top + found // len(beside), left + found % len(beside)

    def _count(self, hashes: Hashes, others: Hashes) -> npt.NDArray[np.uint8]:
        """Return in how many bits each hash differs from each of the others, by hash."""
        pairs = len(hashes) * len(others)
        differing = self._differing[:pairs]
        np.bitwise_xor(hashes[:, None], others, out=differing.reshape(len(hashes), len(others)))
        return np.bitwise_count(differing, out=self._counts[:pairs])


class _Groups(NamedTuple):
    """Hashes in the order of one of their bands."""

    hashes: Hashes
    rows: Rows
    """Where each of them was before."""
    starts: Rows
    """For each value of the band, and one more, the first hash that has it or a larger one."""


def _search_band(
    queries: _Groups, targets: _Groups, masks: Rows, comparison: _Comparison
) -> Iterator[tuple[Rows, Rows]]:
    """Yield the near pairs whose values of the band differ by one of the masks."""
    occupied = np.flatnonzero(np.diff(queries.starts))
    hashes_per_group = len(targets.hashes) / (len(targets.starts) - 1)
    at_once = max(1, int(_GATHERED / (len(masks) * max(1.0, hashes_per_group))))
    for first in range(0, len(occupied), at_once):
        yield from _search_groups(occupied[first : first + at_once], queries, targets, masks, comparison)


def _search_groups(
    groups: Rows, queries: _Groups, targets: _Groups, masks: Rows, comparison: _Comparison
) -> Iterator[tuple[Rows, Rows]]:
    is_own = queries is targets
    near = groups[:, None] ^ masks
    lengths = targets.starts[near + 1] - targets.starts[near]
    if is_own:
        # Each pair of groups is compared once.
        lengths[near < groups[:, None]] = 0
    ends = np.cumsum(lengths.sum(axis=1))
    if len(groups) > 1 and ends[-1] > 8 * _GATHERED:  # hashes are not spread evenly
        for half in np.array_split(groups, 2):
            yield from _search_groups(half, queries, targets, masks, comparison)
        return
    places = _join_ranges(targets.starts[near].ravel(), lengths.ravel())
    others = targets.hashes[places]
    # A group of one that has no other near it is only compared with itself.
    worth = np.flatnonzero(np.diff(ends, prepend=0) > is_own)
    begins = np.concatenate(([0], ends))
    bounds = np.stack((queries.starts[groups], queries.starts[groups + 1], begins[:-1], ends), axis=1)[worth]
    for first, last, begin, end in bounds.tolist():
        for one, other in comparison.find(queries.hashes[first:last], others[begin:end], is_own=is_own):
            yield queries.rows[first + one], targets.rows[places[begin + other]]


class Bands(NamedTuple):
    """How hashes are divided to be searched."""

    width: int
    """Bits of a band."""
    radii: tuple[int, ...]
    """For each band the number of bits in which the groups that are compared differ."""


def choose_bands(queries: int, targets: int, bits: int, *, among_themselves: bool) -> Bands | None:
    """Return the division of hashes that should be fastest, or None to compare all pairs.

    Args:
        queries, targets: numbers of hashes.
        bits: largest number of differing bits.
        among_themselves: the targets are the queries.
    """
    best, best_s = None, queries * targets * _PAIR_S
    for width in range(2, _MAX_BAND_BITS + 1):
        count = HASH_BITS // width
        spare = bits - count + 1
        radii = tuple((spare + band) // count for band in range(count)) if spare >= 0 else (0,) * (bits + 1)
        if max(radii) >= width:
            continue
        groups = 2**width * -math.expm1(-queries / 2**width)
        sort_s = (queries if among_themselves else queries + targets) * _SORT_S
        visits_s = sum(
            groups * (_GROUP_S + near * (_LOOKUP_S + targets / 2**width * _GATHER_S))
            + queries * targets / 2**width * near * _PAIR_S / (1 + among_themselves)
            for near in (_ball_size(width, radius) for radius in radii)
        )
        if visits_s + sort_s * len(radii) < best_s:
            best, best_s = Bands(width, radii), visits_s + sort_s * len(radii)
    return best


def _ball_size(width: int, radius: int) -> int:
    return sum(math.comb(width, flipped) for flipped in range(radius + 1))


@functools.cache
def _masks_within(width: int, radius: int) -> Rows:
    """Return all numbers of `width` bits of which at most `radius` are set, ascending: 0 comes first."""
    flips = (
        positions for count in range(radius + 1) for positions in itertools.combinations(range(width), count)
    )
    return np.array(sorted(sum(1 << bit for bit in positions) for positions in flips), np.int64)


def _group(hashes: Hashes, band: int, width: int) -> _Groups:
    values = _read_band(hashes, band, width)
    # 16 bits are sorted by counting.
    rows: Rows = np.argsort(values.astype(np.uint16) if width <= 16 else values, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(values, minlength=1 << width))))
    return _Groups(hashes[rows], rows, starts)


def _read_band(hashes: Hashes, band: int, width: int) -> npt.NDArray[np.uint32]:
    """Return the value of one band of each hash. Its bits lie far apart, since neighboring coefficients are alike."""
    step = HASH_BITS // width
    value = np.zeros(len(hashes), np.uint32)
    for bit in range(width):
        value |= ((hashes >> np.uint64(bit * step + band)).astype(np.uint32) & np.uint32(1)) << np.uint32(bit)
    return value


def _join_ranges(starts: Rows, lengths: Rows) -> Rows:
    """Return the numbers from each start on, as many as its length, of all ranges."""
    used = lengths > 0
    starts, lengths = starts[used], lengths[used]
    offsets = np.cumsum(lengths)
    places: Rows = np.repeat(starts - offsets + lengths, lengths)
    places += np.arange(len(places))
    return places
