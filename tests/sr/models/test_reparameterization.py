"""Branches change how a network learns, never what it computes; fused, nothing of them is left."""

import pytest
import torch

from sr.models.presets import PRESETS, ModelDescription
from sr.models.registry import build_for_training, build_from, recognize
from sr.models.reparameterization import add_branches, fused

SIZES = {"scale": 2, "layers": 4, "channels": 8}
LOW = torch.randint(0, 256, (2, 3, 10, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))


def branched(planes: int = 3):
    torch.manual_seed(7)
    configuration = {**SIZES, "planes": planes}
    return build_for_training(ModelDescription("realtime", configuration, (0.0, 1.0), reparameterize=True))


def learn(network, steps: int = 3) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        (network.predict(LOW) - 0.7).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("planes", [3, 1])
def test_fused_is_the_plain_network_and_gives_the_same_image(planes):
    network = branched(planes)
    before = network.predict(LOW).detach()
    plain = build_from(network.description)
    plain.core.load_state_dict(fused(network.core).state_dict(), strict=True)
    assert torch.equal(plain.predict(LOW), before)
    learn(network)
    plain.core.load_state_dict(fused(network.core).state_dict(), strict=True)
    assert (network.predict(LOW) - before).abs().max() > 0.01
    torch.testing.assert_close(plain.predict(LOW), network.predict(LOW), atol=1e-6, rtol=0)


def test_an_untrained_branched_network_is_the_bicubic_upscaling_too():
    network = branched()
    untouched = build_from(network.description)
    assert torch.equal(network(LOW), untouched(LOW))


def test_every_branch_learns():
    network = branched()
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    learn(network, steps=6)
    still = [name for name, weight in network.named_parameters() if torch.equal(weight, before[name])]
    assert not still


def test_fusing_leaves_the_branches_where_they_are():
    network = branched()
    names = list(network.core.state_dict())
    fused(network.core)
    learn(network)
    assert list(network.core.state_dict()) == names and any("squeeze" in name for name in names)
    assert recognize(fused(network.core).state_dict()).configuration == {**SIZES, "planes": 3}


def test_fused_kernels_do_not_depend_on_the_precision_of_training():
    network = branched()
    learn(network)
    with torch.autocast("cpu", torch.bfloat16):
        low_precision = fused(network.core).state_dict()
    assert all(
        torch.equal(low_precision[name], weight) for name, weight in fused(network.core).state_dict().items()
    )


def test_presets_of_the_realtime_family_learn_with_branches():
    assert all(preset.reparameterize == (preset.architecture == "realtime") for preset in PRESETS.values())


def test_a_module_without_branches_is_copied_as_it_is():
    core = build_from(PRESETS["realtime-x2"]).core
    assert all(
        torch.equal(core.state_dict()[name], weight) for name, weight in fused(core).state_dict().items()
    )


def test_only_3x3_kernels_get_branches():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 1), torch.nn.Conv2d(4, 4, 5))
    add_branches(module)
    assert {name.split(".")[0] for name in module.state_dict() if "parametrizations" in name} == {"0"}
