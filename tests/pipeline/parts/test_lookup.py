"""The index finds the features that comparing all of them finds, as far as they agree in a band of bits."""

import numpy as np
import pytest

from pipeline.parts import lookup
from pipeline.parts.features import Features
from pipeline.parts.lookup import MAX_DIFFERING_BITS, FeatureIndex
from pipeline.parts.signs import mirror_signs


@pytest.fixture
def targets():
    random = np.random.default_rng(0)
    return [
        Features(random.integers(0, 2**64, (count, 2), np.uint64), np.zeros((count, 4)))
        for count in (40, 0, 70)
    ]


def disturb(signs, bits, seed):
    """Return signs of which each differs in so many random bits."""
    random, disturbed = np.random.default_rng(seed), signs.copy()
    for row in disturbed:
        for bit in random.choice(128, bits, replace=False).tolist():
            row[bit // 64] ^= np.uint64(1 << bit % 64)
    return disturbed


def compare_all(queries, signs):
    """Return query, feature, whether mirrored, and differing bits of all that are alike."""
    return {
        (row, feature, is_mirrored, apart)
        for is_mirrored, words in enumerate((queries, mirror_signs(queries)))
        for row, query in enumerate(words)
        for feature, apart in enumerate(np.bitwise_count(query ^ signs).sum(axis=1).tolist())
        if apart <= MAX_DIFFERING_BITS
    }


@pytest.mark.parametrize("block", [1 << 20, 3])
def test_near_features_are_found_as_by_comparing_all(targets, block, monkeypatch):
    monkeypatch.setattr(lookup, "_BLOCK", block)
    index = FeatureIndex(targets)
    signs = np.vstack([one.signs for one in targets])
    queries = np.vstack(
        (disturb(signs[::3], 4, 1), mirror_signs(disturb(signs[1::3], 5, 2)), disturb(signs[2::3], 70, 3))
    )
    expected = compare_all(queries, signs)
    found = index.find(queries)
    apart = [
        int(np.bitwise_count((mirror_signs(queries) if mirrored else queries)[row] ^ signs[feature]).sum())
        for row, feature, mirrored in zip(*(column.tolist() for column in found), strict=True)
    ]
    assert set(zip(*(column.tolist() for column in found), apart, strict=True)) == expected
    assert apart == sorted(apart) and len(expected) >= 70
