"""Layers that 8 bits harm are found by trying, and stay in float; nothing else does."""

import json

import pytest
import torch
from safetensors.torch import save_file

from data.errors import UserError
from sr.export.search import free_places, groups_of
from sr.export.settings import Int8Settings
from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.models.checkpoint import export_checkpoint
from sr.models.presets import ModelDescription
from sr.models.registry import build_from

GROUPS = {name: frozenset({f"core.layers.{name}/Conv"}) for name in "abc"}


def _score(worth: dict[str, float], calls: list):
    def score(names: frozenset[str]) -> float:
        calls.append(names)
        if worth[sorted(names)[0][12]] is None:
            raise UserError("8 bits elsewhere", "before it", "the graph", "leave it")
        return 30 + sum(worth[name[12]] for name in names)

    return score


def test_the_best_are_freed_first_and_no_more_than_needed():
    calls: list = []
    found = free_places(_score({"a": 0.1, "b": 0.5, "c": 0.3}, calls), GROUPS, 30.0, 30.7, tries=9)
    assert found.groups == ("b", "c") and found.psnr_db == pytest.approx(30.8)
    assert found.names == GROUPS["b"] | GROUPS["c"] and found.tries == len(calls) == 4
    assert found.gains_db == pytest.approx({"a": 0.1, "b": 0.5, "c": 0.3})


def test_what_does_not_help_or_cannot_be_freed_stays():
    found = free_places(_score({"a": None, "b": -0.1, "c": 0.3}, []), GROUPS, 30.0, 31.0, tries=9)
    assert found.groups == ("c",) and "a" not in found.gains_db


def test_tries_are_bounded():
    calls: list = []
    found = free_places(_score({"a": 0.1, "b": 0.5, "c": 0.3}, calls), GROUPS, 30.0, 31.0, tries=3)
    assert len(calls) == found.tries == 3 and found.groups == (
        "b",
        "a",
    )  # the last try is of both that were ranked


@pytest.mark.parametrize("needed", [1, 2, 9, 13, 20])
def test_of_many_blocks_as_many_are_freed_as_it_takes(needed):
    groups = {f"core.body.{number}": frozenset({f"core.body.{number}/Conv"}) for number in range(20)}
    found = free_places(
        lambda names: 30 + 0.1 * len(names), groups, 30.0, 30.05 + 0.1 * (needed - 1), tries=25
    )
    assert len(found.groups) == needed and found.tries <= 25
    assert found.psnr_db == pytest.approx(30 + 0.1 * needed)
    few = free_places(lambda names: 30 + 0.1 * len(names), groups, 30.0, 31.15, tries=24)
    assert 12 <= len(few.groups) <= 19 and few.psnr_db >= 31.15, "24 tries rank 19 of them"


def test_groups_are_layers_and_blocks():
    names = [
        "core.body.1.proj_1/Conv",
        "core.body.1.atten_branch.0/Conv",
        "core.layers.0/Conv",
        "core.tail/Conv",
    ]
    assert {group: len(members) for group, members in groups_of(names).items()} == {
        "core.body.1": 2,
        "core.layers.0": 1,
        "core.tail": 1,
    }


@pytest.fixture(scope="module")
def fragile_onnx(tmp_path_factory):
    """A network whose last layer takes the difference of two small features (nothing, if they are exact) beside a
    large one, which sets the range of its 8 bits and has no weight.
    """
    root = tmp_path_factory.mktemp("fragile")
    sizes = {"scale": 2, "layers": 3, "channels": 8, "planes": 3}
    core = build_from(ModelDescription("realtime", sizes, (0.0, 1.0))).core
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


def test_a_layer_that_8_bits_harm_is_found_and_left_in_float(fragile_onnx, crops, tmp_path):
    settings = Int8Settings(calibration_crops=3, held_out_crops=2, search_trials=6)
    record = export_openvino(fragile_onnx, tmp_path, "int8", calibration=crops, settings=settings)
    search = record["search"]
    assert search["ranked_by"] == 2 and len(record["calibration"]["keys"]) == 3
    assert search["freed"] == ["core.layers.2"]
    assert search["gains_db"]["core.layers.2"] > 1 > search["gains_db"]["core.layers.0"]
    assert (record["quantized"]["layers"], record["quantized"]["float_layers"]) == (2, 2)
    assert any(name.startswith("core.layers.2/") for name in record["quantized"]["kept_in_float"])
    assert record == json.loads((tmp_path / "export.json").read_text())


def test_without_tries_it_is_refused(fragile_onnx, crops, tmp_path):
    settings = Int8Settings(calibration_crops=3, held_out_crops=2, search_trials=0)
    with pytest.raises(
        UserError, match=r"0.2 dB below fp32, got \d+\.\d+ dB against .* 2 crops .* after 0 tries"
    ):
        export_openvino(fragile_onnx, tmp_path, "int8", calibration=crops, settings=settings)
    assert list(tmp_path.iterdir()) == []
