"""Presets have their published sizes, weights are recognized by their shapes, and nothing is guessed."""

import pytest
import torch

from data.errors import UserError
from sr.models.presets import PRESETS, ModelDescription, find_preset
from sr.models.registry import build_network, recognize

PARAMETERS = {
    "vapsr-x2": 329_236,
    "vapsr-x3": 336_811,
    "vapsr-x4": 342_220,
    "vapsr-s-x4": 154_956,
    "vapsr3x3-x2": 793_252,
}


@pytest.mark.parametrize(("preset", "parameters"), PARAMETERS.items())
def test_published_networks_have_their_published_number_of_parameters(preset, parameters):
    assert (
        sum(parameter.numel() for parameter in build_network(find_preset(preset)).parameters()) == parameters
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_the_weights_of_a_preset_are_recognized_and_load(preset):
    network = build_network(find_preset(preset))
    weights = network.core.state_dict()
    description = recognize(weights)
    assert description == PRESETS[preset]
    build_network(description).core.load_state_dict(weights, strict=True)
    assert (network.scale, network.value_range) == (description.scale, description.value_range)


@pytest.mark.parametrize(
    ("architecture", "configuration", "value_range"),
    [
        (
            "vapsr",
            {"scale": 3, "features": 8, "blocks": 2, "attention": 6, "projection": 1, "groups": 2},
            (0.0, 1.0),
        ),
        (
            "vapsr",
            {"scale": 4, "features": 8, "blocks": 1, "attention": 6, "projection": 3, "groups": 1},
            (-1.0, 1.0),
        ),
        ("realtime", {"scale": 3, "layers": 3, "channels": 8, "planes": 3}, (0.0, 255 / 256)),
        ("realtime", {"scale": 2, "layers": 2, "channels": 7, "planes": 1}, (0.0, 255 / 256)),
        (
            "realtime",
            {"scale": 3, "layers": 2, "channels": 7, "planes": 1, "unshuffle": 4, "prelu": 1},
            (0.0, 255 / 256),
        ),
        (
            "realtime",
            {"scale": 2, "layers": 3, "channels": 7, "planes": 3, "unshuffle": 4},
            (0.0, 255 / 256),
        ),
    ],
)
def test_weights_of_no_preset_are_recognized(architecture, configuration, value_range):
    description = ModelDescription(architecture, configuration, value_range)
    assert recognize(build_network(description).core.state_dict()) == description


@pytest.mark.parametrize("change", ["missing", "extra", "reshaped", "wrapped"])
@pytest.mark.parametrize("preset", ["vapsr-x4", "realtime-x2"])
def test_weights_that_fit_nothing_are_refused(preset, change):
    weights = dict(build_network(find_preset(preset)).core.state_dict())
    name = list(weights)[-1]
    if change == "missing":
        del weights[name]
    elif change == "extra":
        weights["something.weight"] = torch.zeros(3)
    elif change == "reshaped":
        weights[name] = weights[name][:-1]
    else:
        weights = {f"module.{key}": value for key, value in weights.items()}
    with pytest.raises(UserError, match="fit none of the networks vapsr, realtime"):
        recognize(weights)


def test_the_refusal_names_the_tensor_that_differs():
    weights = dict(build_network(find_preset("realtime-x2")).core.state_dict())
    weights["layers.1.bias"] = torch.zeros(5)
    with pytest.raises(UserError, match=r"tensor layers\.1\.bias should be \(\d+,\) and is \(5,\)"):
        recognize(weights)


def test_an_unknown_preset_is_refused_with_the_known_names():
    with pytest.raises(UserError, match=r"'vapsr-x9'.*vapsr-x2"):
        build_network(find_preset("vapsr-x9"))


@pytest.mark.parametrize(
    ("architecture", "configuration"),
    [
        ("unet", {"scale": 2}),
        ("realtime", {"scale": 2, "depth": 3}),
        ("vapsr", dict(PRESETS["vapsr-x2"].configuration, scale=7)),
    ],
)
def test_a_description_that_cannot_be_built_is_refused(architecture, configuration):
    with pytest.raises(UserError, match="architecture 'unet'|description is not valid"):
        build_network(ModelDescription(architecture, configuration, (0.0, 1.0)))
