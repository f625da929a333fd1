"""Branches change how a network learns, never what it computes; fusing removes them."""

import pytest
import torch

from sr.models.presets import PRESETS, ModelDescription
from sr.models.registry import build_for_training, build_network, recognize
from sr.models.reparameterization import add_reparameterization, fuse_reparameterization

SIZES = {"scale": 2, "layers": 4, "channels": 8}
LR_IMAGES = torch.randint(
    0, 256, (2, 3, 10, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(4)
)


def build_reparameterized(planes: int = 3):
    torch.manual_seed(7)
    configuration = {**SIZES, "planes": planes}
    return build_for_training(ModelDescription("realtime", configuration, (0.0, 1.0), reparameterize=True))


def learn(network, steps: int = 3) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        (network.predict(LR_IMAGES) - 0.7).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("planes", [3, 1])
def test_a_fused_network_is_plain_and_computes_the_same_image(planes):
    network = build_reparameterized(planes)
    before = network.predict(LR_IMAGES).detach()
    plain = build_network(network.description)
    plain.core.load_state_dict(fuse_reparameterization(network.core).state_dict(), strict=True)
    assert torch.equal(plain.predict(LR_IMAGES), before)
    learn(network)
    plain.core.load_state_dict(fuse_reparameterization(network.core).state_dict(), strict=True)
    assert (network.predict(LR_IMAGES) - before).abs().max() > 0.01
    torch.testing.assert_close(plain.predict(LR_IMAGES), network.predict(LR_IMAGES), atol=1e-6, rtol=0)


def test_an_untrained_reparameterized_network_is_bicubic_upscaling():
    network = build_reparameterized()
    untouched = build_network(network.description)
    assert torch.equal(network(LR_IMAGES), untouched(LR_IMAGES))


def test_every_branch_learns():
    network = build_reparameterized()
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    learn(network, steps=6)
    still = [name for name, weight in network.named_parameters() if torch.equal(weight, before[name])]
    assert not still


def test_fusing_leaves_the_original_unchanged():
    network = build_reparameterized()
    names = list(network.core.state_dict())
    fuse_reparameterization(network.core)
    learn(network)
    assert list(network.core.state_dict()) == names and any("squeeze" in name for name in names)
    assert recognize(fuse_reparameterization(network.core).state_dict()).configuration == {
        **SIZES,
        "planes": 3,
    }


def test_fused_kernels_do_not_depend_on_the_precision_of_training():
    network = build_reparameterized()
    learn(network)
    with torch.autocast("cpu", torch.bfloat16):
        in_bf16 = fuse_reparameterization(network.core).state_dict()
    assert all(
        torch.equal(in_bf16[name], weight)
        for name, weight in fuse_reparameterization(network.core).state_dict().items()
    )


def test_only_presets_of_the_realtime_family_are_reparameterized():
    assert all(preset.reparameterize == (preset.architecture == "realtime") for preset in PRESETS.values())


def test_a_module_without_branches_is_copied_unchanged():
    core = build_network(PRESETS["realtime-x2"]).core
    assert all(
        torch.equal(core.state_dict()[name], weight)
        for name, weight in fuse_reparameterization(core).state_dict().items()
    )


def test_only_3x3_kernels_get_branches():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 1), torch.nn.Conv2d(4, 4, 5))
    add_reparameterization(module)
    assert {name.split(".")[0] for name in module.state_dict() if "parametrizations" in name} == {"0"}
