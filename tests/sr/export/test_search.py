"""Layers that lose accuracy in 8 bits are found by trials and stay in float; the others do not."""

import json

import pytest
import torch
from safetensors.torch import save_file

from data.errors import UserError
from sr.export.search import find_float_groups, group_layers
from sr.export.settings import Int8Settings
from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.models.checkpoint import export_checkpoint
from sr.models.presets import ModelDescription
from sr.models.registry import build_network

GROUPS = {name: frozenset({f"core.layers.{name}/Conv"}) for name in "abc"}


def _measure(gains: dict[str, float | None], calls: list):
    def measure(names: frozenset[str]) -> float:
        calls.append(names)
        if any(gains[name[12]] is None for name in names):
            raise UserError("A quantizer is shared with another layer", "Keep both in float")
        return 30 + sum(gains[name[12]] for name in names)

    return measure


def test_as_few_of_the_best_groups_as_needed_are_kept_in_float():
    estimates, calls, gains = [], [], {"a": 0.1, "b": 0.5, "c": 0.3}
    found = find_float_groups(
        _measure(gains, estimates), _measure(gains, calls), GROUPS, 30.0, 30.7, max_trials=9
    )
    assert found.groups == ("b", "c") and found.psnr_db == pytest.approx(30.8)
    assert found.names == GROUPS["b"] | GROUPS["c"] and found.trials == len(calls) == 1
    assert found.gains_db == pytest.approx(gains)
    assert {frozenset(names) for names in GROUPS.values()} <= set(estimates), "every group was tried alone"


def test_more_groups_are_kept_where_the_estimates_were_too_good():
    calls: list = []
    estimate = _measure({"a": 0.1, "b": 0.5, "c": 0.3}, [])
    found = find_float_groups(
        estimate, _measure({"a": 0.3, "b": 0.2, "c": 0.1}, calls), GROUPS, 30.0, 30.5, max_trials=9
    )
    assert [len(names) for names in calls] == [1, 2, 3] and found.groups == ("b", "c", "a")


def test_groups_that_gain_nothing_are_left_out():
    measure = _measure({"a": 0.0, "b": -0.1, "c": 0.3}, [])
    found = find_float_groups(measure, measure, GROUPS, 30.0, 31.0, max_trials=9)
    assert found.groups == ("c",) and found.trials == 1
    nothing = _measure({"a": 0.0, "b": -0.1, "c": 0.0}, [])
    assert find_float_groups(nothing, nothing, GROUPS, 30.0, 31.0, max_trials=9).trials == 0


def test_groups_that_cannot_be_in_float_cost_a_trial_and_no_more():
    estimate = _measure({"a": 0.1, "b": 0.5, "c": 0.3}, [])
    found = find_float_groups(
        estimate, _measure({"a": 0.1, "b": 0.5, "c": None}, []), GROUPS, 30.0, 30.7, max_trials=9
    )
    assert found.groups == () and found.trials == 2


def test_the_number_of_trials_is_bounded_and_the_last_is_of_all_that_gain():
    calls: list = []
    estimate = _measure({"a": 0.1, "b": 0.5, "c": 0.3}, [])
    found = find_float_groups(
        estimate, _measure({"a": 0.01, "b": 0.02, "c": 0.03}, calls), GROUPS, 30.0, 30.4, max_trials=2
    )
    assert [len(names) for names in calls] == [1, 3] and found.trials == 2
    assert found.groups == ("b", "c", "a")


@pytest.mark.parametrize("needed", [1, 2, 9, 13, 20])
def test_of_many_blocks_as_many_as_needed_are_kept_in_float(needed):
    groups = {f"core.body.{number}": frozenset({f"core.body.{number}/Conv"}) for number in range(20)}

    def measure(names: frozenset[str]) -> float:
        return 30 + 0.1 * len(names)

    found = find_float_groups(measure, measure, groups, 30.0, 30.05 + 0.1 * (needed - 1), max_trials=4)
    assert len(found.groups) == needed and found.trials == 1
    assert set(found.gains_db) == set(groups), "the last block, too"
    assert found.psnr_db == pytest.approx(30 + 0.1 * needed)


def test_groups_are_layers_and_blocks():
    names = [
        "core.body.1.proj_1/Conv",
        "core.body.1.atten_branch.0/Conv",
        "core.layers.0/Conv",
        "core.tail/Conv",
    ]
    assert {group: len(members) for group, members in group_layers(names).items()} == {
        "core.body.1": 2,
        "core.layers.0": 1,
        "core.tail": 1,
    }


@pytest.fixture(scope="module")
def fragile_onnx(tmp_path_factory):
    """A network that loses accuracy in 8 bits.

    Its last layer subtracts two small features, which are equal in float. A large third feature, whose weight is 0,
    sets the range of the 8 bits.
    """
    root = tmp_path_factory.mktemp("fragile")
    sizes = {"scale": 2, "layers": 3, "channels": 8, "planes": 3}
    core = build_network(ModelDescription("realtime", sizes, (0.0, 1.0))).core
    weights = {name: torch.zeros_like(tensor) for name, tensor in core.state_dict().items()}
    weights["layers.0.weight"][:, :, 1, 1] = 0.1
    weights["layers.1.weight"][0, :, 1, 1] = 10.0
    weights["layers.1.weight"][1:3, :, 1, 1] = 0.03
    weights["layers.1.bias"][2] = 0.1
    weights["layers.2.weight"][:, 1, 1, 1], weights["layers.2.weight"][:, 2, 1, 1] = -1.0, 1.0
    weights["layers.2.bias"] -= 0.1
    save_file(weights, root / "weights.safetensors")
    export_checkpoint(root / "weights.safetensors", root / "model")
    export_onnx(root / "model", root / "onnx")
    return root / "onnx"


def test_a_layer_that_loses_accuracy_is_found_and_kept_in_float(fragile_onnx, crops, tmp_path):
    settings = Int8Settings(calibration_crops=3, held_out_crops=2, search_trials=6)
    record = export_openvino(fragile_onnx, tmp_path, "int8", calibration=crops, settings=settings)
    search = record["search"]
    assert search["ranked_by"] == 2 and len(record["calibration"]["keys"]) == 3
    assert search["groups_in_float"] == ["core.layers.2"]
    assert search["gains_db"]["core.layers.2"] > 1 > search["gains_db"]["core.layers.0"]
    assert (record["quantized"]["layers"], record["quantized"]["float_layers"]) == (2, 2)
    assert any(name.startswith("core.layers.2/") for name in record["quantized"]["kept_in_float"])
    assert record == json.loads((tmp_path / "export.json").read_text())


def test_without_trials_it_is_refused(fragile_onnx, crops, tmp_path):
    settings = Int8Settings(calibration_crops=3, held_out_crops=2, search_trials=0)
    with pytest.raises(
        UserError,
        match=r"int8 reaches \d+\.\d+ dB .* 0.2 dB is allowed \(2 held-out crops of selection, 0 trials",
    ):
        export_openvino(fragile_onnx, tmp_path, "int8", calibration=crops, settings=settings)
    assert list(tmp_path.iterdir()) == []
