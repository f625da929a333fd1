"""Crops read from shards, and kept decoded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from selections import image_of, write_selection

from data.dali_index import read_index
from data.errors import UserError
from data.selection import open_split
from sr.distributed.ranks import Rank
from sr.pairs import crop_cache, crop_reader
from sr.pairs.crop_cache import choose_place, open_cache, size_bytes
from sr.pairs.crop_reader import CropReader

SIDE_PX = 96
ALONE = Rank(0, 1, torch.device("cpu"))
KEYS = [f"train-{shard}-{number}" for shard, count in ((0, 7), (1, 40)) for number in range(count)]


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return open_split(write_selection(tmp_path_factory.mktemp("selection"), (7, 40), (1,), SIDE_PX), "train")


@pytest.fixture(params=["dali", "opencv"])
def reader(split, request):
    return CropReader(split, request.param, 2)


def test_crops_are_those_of_the_shards_in_the_order_asked_for(reader):
    numbers = np.array([3, 46, 0, 7])
    for image, number in zip(reader.read(numbers), numbers, strict=True):
        assert np.array_equal(image, image_of(KEYS[number], SIDE_PX))
        assert f"{KEYS[number]}.png" in reader.locate(number)


def test_many_crops_are_read_at_once(reader):
    images = reader.read(np.arange(47))
    assert all(np.array_equal(image, image_of(key, SIDE_PX)) for image, key in zip(images, KEYS, strict=True))


def damaged_split(root: Path, damage):
    split = open_split(write_selection(root, (5, 4), (2,), SIDE_PX), "train")
    line = read_index(Path(split.indexes[1]))[2]
    with open(split.tars[1], "r+b") as tar:
        damage(tar, line)
    return split


def zero_the_middle(tar, line) -> None:
    _, offset, size, _ = line.components[0]
    tar.seek(offset + size // 2)
    tar.write(bytes(size // 4))


def zero_the_description(tar, line) -> None:
    tar.seek(line.components[1][1])
    tar.write(bytes(line.components[1][2]))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [(zero_the_middle, "does not match its sha256"), (zero_the_description, "has no readable description")],
)
@pytest.mark.parametrize("decoder", ["dali", "opencv"])
def test_a_damaged_crop_is_reported_with_its_shard(tmp_path, decoder, damage, problem):
    reader = CropReader(damaged_split(tmp_path, damage), decoder, 1)
    with pytest.raises(
        UserError, match=rf"train-000001\.tar is damaged: train-1-2\.png {problem}.*Run VerifyDataset"
    ) as failure:
        reader.read(np.arange(9))
    assert len(str(failure.value)) < 600


@pytest.mark.parametrize("decoder", ["dali", "opencv"])
def test_a_crop_that_does_not_decode_is_reported_and_reading_goes_on(split, decoder, monkeypatch):
    reader = CropReader(split, decoder, 2)
    read = reader._read_encoded
    monkeypatch.setattr(reader, "_read_encoded", lambda number: b"no image" if number == 9 else read(number))
    with pytest.raises(UserError, match=r"train-1-2\.png does not decode"):
        reader.read(np.arange(12))
    assert np.array_equal(reader.read(np.array([8]))[0], image_of(KEYS[8], SIDE_PX))


def test_a_crop_of_another_size_is_refused(split, monkeypatch):
    reader = CropReader(split, "opencv", 1)
    monkeypatch.setattr(reader, "side_px", 95)
    with pytest.raises(UserError, match=r"has the shape \(96, 96, 3\), not \(95, 95, 3\)"):
        reader.read(np.array([0]))


def test_without_dali_its_decoder_is_refused_and_auto_takes_opencv(split, monkeypatch):
    monkeypatch.setattr(crop_reader.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed"):
        CropReader(split, "dali", 1)
    assert CropReader(split, "auto", 1)._decode is None


@pytest.mark.parametrize("place", ["memory", "disk", "off"])
def test_a_cache_gives_each_crop_and_decodes_it_once_if_it_keeps_it(split, tmp_path, place, monkeypatch):
    reader, read = CropReader(split, "opencv", 1), []
    original = reader.read
    monkeypatch.setattr(reader, "read", lambda numbers: read.extend(numbers) or original(numbers))
    cache = open_cache(reader, place, tmp_path, ALONE)
    assert not list(tmp_path.iterdir()), "the file has no name anymore"
    for _ in range(2):
        for image, number in zip(cache.load(np.array([5, 9, 5])), (5, 9, 5), strict=True):
            assert np.array_equal(image, image_of(KEYS[number], SIDE_PX))
    assert read == ([5, 9] if place != "off" else [5, 9, 5, 9])
    assert ("kept" in cache.describe()) == (place != "off")


def test_the_ranks_of_a_host_share_one_file(split, tmp_path):
    readers, caches = [CropReader(split, "opencv", 1) for _ in range(2)], []

    class Second(Rank):
        def wait_for_all(self):
            """Let the first rank do what it does before it waits: both are in this process."""

    first = Second(0, 2, ALONE.device, 0, 2)

    class First(Second):
        def wait_for_all(self):
            if not caches:
                caches.append(None)
                caches[0] = open_cache(readers[1], "memory", tmp_path, Second(1, 2, ALONE.device, 1, 2))

    first = First(0, 2, ALONE.device, 0, 2)
    own = open_cache(readers[0], "memory", tmp_path, first)
    assert not list(tmp_path.iterdir())
    own.load(np.array([4]))
    readers[1].read = None  # the other rank finds it decoded
    assert np.array_equal(caches[0].load(np.array([4]))[0], image_of(KEYS[4], SIDE_PX))


def test_crops_are_kept_where_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(crop_cache, "available_memory_bytes", lambda: 100)
    monkeypatch.setattr(crop_cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    found = [choose_place("auto", needed, tmp_path, ALONE) for needed in (50, 51, 500, 501)]
    assert found == ["memory", "disk", "disk", "off"]
    assert choose_place("disk", 10**9, tmp_path, ALONE) == "disk"
    monkeypatch.setattr(crop_cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    monkeypatch.setattr(Rank, "maximum", lambda rank, values: values)
    shared = Rank(0, 2, ALONE.device, 0, 2)
    assert [choose_place("auto", 50, tmp_path, rank) for rank in (ALONE, shared)] == ["memory", "off"]


def test_a_full_disk_is_an_error_that_says_what_to_do(split, tmp_path, monkeypatch):
    def full(handle, start, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(crop_cache.os, "posix_fallocate", full)
    reader = CropReader(split, "opencv", 1)
    with pytest.raises(UserError, match=r"no room for.*crop_cache to off") as failure:
        open_cache(reader, "disk", tmp_path, ALONE)
    assert f"{size_bytes(reader):,}" in str(failure.value) and not list(tmp_path.iterdir())
