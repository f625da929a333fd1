import numpy as np
import pyarrow
import pytest

from pipeline.selection import hamming, near_hashes
from pipeline.selection.hamming import (
    find_first_within,
    find_near_duplicates,
    parse_hash_column,
    parse_hashes,
)
from pipeline.selection.near_hashes import find_pairs


def disturbed(count, seed):
    """Return random hashes of which many are others with up to 16 bits flipped, or equal to them."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, count, np.uint64, endpoint=False)
    for row in range(max(1, count // 3), count):
        bits = random.choice(64, random.integers(0, 16), replace=False)
        flips = sum(1 << int(bit) for bit in bits)
        hashes[row] = hashes[random.integers(0, row)] ^ np.uint64(flips)
    random.shuffle(hashes)
    return hashes


def check(hashes, bits):
    """Compare what `find_near_duplicates` returns with comparing every pair, one after the other."""
    near = find_near_duplicates(hashes, bits).tolist()
    kept = []
    for row, value in enumerate(hashes.tolist()):
        twins = [one for one in kept if (value ^ int(hashes[one])).bit_count() <= bits]
        assert near[row] in (twins or [-1])
        if not twins:
            kept.append(row)


@pytest.fixture(params=["all pairs", "bands"])
def either_way(request, monkeypatch):
    """Search by comparing all pairs, then by bands, whatever would be faster."""
    monkeypatch.setattr(near_hashes, "_PAIR_S", 1e-30 if request.param == "all pairs" else 1.0)


@pytest.mark.parametrize("bits", [0, 1, 2, 4, 7, 10, 16, 64])
def test_near_duplicates_are_those_of_comparing_every_pair(either_way, bits):
    for seed, count in enumerate((1, 2, 60, 300)):
        check(disturbed(count, seed), bits)


def test_what_is_near_only_to_a_rejected_hash_is_kept(either_way):
    # Each differs from the next in two bits, and from the one after that in four.
    chain = np.array([0, 0b11, 0b1111, 0b111111, 0b11111111], np.uint64)
    assert find_near_duplicates(chain, 2).tolist() == [-1, 0, -1, 2, -1]


def test_hashes_in_many_blocks_give_the_same(monkeypatch):
    monkeypatch.setattr(near_hashes, "_BLOCK_PAIRS", 7)
    monkeypatch.setattr(near_hashes, "_GATHERED", 5)
    check(disturbed(90, 5), 6)


def test_the_first_target_within_reach_is_found(either_way):
    targets = parse_hashes([f"{value:016x}" for value in (0, 0b111, 0xFFFF_0000_0000_0000)])
    queries = parse_hashes(
        [
            f"{value:016x}"
            for value in (0b1000_0000_0000_0000_0000_0001, 0b1111_1000, 0xFFFE_0000_0000_0001, 0b11)
        ]
    )
    assert find_first_within(queries, targets, 2).tolist() == [0, -1, 2, 0]


def test_nothing_is_found_among_nothing():
    none = np.array([], np.uint64)
    assert find_near_duplicates(none, 4).tolist() == []
    assert find_first_within(none, disturbed(3, 0), 4).tolist() == []
    assert find_first_within(disturbed(3, 0), none, 4).tolist() == [-1, -1, -1]


def test_a_column_of_hashes_is_parsed_as_its_texts_are():
    texts = [f"{value:016x}" for value in disturbed(50, 3).tolist()]
    column = pyarrow.chunked_array([texts[:20], [], texts[20:]]).slice(7, 30)
    assert parse_hash_column(column).tolist() == parse_hashes(texts[7:37]).tolist()
    assert parse_hash_column(pyarrow.chunked_array([], pyarrow.string())).tolist() == []


@pytest.mark.parametrize("text", ["00ff", "00ff" * 5, "", "g" * 16])
def test_a_column_with_a_text_that_is_no_hash_is_refused(text):
    with pytest.raises(ValueError):
        parse_hash_column(pyarrow.chunked_array([["0" * 16, text]]))


def test_equal_hashes_are_compared_once(monkeypatch):
    found = []

    def count(*args, **options):
        for pair in find_pairs(*args, **options):
            found.append(len(pair[0]))
            yield pair

    monkeypatch.setattr(hamming, "find_pairs", count)
    hashes = np.repeat(disturbed(5, 1), 400)
    near = find_first_within(hashes, hashes[::-1], 6)
    assert (np.bitwise_count(hashes ^ hashes[::-1][near]) <= 6).all()
    assert sum(found) <= 25


def test_hashes_that_share_a_band_are_found_among_themselves(either_way):
    # All in few groups: they are searched in halves.
    random = np.random.default_rng(2)
    hashes = random.integers(0, 1 << 12, 900, np.uint64) * np.uint64(0x0001_0003_0005_0011)
    check(hashes, 3)


def test_the_search_changes_no_setting_of_numpy_for_who_reads_it():
    before = np.getbufsize()
    assert {np.getbufsize() for _ in find_pairs(disturbed(80, 0), disturbed(90, 1), 30)} == {before}
