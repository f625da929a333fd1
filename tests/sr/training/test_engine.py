"""Compares the steps of the engine with plain torch."""

import dataclasses

import pytest
import torch

from data.errors import UserError
from sr.distributed.ranks import Rank
from sr.models.presets import describe
from sr.models.registry import build_for_training
from sr.pairs.batches import Batch
from sr.training.engine import TrainingEngine, copy_network
from sr.training.job import TrainingJob

pytestmark = pytest.mark.usefixtures("one_rank")
ALONE = Rank(0, 1, torch.device("cpu"))
JOB = TrainingJob(
    "realtime-x2",
    "",
    "",
    patch_px=16,
    batch_size=4,
    weight_decay=1.0,
    max_grad_norm=0.01,
    precision="fp32",
    ema_decay=0.9,
)
RATES = (0.01, 0.02, 0.01)


@pytest.fixture
def network():
    torch.manual_seed(5)
    network = build_for_training(describe(JOB.preset, reparameterize="off"))
    torch.nn.init.normal_(network.core.layers[-1].weight, std=0.02)
    return network


@pytest.fixture
def batch():
    stream = torch.Generator().manual_seed(6)

    def images(side_px):
        return torch.randint(0, 256, (4, 3, side_px, side_px), dtype=torch.uint8, generator=stream)

    return Batch(images(8), images(16))


@pytest.mark.parametrize("micro_batch_size", [0, 2, 1])
def test_steps_equal_those_of_plain_torch_on_the_whole_batch(network, batch, micro_batch_size):
    plain = copy_network(network).requires_grad_(True)
    engine = TrainingEngine(network, JOB, ALONE, micro_batch_size)
    assert engine.micro_batch_size == (micro_batch_size or 4)
    weights = list(plain.core.parameters())
    ema_weights = [weight.detach().clone() for weight in weights]
    groups = [
        {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": JOB.weight_decay},
        {"params": [weight for weight in weights if weight.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(JOB.beta1, JOB.beta2))
    for number, rate in enumerate(RATES):
        loss = engine.step(batch, number, rate)[0]
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        expected = torch.nn.functional.l1_loss(plain.predict(batch.lr_image), plain.normalize(batch.hr_image))
        expected.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, JOB.max_grad_norm)
        assert norm > 2 * JOB.max_grad_norm
        optimizer.step()
        decay = (1 + number) / (10 + number)
        ema_weights = [
            decay * old + (1 - decay) * weight.detach()
            for old, weight in zip(ema_weights, weights, strict=True)
        ]
        assert float(loss) == pytest.approx(float(expected.detach()), rel=1e-4)
        assert float(engine.gradient_norm) == pytest.approx(float(norm), rel=1e-3)
    for weight, own in zip(weights, engine.network.core.parameters(), strict=True):
        state, own_state = optimizer.state[weight], engine.optimizer.state[own]
        for moment in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(own_state[moment], state[moment], rtol=0.01, atol=1e-6)
    # In the mean: where a gradient is all but zero, its sign, and so AdamW's step, is that of rounding.
    for expected, found in ((weights, engine.network.core), (ema_weights, engine.evaluated_network.core)):
        apart = [(one - own).abs().mean() for one, own in zip(expected, found.parameters(), strict=True)]
        assert float(max(apart).detach()) < 1e-4


@pytest.mark.parametrize(
    ("precision", "kind"),
    [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_convolutions_are_computed_in_the_requested_precision(network, batch, precision, kind):
    engine = TrainingEngine(network, dataclasses.replace(JOB, precision=precision), ALONE)
    seen = []
    engine.network.core.layers[1].register_forward_hook(lambda layer, given, gives: seen.append(gives.dtype))
    engine.step(batch, 0, 1e-3)
    assert set(seen) == {kind}
    assert all(weight.dtype == torch.float32 for weight in engine.network.core.parameters())


def test_lpips_needs_room_in_the_smallest_patches(network):
    job = dataclasses.replace(JOB, loss="l1+lpips:0.1", patch_px=64, patch_stages="16:0.5")
    with pytest.raises(UserError, match="the smallest is 16 px"):
        TrainingEngine(network, job, ALONE)


def test_biases_and_scales_do_not_decay(network):
    network = build_for_training(describe("vapsr-x2"))
    engine = TrainingEngine(network, dataclasses.replace(JOB, preset="vapsr-x2", ema_decay=0.0), ALONE)
    kernels, others = engine.optimizer.param_groups
    assert (kernels["weight_decay"], others["weight_decay"]) == (JOB.weight_decay, 0.0)
    names = {weight: name for name, weight in network.core.named_parameters()}
    assert all(names[weight].endswith(".weight") and weight.dim() == 4 for weight in kernels["params"])
    assert {names[weight].rsplit(".", 1)[1] for weight in others["params"]} == {"weight", "bias"}
    assert all("norm" in names[weight] for weight in others["params"] if names[weight].endswith("weight"))
    assert len(names) == len(kernels["params"]) + len(others["params"])
