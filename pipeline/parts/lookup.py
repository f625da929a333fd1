"""Look up features among millions by their bits: those that agree exactly in one band of bits, then by all bits."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.parts.features import Features, Points
from pipeline.parts.signs import HALF, Signs, mirror_signs

MAX_DIFFERING_BITS = 32
"""Features that differ in more of the 128 bits don't match."""
_TARGETS_PER_BAND = 6
"""A band is so many bits narrower than the logarithm of the number of features: about 2^6 share its value."""
_MIN_BAND_BITS, _MAX_BAND_BITS = 8, 16
_BLOCK = 1 << 20
"""Candidates that are compared at once."""
_APART = 128
"""More than the largest number of differing bits that is kept."""
Rows = npt.NDArray[np.int64]


class Matches(NamedTuple):
    """Pairs of features that are alike."""

    queries: Rows
    """Rows of the query."""
    features: Rows
    """Rows of the index."""
    mirrored: npt.NDArray[np.bool_]
    """Whether the query is alike if one of the images is mirrored."""

    def take(self, rows: Rows) -> "Matches":
        """Return some of the pairs."""
        return Matches(self.queries[rows], self.features[rows], self.mirrored[rows])


class FeatureIndex:
    """The features of the images that crops are compared with, sorted by bands of their bits.

    Args:
        targets: features of each image.
    """

    def __init__(self, targets: list[Features]) -> None:
        self.signs: Signs = np.vstack([np.zeros((0, 2), np.uint64), *(one.signs for one in targets)])
        self._words = [np.ascontiguousarray(self.signs[:, word]) for word in (0, 1)]
        self.points: Points = np.vstack([np.zeros((0, 4)), *(one.points for one in targets)])
        self.target: Rows = np.repeat(np.arange(len(targets)), [len(one.signs) for one in targets])
        """For each feature the number of its image."""
        width = int(np.clip(len(self.signs).bit_length() - _TARGETS_PER_BAND, _MIN_BAND_BITS, _MAX_BAND_BITS))
        # The bits of the first word are those of the mirrored feature, too. The second word has a band for each case.
        bands = [(word, start) for word in (0, 1) for start in range(0, HALF - width + 1, width)]
        self._bands = [_Band(self.signs, word, start, width) for word, start in bands]

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.signs)

    def find(self, queries: Signs) -> Matches:
        """Return all matches of features, as they are and mirrored, that agree in a band; the most alike first.

        Args:
            queries: n x 2.
        """
        found = [np.zeros(0, np.int64)]
        for band in self._bands:
            for words in (queries, mirror_signs(queries))[: band.word + 1]:
                found += [self._compare(queries, one) for one in band.candidates(words)]
        pairs = np.unique(np.concatenate(found))
        apart, place = pairs % _APART, pairs // _APART
        rows, features = np.divmod(place >> 1, max(1, len(self)))
        order = np.argsort(apart, kind="stable")
        return Matches(rows[order], features[order], (place[order] & 1).astype(bool))

    def _compare(self, queries: Signs, found: "_Candidates") -> Rows:
        """Return the candidates that are alike, each as a number: query, feature, whether mirrored, differing bits."""
        part = slice(found.begin, found.begin + len(found.counts))
        of_words = (
            np.bitwise_count(np.repeat(queries[part, word], found.counts) ^ self._words[word][found.features])
            for word in (0, 1)
        )
        first, second = of_words
        alike = []
        for is_mirrored, differing in enumerate((first + second, first + (np.uint8(HALF) - second))):
            near = np.flatnonzero(differing <= MAX_DIFFERING_BITS)
            rows = found.begin + np.searchsorted(np.cumsum(found.counts), near, "right")
            pairs = (rows * len(self) + found.features[near]) * 2 + is_mirrored
            alike.append(pairs * _APART + differing[near])
        return np.concatenate(alike)


class _Candidates(NamedTuple):
    """Features that agree with some queries in a band."""

    begin: int
    """Row of the first query."""
    counts: Rows
    """How many features agree with each query from there on."""
    features: npt.NDArray[np.int32]
    """Rows of these features."""


class _Band:
    """Features sorted by some of their bits."""

    def __init__(self, signs: Signs, word: int, start: int, width: int) -> None:
        self.word, self._shift, self._mask = word, np.uint64(start), np.uint64((1 << width) - 1)
        values = self._values(signs)
        self._order = np.argsort(values, kind="stable").astype(np.int32)
        self._starts = np.searchsorted(values[self._order], np.arange((1 << width) + 1))

    def _values(self, signs: Signs) -> Rows:
        return (signs[:, self.word] >> self._shift & self._mask).astype(np.int64)

    def candidates(self, queries: Signs) -> Iterator[_Candidates]:
        """Yield the features that agree in the band, some queries at a time."""
        values = self._values(queries)
        starts = self._starts[values]
        counts = self._starts[values + 1] - starts
        ends = np.cumsum(counts)
        begin = 0
        while begin < len(queries):
            before = ends[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, before + _BLOCK, "right")))
            part = counts[begin:end]
            places = np.repeat(starts[begin:end] - ends[begin:end] + part + before, part)
            places += np.arange(len(places))
            yield _Candidates(begin, part, self._order[places])
            begin = end
