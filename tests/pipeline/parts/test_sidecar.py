import numpy as np
import pytest
from images import textured
from selections import write_selection

from data.atomic_files import read_json
from data.errors import UserError
from data.shards import ShardPaths
from pipeline.parts.features import describe_crop
from pipeline.parts.sidecar import FeaturePaths, describe_shard, read_features
from pipeline.quality_metrics import rgb_to_luma

SIDE = 96


def draw(key, side):
    """Return textures, but a plain image as the last of each shard."""
    number = int(key.split("-")[-1])
    return np.full((side, side, 3), 90, np.uint8) if number == 4 else textured(number, side, side)


@pytest.fixture
def shard(tmp_path):
    write_selection(tmp_path, (5,), (1,), SIDE, draw)
    return ShardPaths(tmp_path, "train-000000")


@pytest.mark.parametrize("processes", [1, 2])
def test_the_features_of_a_shard_are_in_the_order_of_its_index_and_plain_crops_are_counted(shard, processes):
    out, seen = FeaturePaths(shard.directory / "features", shard.shard), []
    describe_shard(
        shard, SIDE, out, processes=processes, progress=lambda done, total: seen.append((done, total))
    )
    stored = read_features(out)
    assert stored.shape == (5, 64) and seen[-1] == (5, 5)
    for number in range(5):
        assert (
            stored[number].tobytes() == describe_crop(rgb_to_luma(draw(f"train-0-{number}", SIDE))).tobytes()
        )
    record = read_json(out.record)
    assert (record["crops"], record["too_plain"]) == (5, 1)


def test_a_damaged_shard_and_damaged_features_are_refused(shard):
    out = FeaturePaths(shard.directory / "features", shard.shard)
    describe_shard(shard, SIDE, out)
    out.features.write_bytes(out.features.read_bytes()[:-8])
    with pytest.raises(UserError, match="is missing or damaged"):
        read_features(out)
    content = bytearray(shard.tar.read_bytes())
    content[512:700] = bytes(188)
    shard.tar.write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged: train-0-0 can't be decoded"):
        describe_shard(shard, SIDE, out)
