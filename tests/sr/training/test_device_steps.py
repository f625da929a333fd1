"""A training step on a device from which nothing can be read: it neither waits nor makes anything on the host.

The device is torch's meta device (`device_without_way_back`): where a step needed a value, it would fail. Copies
between host and device, and tensors made on the host, are listed by operation.
"""

import contextlib

import device_without_way_back
import numpy as np
import pytest
import torch
from device_without_way_back import DEVICE, HostWatch
from selections import SELECTION_HASH, write_selection

from data.selection import open_split
from sr.distributed.ranks import Rank
from sr.models.presets import describe
from sr.models.registry import build_for_training
from sr.pairs.batches import Batch, PairMaker, TrainingBatches
from sr.pairs.crop_cache import open_cache
from sr.pairs.crop_reader import CropReader
from sr.training.engine import TrainingEngine
from sr.training.job import TrainingJob
from sr.training.monitors import CHECK_EVERY_STEPS, LossMonitor

pytestmark = pytest.mark.usefixtures("one_rank")
PAIRS, PATCH_PX, SCALE = 4, 16, 2
JOB = TrainingJob(
    "realtime-x2",
    "",
    SELECTION_HASH,
    patch_px=PATCH_PX,
    batch_size=PAIRS,
    precision="fp32",
    ema_decay=0.9,
    loss="l1:1+frequency:0.1",
    brightness_probability=1.0,
)
SPOILS = {
    "item": lambda norm: norm.item(),
    "float": lambda norm: float(norm),
    "comparison": lambda norm: bool(norm > 1.0),
    "to the CPU": lambda norm: norm.cpu(),
    "list": lambda norm: norm.tolist(),
    "where": lambda norm: norm.reshape(1).nonzero(),
    "scalar from the host": lambda norm: norm + torch.tensor(1.0).to(DEVICE),
    "memory on the host": lambda norm: torch.zeros(3),
}
"""What a step must not do, with the norm of its gradients."""


@pytest.fixture(autouse=True)
def device(monkeypatch):
    device_without_way_back.use(monkeypatch)


def build_engine(micro_batch_size: int = PAIRS) -> TrainingEngine:
    network = build_for_training(describe(JOB.preset))
    return TrainingEngine(network, JOB, Rank(0, 1, DEVICE), micro_batch_size)


def batch_on_device() -> Batch:
    sides = (PATCH_PX // SCALE, PATCH_PX)
    return Batch(*(torch.zeros(PAIRS, 3, side, side, dtype=torch.uint8, device=DEVICE) for side in sides))


@pytest.mark.parametrize("micro_batch_size", [PAIRS, 2])
def test_steps_neither_wait_for_the_device_nor_make_anything_on_the_host(micro_batch_size):
    engine = build_engine(micro_batch_size)
    batch, losses = batch_on_device(), LossMonitor(1 + len(engine.loss.names), False, str)
    found = engine.step(batch, 0, 1e-3)  # makes the optimizer's state
    with HostWatch() as watch:
        for number in range(1, CHECK_EVERY_STEPS):
            # As the trainer does. Steps are equal: three of them are enough.
            found = engine.step(batch, number, 1e-3) if number <= 3 else found
            losses.add(number, found)
    assert (watch.waits, watch.made, watch.pinned_bytes) == ([], [], 0)
    with pytest.raises((RuntimeError, NotImplementedError)):
        # The one time that losses are read: together, for all steps since the last.
        losses.add(CHECK_EVERY_STEPS, found)


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
def test_a_step_that_waits_or_makes_something_on_the_host_is_found(spoil, monkeypatch):
    engine, clip = build_engine(), TrainingEngine._clip_gradients

    def spoiled(self):
        clip(self)
        spoil(self.gradient_norm)

    engine.step(batch_on_device(), 0, 1e-3)
    monkeypatch.setattr(TrainingEngine, "_clip_gradients", spoiled)
    with HostWatch() as watch, contextlib.suppress(RuntimeError, NotImplementedError):
        engine.step(batch_on_device(), 1, 1e-3)
        assert watch.waits or watch.made, "and it did not fail for want of a value"


class FakeStream:
    """Stands for a side stream."""

    def record_event(self) -> None:
        """Return no event: nothing runs later."""


def test_making_a_batch_for_a_device_takes_only_the_pinned_batch_on_the_host(tmp_path, monkeypatch):
    split = open_split(write_selection(tmp_path, (6,), (1,), 64), "train")
    cache = open_cache(CropReader(split, "opencv", 1), "memory", tmp_path, Rank(0, 1, torch.device("cpu")))
    cache.load(np.arange(6))
    maker = PairMaker(JOB, SCALE, DEVICE, 1)
    maker._stream = FakeStream()
    monkeypatch.setattr(torch.cuda, "stream", lambda *_: contextlib.nullcontext())
    batches = TrainingBatches(cache, JOB, maker, slice(None), 0)
    with HostWatch():
        batches.make(0)  # makes the tables of orientations
    with HostWatch() as watch:
        batch = batches.make(1)
    assert (batch.lr_image.device, batch.hr_image.device) == (DEVICE, DEVICE)
    side_px = PATCH_PX + 2 * 2 * SCALE
    patches, choices = PAIRS * side_px**2 * 3, PAIRS * (8 + 4)
    assert watch.pinned_bytes == patches + choices
    assert watch.sent_bytes == watch.pinned_bytes
    assert (watch.waits, watch.made) == ([], [])
