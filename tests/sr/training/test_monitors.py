import math
import signal

import pytest
import torch

from data.errors import UserError
from sr.distributed.ranks import Rank
from sr.training import monitors
from sr.training.monitors import MAX_SKIPPED_STEPS, Decision, LossMonitor, StopVote

ALONE = Rank(0, 1, torch.device("cpu"))


def images_of(step: int) -> str:
    return f"those of {step}"


def feed(monitor: LossMonitor, *losses: float) -> None:
    for step, loss in enumerate(losses, 1):
        monitor.add(step, torch.tensor([loss, 2 * loss]))


def test_the_sums_restart_after_each_collection():
    monitor = LossMonitor(2, skips_steps=False, describe=images_of)
    feed(monitor, 0.5, 0.25)
    assert monitor.collect() == ([0.75, 1.5], 2)
    feed(monitor, 1.0)
    assert monitor.collect() == ([1.0, 2.0], 1)
    assert monitor.latest == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_reported_with_step_and_images(bad):
    with pytest.raises(UserError, match=r"step 2 is .*; its images are those of 1"):
        feed(LossMonitor(2, skips_steps=False, describe=images_of), 0.5, bad)


def test_steps_that_the_scaler_skips_are_tolerated_up_to_a_limit():
    monitor = LossMonitor(2, skips_steps=True, describe=images_of)
    feed(monitor, *[math.inf] * MAX_SKIPPED_STEPS, 0.5, *[math.nan] * MAX_SKIPPED_STEPS)
    assert monitor.collect() == ([0.5, 1.0], 1)
    with pytest.raises(UserError, match="not finite"):
        feed(monitor, math.inf)


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_stops_the_run_after_the_next_step(signals):
    vote = StopVote(ALONE, save_every_s=1e9)
    assert vote.decide(1) == Decision()
    # Called, not raised: pytest's faulthandler sets an alternate stack for signals, and OpenVINO, compiling a model in
    # another test, replaces it by one that it then unmaps. Processes without a faulthandler are not concerned.
    signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)
    assert vote.decide(2) == Decision(stop=True)


def test_saving_is_due_after_each_step_without_an_interval(signals):
    vote = StopVote(ALONE, save_every_s=0.0)
    assert vote.decide(1) == Decision(save=True)


def test_steps_decide_about_saving_and_the_clock_about_the_end(signals):
    vote = StopVote(ALONE, 1e9, save_every_steps=3, seconds_left=0.0)
    assert [vote.decide(step) for step in (2, 3)] == [
        Decision(out_of_time=True),
        Decision(save=True, out_of_time=True),
    ]


def test_ranks_vote_after_each_step_while_steps_are_slow(signals, monkeypatch):
    now, voted = [0.0], []
    monkeypatch.setattr(monitors.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Rank, "maximum", lambda rank, votes: voted.append(step) or votes)
    vote = StopVote(Rank(0, 2, torch.device("cpu")), save_every_s=1e9)
    for step in range(101, 131):
        now[0] += 2.0 if step < 104 else 0.1
        vote.decide(step)
    assert voted == [101, 102, 103, 104, 110, 120, 130]
