from pipeline.hash_index import HashIndex


def test_the_hash_index_finds_exactly_the_hashes_nearby():
    hashes = [f"{value:016x}" for value in (0, 0b111, 0xFFFF_0000_0000_0000)]
    index = HashIndex(2)
    for name, one in zip("abc", hashes, strict=True):
        index.add(one, name)
    assert index.find(f"{0b1000_0000_0000_0000_0000_0001:016x}") == "a"
    assert index.find(f"{0b1111_1000:016x}") is None
    assert index.find(f"{0xFFFE_0000_0000_0001:016x}") == "c"
