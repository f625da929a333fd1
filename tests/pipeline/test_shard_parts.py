import pytest

from pipeline.shard_parts import Part

SHARDS = [f"train-{number:06d}" for number in range(10)]


@pytest.mark.parametrize("count", [1, 3, 10, 64])
def test_all_parts_together_have_each_shard_once_in_parts_of_nearly_one_size(count):
    parts = [Part(number, count).take(SHARDS) for number in range(1, count + 1)]
    assert sorted(shard for part in parts for shard in part) == SHARDS
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_part_past_the_end_is_empty():
    assert Part.parse("11/64").take(SHARDS) == [] == Part.parse("65/64").take(SHARDS)
    assert Part.parse("10/64").take(SHARDS) == SHARDS[9:]


@pytest.mark.parametrize(
    "text", ["0/8", "8/0", "1", "/", "-1/8", "1/8/2", "1.0/8", "1 /8", "१/८", "1/9999999", "1/8\n"]
)
def test_anything_else_is_no_part(text):
    with pytest.raises(ValueError, match="is not a part"):
        Part.parse(text)
