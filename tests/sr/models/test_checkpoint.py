import copy
import dataclasses
import json
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from data.errors import UserError
from sr.models.checkpoint import export_checkpoint, load_model, serialize_weights
from sr.models.presets import PRESETS, find_preset
from sr.models.registry import build_network


@pytest.fixture
def network():
    torch.manual_seed(3)
    network = build_network(find_preset("realtime-x2"))
    torch.nn.init.normal_(network.core.layers[-1].weight, std=0.01)
    return network


def images() -> torch.Tensor:
    stream = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 3, 12, 16), dtype=torch.uint8, generator=stream)


def check_export(source, tmp_path, network):
    """Export, load again, and compare the result with the network."""
    record = export_checkpoint(source, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert not loaded.training
    assert torch.equal(loaded(images()), network(images()))
    assert record["preset"] == "realtime-x2" and record["scale"] == 2 and record["size_multiple"] == 2
    assert record["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert record == json.loads((tmp_path / "model" / "model.json").read_text())
    return record


def test_a_bare_state_dict_is_exported(tmp_path, network):
    torch.save(network.core.state_dict(), tmp_path / "bare.pth")
    assert check_export(tmp_path / "bare.pth", tmp_path, network)["source"]["weights"] == "bare"


def test_ema_weights_are_preferred_to_raw_weights(tmp_path, network):
    raw = {name: torch.zeros_like(tensor) for name, tensor in network.core.state_dict().items()}
    torch.save({"params": raw, "params_ema": network.core.state_dict()}, tmp_path / "both.pth")
    assert check_export(tmp_path / "both.pth", tmp_path, network)["source"]["weights"] == "params_ema"


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_dropped(tmp_path, network, prefix):
    prefixed = {prefix + name: tensor for name, tensor in network.core.state_dict().items()}
    torch.save({"state_dict": prefixed}, tmp_path / "wrapped.pth")
    check_export(tmp_path / "wrapped.pth", tmp_path, network)


def test_a_safetensors_file_is_exported(tmp_path, network):
    save_file(network.core.state_dict(), tmp_path / "weights.safetensors")
    check_export(tmp_path / "weights.safetensors", tmp_path, network)


def test_the_best_weights_of_a_run_are_exported(tmp_path, network):
    run = tmp_path / "run"
    run.mkdir()
    save_file(network.core.state_dict(), run / "best.safetensors")
    (run / "job.json").write_text(json.dumps({"preset": "realtime-x2", "selection_hash": "ab"}))
    assert check_export(run, tmp_path, network)["source"]["selection"] == "ab"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: [], "model.json has version"),
        (lambda record: {"schema": 3}, "not those that model.json names"),
        (lambda record: record | {"configuration": {"scale": 2}}, "realtime of .*'scale': 2"),
        (lambda record: {name: one for name, one in record.items() if name != "value_range"}, "value_range"),
        (lambda record: record | {"architecture": "other"}, "architecture"),
    ],
)
def test_a_changed_model_json_is_refused(tmp_path, network, change, message):
    save_file(network.core.state_dict(), tmp_path / "net.safetensors")
    record = export_checkpoint(tmp_path / "net.safetensors", tmp_path / "model")
    (tmp_path / "model" / "model.json").write_text(json.dumps(change(record)))
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / "model")


def vapsr_in(color_space):
    sizes = {"scale": 2, "features": 8, "blocks": 1, "attention": 6, "projection": 1, "groups": 1}
    torch.manual_seed(4)
    description = dataclasses.replace(
        PRESETS["vapsr-x2"], configuration=sizes, preset="", color_space=color_space
    )
    return build_network(description).eval()


def test_a_color_space_is_kept_from_file_to_file(tmp_path):
    network = vapsr_in("oklab")
    first = tmp_path / "weights.safetensors"
    first.write_bytes(serialize_weights(dict(network.core.state_dict()), network.description))
    record = export_checkpoint(first, tmp_path / "model")
    assert (record["color_space"], record["color"]) == ("oklab", "rgb")
    export_checkpoint(tmp_path / "model" / "model.safetensors", tmp_path / "again")
    for directory in ("model", "again"):
        assert torch.equal(load_model(tmp_path / directory)(images()), network(images()))
    assert not torch.equal(vapsr_in("rgb")(images()), network(images()))


def test_the_color_space_of_a_run_comes_from_its_job(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    save_file(build_network(find_preset("vapsr-x2")).core.state_dict(), run / "best.safetensors")
    job = {"preset": "vapsr-x2", "selection_hash": "ab", "color_space": "ycbcr-709", "reparameterize": "on"}
    (run / "job.json").write_text(json.dumps(job))
    assert export_checkpoint(run, tmp_path / "model")["color_space"] == "ycbcr-709"
    (run / "job.json").write_text(json.dumps(job | {"color_space": "yuv"}))
    with pytest.raises(UserError, match="color space of 'yuv'"):
        export_checkpoint(run, tmp_path / "other")


@pytest.mark.parametrize("schema", [1, 2, 4])
def test_other_versions_are_refused(tmp_path, schema):
    network = build_network(find_preset("realtime-rgb-x2")).eval()
    save_file(network.core.state_dict(), tmp_path / "weights.safetensors")
    export_checkpoint(tmp_path / "weights.safetensors", tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    record = json.loads(path.read_text()) | {"schema": schema}
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=f"has version {schema}, .* reads version 3"):
        load_model(tmp_path / "model")


def test_half_precision_becomes_float32(tmp_path, network):
    torch.save({n: t.half() for n, t in network.core.state_dict().items()}, tmp_path / "half.pth")
    export_checkpoint(tmp_path / "half.pth", tmp_path / "model")
    assert all(weight.dtype == torch.float32 for weight in load_model(tmp_path / "model").parameters())


def test_the_same_weights_give_the_same_bytes(tmp_path, network):
    state = network.core.state_dict()
    torch.save(state, tmp_path / "a.pth")
    torch.save(dict(reversed(state.items())), tmp_path / "b.pth")
    records = [export_checkpoint(tmp_path / f"{name}.pth", tmp_path / name) for name in "ab"]
    assert records[0]["weights_sha256"] == records[1]["weights_sha256"]


class Trap:
    def __reduce__(self):
        return (open, ("trap", "w"))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"params": {"weight": torch.zeros(1)}, "extra": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UserError, match="without running code"):
        export_checkpoint(tmp_path / "trap.pth", tmp_path / "model")
    assert not (tmp_path / "trap").exists() and not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pickle.dumps([1, 2]), "a pickle that torch.save did not write"),
        (b"not a checkpoint", "is damaged, or no model"),
        (b"", "odd.pth is empty"),
    ],
)
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, content, expected):
    (tmp_path / "odd.pth").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        export_checkpoint(tmp_path / "odd.pth", tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda weight: torch.zeros(1).expand(10**6, 10**6), "larger than what is stored"),
        (lambda weight: torch.full_like(weight, float("nan")), "numbers that are not finite"),
        (lambda weight: weight.to(torch.complex64), "named tensors of float16, bfloat16, float32, float64"),
        (lambda weight: weight.to(torch.float8_e4m3fn), "named tensors"),
        (lambda weight: weight.to(torch.int64), "named tensors"),
        (lambda weight: weight.bool(), "named tensors"),
        (lambda weight: weight.to("meta"), "named tensors"),
        (lambda weight: weight.to_sparse(), "named tensors"),
        (lambda weight: "weight", "named tensors"),
    ],
)
def test_harmful_tensors_are_refused(tmp_path, network, change, expected):
    weights = dict(network.core.state_dict())
    weights["layers.1.weight"] = change(weights["layers.1.weight"])
    torch.save(weights, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=expected):
        export_checkpoint(tmp_path / "odd.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_names_that_are_not_text_are_refused(tmp_path):
    torch.save({0: torch.zeros(3), "module.x": torch.zeros(3)}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match="named tensors"):
        export_checkpoint(tmp_path / "odd.pth", tmp_path / "model")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_an_archive_that_expands_is_refused_without_reading_it(tmp_path, monkeypatch, method):
    torch.save({"weight": torch.zeros(200_000)}, tmp_path / "whole.pth")
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", method) as bomb,
    ):
        for member in whole.infolist():
            bomb.writestr(member.filename, whole.read(member))
        if method == zipfile.ZIP_STORED:  # members that share their bytes
            largest = max(bomb.infolist(), key=lambda member: member.file_size)
            for number in range(5):
                again = copy.copy(largest)
                again.filename = again.orig_filename = f"again/{number}"
                bomb.filelist.append(again)
    monkeypatch.setattr(torch, "load", lambda *how, **options: pytest.fail("it must not be read"))
    with pytest.raises(UserError, match="without compression"):
        export_checkpoint(tmp_path / "bomb.pth", tmp_path / "model")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_half_a_file_is_refused(tmp_path, network, suffix):
    path = tmp_path / f"whole{suffix}"
    (torch.save if suffix == ".pth" else save_file)(network.core.state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"whole{suffix}"):
        export_checkpoint(path, tmp_path / "model")


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth"):
        export_checkpoint(tmp_path / "other.pth", tmp_path / "model")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.pth does not exist"):
        export_checkpoint(tmp_path / "absent.pth", tmp_path / "model")


def test_replaced_weights_are_detected(tmp_path, network):
    torch.save(network.core.state_dict(), tmp_path / "bare.pth")
    export_checkpoint(tmp_path / "bare.pth", tmp_path / "model")
    save_file({"layers.0.weight": torch.zeros(1)}, tmp_path / "model" / "model.safetensors")
    with pytest.raises(UserError, match=r"not those that model\.json names"):
        load_model(tmp_path / "model")


def test_a_published_vapsr_checkpoint_loads_and_upscales(tmp_path, shared):
    record = export_checkpoint(shared / "weights" / "vapsr3x3_x2.pth", tmp_path / "model")
    assert (record["preset"], record["parameters"]) == ("vapsr3x3-x2", 793_252)
    assert load_model(tmp_path / "model")(images()).shape == (1, 3, 24, 32)
