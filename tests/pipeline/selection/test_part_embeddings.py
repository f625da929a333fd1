"""Crops like validation crops of other images are found by their embeddings; nothing is compared with itself."""

import numpy as np
import pyarrow
import pytest

from data.embeddings import IMAGES, EmbeddingPaths, write_embeddings
from data.errors import UserError
from pipeline.selection.crop_table import CropTable
from pipeline.selection.part_embeddings import Embedded, find_alike
from pipeline.selection.part_records import ShownPart, add_parts

CROPS = [
    ("a", "one.png", "train"), ("b", "two.png", "train"), ("c", "three.png", "train"), ("d", "three.png", "validation"),
    ("e", "four.png", "validation"),
]  # fmt: skip
TURNS = {"a": 0, "b": 80, "c": 41, "d": 40, "e": 1}
"""Angle of the vector of each crop, in degrees."""


def vectors(*angles):
    radians = np.deg2rad(np.array(angles, np.float32))
    return 5 * np.column_stack((np.cos(radians), np.sin(radians)))


@pytest.fixture
def crops():
    keys, sources, splits = zip(*CROPS, strict=True)
    columns = {"key": keys, "source": pyarrow.array(sources).dictionary_encode(), "split": splits}
    return CropTable(pyarrow.table(columns | {"dataset": np.zeros(len(CROPS), np.int16)}))


@pytest.fixture
def embedded(tmp_path):
    for name, keys in (("train-000000", "ab"), ("train-000001", "c"), ("validation-000000", "de")):
        paths = EmbeddingPaths(tmp_path / "crops", name)
        write_embeddings(paths, list(keys), vectors(*(TURNS[key] for key in keys)), "net")
    write_embeddings(EmbeddingPaths(tmp_path / "bench", IMAGES), ["x.png"], vectors(79), "net")
    return Embedded((tmp_path / "crops",), (("Set5", tmp_path / "bench"),), np.cos(np.deg2rad(5)))


def find(crops, embedded, skipped=frozenset()):
    return find_alike(crops, embedded, crops.training, np.flatnonzero(~crops.training), skipped)


def test_likeness_is_found_with_benchmarks_and_validation_crops_of_other_images(crops, embedded):
    found = {one.key: (one.target, one.like, one.benchmark) for one in find(crops, embedded)}
    # c is as much like d, but of the same image; e, for validation, is like no benchmark.
    assert found == {"a": ("four.png", "e", False), "b": ("Set5/x.png", "", True)}
    by_key = {one.key: one for one in find(crops, embedded)}
    assert by_key["a"].similarity == pytest.approx(np.cos(np.deg2rad(1)), abs=2e-3)
    row = crops.find_rows([(0, "b")])[0, "b"]
    assert [one.key for one in find(crops, embedded, frozenset([row]))] == ["a"]


def test_a_shard_without_embeddings_is_an_error(crops, embedded):
    (embedded.datasets[0] / "train-000001.npy").unlink()
    with pytest.raises(UserError, match="lacks the embeddings of 1 of 5 crops"):
        find(crops, embedded)


def test_what_features_found_stays(crops, embedded):
    by_features = ShownPart(0, "b", "two.png", True, "Set5/y.png", -1, "", 9, "")
    joined = add_parts([by_features], find(crops, embedded))
    assert [(one.key, one.target, one.inliers) for one in joined] == [
        ("a", "four.png", 0),
        ("b", "Set5/y.png", 9),
    ]
