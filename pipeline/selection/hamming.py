"""Find perceptual hashes among millions that are near to another one, and keep the first of those that are alike."""

import binascii
from collections.abc import Sequence

import numpy as np
import pyarrow

from pipeline.selection.near_hashes import HASH_BITS, Hashes, Rows, find_pairs

__all__ = [
    "HASH_BITS",
    "Hashes",
    "Rows",
    "find_first_within",
    "find_near_duplicates",
    "parse_hash_column",
    "parse_hashes",
]
_HASH_DIGITS = HASH_BITS // 4


def parse_hashes(digits: Sequence[str]) -> Hashes:
    """Convert hashes of 16 hex digits to numbers.

    Example:
        >>> parse_hashes(["00000000000000ff"])
        array([255], dtype=uint64)
    """
    return np.frombuffer(bytes.fromhex("".join(digits)), ">u8").astype(np.uint64)


def parse_hash_column(column: pyarrow.ChunkedArray) -> Hashes:
    """Convert a column of hashes of 16 hex digits to numbers, without a Python object for each.

    Raises:
        ValueError: a text has another length, or is not of hex digits.
    """
    parts = [np.empty(0, ">u8")]
    for chunk in column.cast(pyarrow.string()).chunks:
        _, offsets, digits = chunk.buffers()
        ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        if (np.diff(ends) != _HASH_DIGITS).any():
            raise ValueError(f"Not every hash has {_HASH_DIGITS} digits")
        parts.append(np.frombuffer(binascii.unhexlify(memoryview(digits)[ends[0] : ends[-1]]), ">u8"))
    return np.concatenate(parts).astype(np.uint64)


def find_first_within(queries: Hashes, targets: Hashes, bits: int) -> Rows:
    """Return for each query the first target that differs from it in at most `bits` bits, or -1.

    Args:
        queries, targets: hashes, one-dimensional.
        bits: largest number of differing bits, from 0 to 64.

    Returns:
        One index into `targets`, or -1, for each query.
    """
    # What holds for a hash holds for all that are equal: images of one color are many.
    wanted, of_query = np.unique(queries, return_inverse=True)
    places = np.sort(np.unique(targets, return_index=True)[1])
    first = np.full(len(wanted), len(places), np.int64)
    for one, other in find_pairs(wanted, targets[places], bits):
        np.minimum.at(first, one, other)
    return np.append(places, -1)[first][of_query]


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
    for one, other in find_pairs(hashes, hashes, bits, among_themselves=True):
        np.minimum.at(first, np.maximum(one, other), np.minimum(one, other))
    return np.where(first < np.arange(len(hashes)), first, -1)
