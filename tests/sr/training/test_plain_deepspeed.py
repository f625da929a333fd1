"""The stand-in for DeepSpeed's engine, which the check for GPU machines uses, takes the same steps."""

import dataclasses

import plain_deepspeed
import pytest
import torch

from sr.distributed.ranks import Rank
from sr.models.presets import describe
from sr.models.registry import build_for_training
from sr.pairs.batches import Batch
from sr.training import engine
from sr.training.engine import TrainingEngine
from sr.training.job import TrainingJob

pytestmark = pytest.mark.usefixtures("one_rank")
JOB = TrainingJob("realtime-x2", "", "", patch_px=16, batch_size=4, ema_decay=0.9)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_its_steps_equal_those_of_deepspeed(precision, monkeypatch):
    job = dataclasses.replace(JOB, precision=precision)
    stream = torch.Generator().manual_seed(3)
    sides = (8, 16)
    images = (
        torch.randint(0, 256, (4, 3, side, side), dtype=torch.uint8, generator=stream) for side in sides
    )
    batch = Batch(*images)

    def train() -> list[torch.Tensor]:
        torch.manual_seed(1)
        trained = TrainingEngine(
            build_for_training(describe(job.preset)), job, Rank(0, 1, torch.device("cpu")), 2
        )
        for number in range(3):
            trained.step(batch, number, 1e-3)
        return [weight.detach().clone() for weight in trained.evaluated_network.parameters()]

    expected = train()
    monkeypatch.setattr(engine.deepspeed, "initialize", plain_deepspeed.initialize)
    for one, other in zip(train(), expected, strict=True):
        assert torch.equal(one, other)
