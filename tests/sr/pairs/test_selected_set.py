"""What a selection of real shards names is what training sees: all of it, once, on any rank, with any decoder."""

import collections
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from crop_datasets import build, store
from images import textured

from data.dali_index import read_index
from data.selection import open_split
from pipeline.selection.leakage import NO_BENCHMARKS
from pipeline.selection.rules import parse_rule
from pipeline.selection.select_samples import read_selection, select_samples
from pipeline.selection.settings import SelectionSettings
from sr.distributed.ranks import Rank
from sr.pairs.batches import PairMaker, TrainingBatches, ValidationBatches
from sr.pairs.crop_cache import open_cache
from sr.pairs.crop_reader import CropReader
from sr.training.job import TrainingJob
from tasks.crops import MakeCrops

CPU = torch.device("cpu")
JOB = TrainingJob("realtime-x2", "selection.json", "abc", patch_px=32, batch_size=12)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Two crop datasets of several shards."""
    root, directories = tmp_path_factory.mktemp("datasets"), []
    for name, seeds in (("a", range(6)), ("b", range(20, 26))):
        (root / name).mkdir()
        for seed in seeds:
            cv2.imwrite(str(root / name / f"{seed}.png"), textured(seed, 280, 300))
        with store(root / "store", crops_per_shard="7", min_sharpness="0", validation_fraction="0.3"):
            task = MakeCrops(dataset=str(root / name))
            assert build(task)
            directories.append(task.directory())
    return directories


@pytest.fixture(scope="module")
def select(datasets, tmp_path_factory):
    """Give a function that selects so many training crops, and returns the path of selection.json."""

    def select(max_train):
        out = tmp_path_factory.mktemp("selection")
        settings = SelectionSettings(
            near_duplicate_bits=2,
            copy_bits=8,
            rules=(parse_rule("noise <= p90"),),
            max_train=max_train,
            max_validation=7,
        )
        select_samples(datasets, NO_BENCHMARKS, settings, out, "abc")
        assert read_selection(out).totals["train"] == max_train
        assert len(read_selection(out).splits["train"]) > 3
        return out / "selection.json"

    return select


def named_by(path, split):
    """Return tar and key of every sample that a selection names, each once."""
    named = [
        (str((path.parent / shard.tar).resolve()), line.key)
        for shard in read_selection(path.parent).splits[split]
        for line in read_index(path.parent / shard.index)
    ]
    assert len(set(named)) == len(named)
    return collections.Counter(named)


def count(locations):
    """Count samples, given as tar:offset:member, by tar and key."""
    parts = (location.rsplit(":", 2) for location in locations)
    return collections.Counter((str(Path(tar).resolve()), member.split(".")[0]) for tar, _, member in parts)


def opened(path, name, decoder):
    """Open the crops of a split, which are decoded each time."""
    return open_cache(CropReader(open_split(path, name), decoder, 1), "off", path.parent, Rank(0, 1, CPU))


def delivered(path, job, ranks, decoder, steps):
    """Count the samples that ranks deliver together in some steps."""
    maker, found = PairMaker(job, 2, CPU, 1), collections.Counter()
    for rank in range(ranks):
        rows = Rank(rank, ranks, CPU).share(job.batch_size)
        batches = TrainingBatches(opened(path, "train", decoder), job, maker, rows, 0)
        for step in steps:
            locations = batches.describe(step).split()
            assert len(batches.get(step).hr_image) == len(locations)
            found += count(locations)
    return found


@pytest.mark.parametrize("decoder", ["dali", "opencv"])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_training_sample_comes_once_an_epoch(select, decoder, ranks):
    path, job = select(24), TrainingJob(**vars(JOB) | {"seed": ranks})
    for epoch in range(3):
        steps = range(2 * epoch, 2 * epoch + 2)
        assert delivered(path, job, ranks, decoder, steps) == named_by(path, "train")


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_samples_that_do_not_fill_the_steps_are_neither_lost_nor_repeated(select, ranks):
    """22 samples fill no number of steps of 12; after 11 steps, each has come six times."""
    path = select(22)
    expected = collections.Counter(dict.fromkeys(named_by(path, "train"), 6))
    assert delivered(path, JOB, ranks, "opencv", range(11)) == expected


@pytest.mark.parametrize("decoder", ["dali", "opencv"])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_validation_sample_comes_once_a_pass(select, decoder, ranks):
    path = select(24)
    cache, maker = opened(path, "validation", decoder), PairMaker(JOB, 2, CPU, 1)
    assert cache.crops == 7
    shares = [ValidationBatches(cache, JOB.seed, maker, 2, Rank(rank, ranks, CPU)) for rank in range(ranks)]
    numbers = {cache.load(np.array([number]))[0].tobytes(): number for number in range(cache.crops)}
    for _ in range(2):
        images = [image for share in shares for batch in share for image in batch.hr_image]
        seen = [numbers[image.permute(1, 2, 0).numpy().tobytes()] for image in images]
        assert count(map(cache.reader.locate, seen)) == named_by(path, "validation")
