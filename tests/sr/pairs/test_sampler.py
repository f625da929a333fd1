import dataclasses

import numpy as np
import pytest

from sr.pairs.sampler import draw_samples
from sr.training.job import TrainingJob

JOB = TrainingJob("realtime-x2", "", "", batch_size=12, brightness_min=0.5, brightness_max=1.5)
CROPS = 50


def fields(samples):
    return dataclasses.asdict(samples)


def test_a_step_and_a_seed_decide_everything():
    first, again = fields(draw_samples(JOB, CROPS, 7)), fields(draw_samples(JOB, CROPS, 7))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    for other in (draw_samples(JOB, CROPS, 8), draw_samples(dataclasses.replace(JOB, seed=1), CROPS, 7)):
        assert not np.array_equal(first["tops"], other.tops)
        assert not np.array_equal(first["crops"], other.crops)


@pytest.mark.parametrize("ranks", [2, 3, 12])
def test_the_shares_of_any_number_of_ranks_are_the_whole_batch(ranks):
    whole = fields(draw_samples(JOB, CROPS, 3))
    size = JOB.batch_size // ranks
    shares = [
        fields(draw_samples(JOB, CROPS, 3, slice(rank * size, (rank + 1) * size))) for rank in range(ranks)
    ]
    for name, values in whole.items():
        assert np.array_equal(np.concatenate([share[name] for share in shares]), values)


@pytest.mark.parametrize("patches", [1, 4])
def test_each_pass_takes_every_crop_once_in_an_order_of_its_own(patches):
    job = dataclasses.replace(JOB, patches_per_image=patches)
    images = JOB.batch_size // patches
    steps = -(-2 * CROPS // images)
    drawn = np.concatenate([draw_samples(job, CROPS, step).crops[::patches] for step in range(steps)])
    first, second = drawn[:CROPS], drawn[CROPS : 2 * CROPS]
    assert sorted(first) == sorted(second) == list(range(CROPS))
    assert not np.array_equal(first, second)


def test_several_patches_of_a_crop_are_neighbors_and_drawn_independently():
    samples = draw_samples(dataclasses.replace(JOB, patches_per_image=4), CROPS, 0)
    rows = samples.crops.reshape(3, 4)
    assert (rows == rows[:, :1]).all() and len(np.unique(rows)) == 3
    assert len(np.unique(samples.tops)) == JOB.batch_size


def test_a_batch_may_be_larger_than_the_split():
    assert sorted(draw_samples(JOB, 5, 0).crops[:10]) == sorted([*range(5), *range(5)])


def test_choices_occur_as_often_as_their_probabilities_say():
    job = dataclasses.replace(JOB, batch_size=12_000)
    samples = draw_samples(job, CROPS, 0)
    assert samples.flipped.mean() == pytest.approx(job.flip_probability, abs=0.02)
    turns = np.bincount(samples.quarter_turns, minlength=4) / job.batch_size
    assert turns == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6], abs=0.02)
    changed = samples.brightness != 1.0
    assert changed.mean() == pytest.approx(job.brightness_probability, abs=0.02)
    assert 0.5 <= samples.brightness.min() < 0.52 and 1.48 < samples.brightness.max() <= 1.5
    assert samples.brightness[changed].mean() == pytest.approx(1.0, abs=0.02)
    assert samples.tops.min() >= 0 and samples.tops.max() < 1


def test_without_probabilities_nothing_changes():
    still = dataclasses.replace(JOB, rotate_probability=0.0, flip_probability=0.0, brightness_probability=0.0)
    samples = draw_samples(still, CROPS, 0)
    assert not samples.quarter_turns.any() and not samples.flipped.any() and (samples.brightness == 1).all()
