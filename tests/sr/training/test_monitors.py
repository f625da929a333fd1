import math
import signal

import pytest
import torch

from data.errors import UserError
from sr.training import monitors
from sr.training.loader import Batch
from sr.training.monitors import PATIENCE_STEPS, LossWatch, StopVote, Verdict

BATCHES = [Batch(torch.empty(0), torch.empty(0), ("a.tar:0:k1.png", "a.tar:9:k2.png"))]


def feed(monitor: LossWatch, *losses: float) -> None:
    for step, loss in enumerate(losses, 1):
        monitor.add(step, torch.tensor([loss, 2 * loss]), BATCHES)


def test_the_sum_begins_anew_after_each_collection():
    monitor = LossWatch(2, patient=False)
    feed(monitor, 0.5, 0.25)
    assert monitor.collect() == ([0.75, 1.5], 2)
    feed(monitor, 1.0)
    assert monitor.collect() == ([1.0, 2.0], 1)
    assert monitor.latest == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_step_and_images(bad):
    with pytest.raises(UserError, match=r"step 2, of these images: a\.tar:0:k1\.png a\.tar:9:k2\.png"):
        feed(LossWatch(2, patient=False), 0.5, bad)


def test_the_scalers_skipped_steps_are_borne_up_to_a_limit():
    monitor = LossWatch(2, patient=True)
    feed(monitor, *[math.inf] * PATIENCE_STEPS, 0.5, *[math.nan] * PATIENCE_STEPS)
    assert monitor.collect() == ([0.5, 1.0], 1)
    with pytest.raises(UserError, match="finite loss"):
        feed(monitor, math.inf)


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_is_heard_at_the_next_step(signals):
    vote = StopVote(1, 0, torch.device("cpu"), save_every_s=1e9)
    assert vote.ask(1) == Verdict()
    # Called, not raised: pytest's faulthandler sets an alternate stack for signals, and OpenVINO, compiling a model in
    # another test, replaces it by one that it then unmaps. Processes without a faulthandler are not concerned.
    signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)
    assert vote.ask(2) == Verdict(stop=True)


def test_saving_is_due_after_each_step_without_an_interval(signals):
    vote = StopVote(1, 0, torch.device("cpu"), save_every_s=0.0)
    assert vote.ask(1) == Verdict(save=True)


def test_saving_is_due_by_steps_and_the_end_by_the_clock(signals):
    vote = StopVote(1, 0, torch.device("cpu"), 1e9, save_every_steps=3, seconds_left=0.0)
    assert [vote.ask(step) for step in (2, 3)] == [Verdict(late=True), Verdict(save=True, late=True)]


def test_ranks_ask_each_other_after_each_step_while_steps_are_slow(signals, monkeypatch):
    now, asked = [0.0], []
    monkeypatch.setattr(monitors.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda votes, op: asked.append(step))
    vote = StopVote(2, 0, torch.device("cpu"), save_every_s=1e9)
    for step in range(101, 131):
        now[0] += 2.0 if step < 104 else 0.1
        vote.ask(step)
    assert asked == [101, 102, 103, 104, 110, 120, 130]
