import dataclasses

import pytest

from sr.pairs.settings import patch_sizes_px
from sr.training.job import TrainingJob
from sr.training.schedule import ema_decay_at, learning_rate_at, plan_run

JOB = TrainingJob(
    "realtime-x2",
    "s.json",
    "h",
    learning_rate=1.0,
    warmup_steps=10,
    batch_size=8,
)


def test_warm_up_rises_in_equal_steps_to_the_learning_rate():
    rates = [learning_rate_at(JOB, step, 100) for step in range(12)]
    assert rates == pytest.approx([0.1 * (step + 1) for step in range(10)] + [1.0, 1.0])


def test_cosine_goes_from_the_learning_rate_to_zero():
    job = dataclasses.replace(JOB, schedule="cosine")
    assert learning_rate_at(job, 10, 110) == 1.0
    assert learning_rate_at(job, 60, 110) == pytest.approx(0.5)
    assert learning_rate_at(job, 110, 110) == pytest.approx(0.0)


def test_cosine_ends_at_the_minimum():
    job = dataclasses.replace(JOB, schedule="cosine", learning_rate_min=0.2)
    assert [learning_rate_at(job, step, 110) for step in (10, 60, 110)] == pytest.approx([1.0, 0.6, 0.2])
    assert learning_rate_at(dataclasses.replace(job, learning_rate_min=2.0), 110, 110) == 1.0


def test_multistep_falls_at_each_milestone_but_not_below_the_minimum():
    job = dataclasses.replace(JOB, schedule="multistep", milestones="0.5,0.8,0.9", learning_rate_min=0.2)
    rates = [learning_rate_at(job, step, 100) for step in (10, 49, 50, 79, 80, 90, 99)]
    assert rates == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.25, 0.2, 0.2])


def test_the_ema_rises_to_its_decay():
    job = dataclasses.replace(JOB, ema_decay=0.9)
    assert [ema_decay_at(job, step) for step in (0, 10, 80, 81, 10**6)] == pytest.approx(
        [0.1, 0.55, 0.9, 0.9, 0.9]
    )


def test_each_patch_size_is_named_once():
    job = dataclasses.replace(JOB, patch_px=64, patch_stages="32:0.2,64:0.2,48:0.2")
    assert patch_sizes_px(job) == [32, 64, 48]


def test_a_run_without_warm_up_starts_at_the_learning_rate():
    assert learning_rate_at(dataclasses.replace(JOB, warmup_steps=0), 0, 5) == 1.0


def test_an_epoch_is_a_pass_over_the_split_by_default():
    assert plan_run(dataclasses.replace(JOB, max_epochs=3), 17).total_steps == 9
    assert plan_run(dataclasses.replace(JOB, max_epochs=3, steps_per_epoch=5), 17).total_steps == 15


def test_a_limit_of_steps_cuts_the_last_epoch():
    plan = plan_run(dataclasses.replace(JOB, max_epochs=3, steps_per_epoch=5, max_steps=12), 17)
    assert (plan.epochs, [plan.epoch_end(epoch) for epoch in range(3)]) == (3, [5, 10, 12])
