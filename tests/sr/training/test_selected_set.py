"""What a selection of real shards names is what DALI and the plain reader deliver: all of it, once, on any rank."""

import collections
from pathlib import Path

import cv2
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
from sr.training.job import TrainingJob
from sr.training.loader import TrainingStream, ValidationSet
from sr.training.readers import READERS
from tasks.crops import MakeCrops

CPU = torch.device("cpu")
JOB = TrainingJob("realtime-x2", "selection.json", "abc", patch_px=32, micro_batch_size=2)


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


def delivered(batches):
    """Count the samples of batches by tar and key."""
    locations = (location.rsplit(":", 2) for batch in batches for location in batch.keys)
    return collections.Counter(
        (str(Path(tar).resolve()), member.split(".")[0]) for tar, _, member in locations
    )


@pytest.mark.parametrize("loader", READERS)
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_training_sample_comes_once_an_epoch(select, loader, ranks):
    path, micro_batches = select(24), 6
    job = TrainingJob(
        **vars(JOB) | {"loader": loader, "gradient_accumulation_steps": micro_batches, "seed": ranks}
    )
    split = open_split(path, "train")
    shares = [range(rank, micro_batches, ranks) for rank in range(ranks)]
    streams = [TrainingStream(split, job, 2, 2, share, CPU, 1) for share in shares]
    steps = 24 // (micro_batches * job.micro_batch_size)
    for _ in range(3):
        batches = [
            next(stream)
            for _ in range(steps)
            for stream, share in zip(streams, shares, strict=True)
            for _ in share
        ]
        assert delivered(batches) == named_by(path, "train")


@pytest.mark.parametrize("loader", READERS)
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_samples_that_do_not_fill_the_steps_are_neither_lost_nor_repeated(select, loader, ranks):
    """Ranks have ranges of unequal length, and visit each other's in turn: after a round, all have had every sample."""
    path = select(22)
    job = TrainingJob(**vars(JOB) | {"loader": loader, "gradient_accumulation_steps": ranks})
    split = open_split(path, "train")
    streams = [TrainingStream(split, job, 2, 2, [rank], CPU, 1) for rank in range(ranks)]
    for stream in streams:
        assert delivered(next(stream) for _ in range(11)) == named_by(path, "train")


@pytest.mark.parametrize("loader", READERS)
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_validation_sample_comes_once_a_pass(select, loader, ranks):
    path = select(24)
    job = TrainingJob(**vars(JOB) | {"loader": loader})
    split = open_split(path, "validation")
    assert split.samples == 7
    shares = [ValidationSet(split, job, 2, 2, 2, rank, ranks, CPU, 1) for rank in range(ranks)]
    for _ in range(2):
        assert delivered(batch for share in shares for batch in share) == named_by(path, "validation")
