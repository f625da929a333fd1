"""Files for programs on ncnn: run by ncnn, as these programs call it, and compared with the network."""

import builtins
import json

import numpy as np
import pytest
import torch
from images import textured
from other_networks import make_weights
from torchvision_operators import import_torchvision

from data.errors import UserError
from sr.export import to_ncnn
from sr.export.to_ncnn import export_ncnn, make_ncnn_runner
from sr.models.checkpoint import export_checkpoint
from sr.runtime.network_upscalers import TorchUpscaler

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")


@pytest.fixture(scope="module")
def exported(luma_dir, tmp_path_factory):
    """Export a network of luma in fp32; return the folder and the record."""
    folder = tmp_path_factory.mktemp("ncnn")
    return folder, export_ncnn(luma_dir, folder)


def check_image(folder, model_dir, record):
    """Compare ncnn's images with the network's; programs on ncnn cut tiles of odd sizes, too."""
    most = 1 if record["precision"] == "fp32" else 2
    assert record["parity"]["max_level_difference"] <= most
    run = make_ncnn_runner(folder / "model-x2.param", folder / "model-x2.bin", record["precision"])
    upscaler = TorchUpscaler(model_dir)
    for height, width in ((41, 33), (20, 47), (64, 30)):
        lr_image = textured(height, height, width)
        made, expected = run(lr_image[None])[0], upscaler(lr_image)
        assert made.shape == (2 * height, 2 * width, 3)
        assert np.abs(made.astype(int) - expected).max() <= most


def test_the_files_give_the_networks_image_by_the_names_that_programs_call(exported, luma_dir):
    import ncnn

    folder, record = exported
    check_image(folder, luma_dir, record)
    assert json.loads((folder / "export.json").read_text()) == record
    assert list(record["files"]) == ["model-x2.param", "model-x2.bin"]
    net = ncnn.Net()
    net.load_param(str(folder / "model-x2.param"))
    net.load_model(str(folder / "model-x2.bin"))
    assert net.input_names() == ["data"] and net.output_names() == ["output"]
    extractor = net.create_extractor()
    stripes = np.ones((3, 8, 8), np.float32)
    stripes[:, ::2] = 0.0
    extractor.input("data", ncnn.Mat(stripes).clone())
    output = np.array(extractor.extract("output")[1])
    # realesrgan-ncnn-vulkan turns values into bytes without a look at their sign.
    assert output.min() >= 0.0 and output.max() <= 1.0


@pytest.mark.parametrize(("model", "precision"), [("realtime", "fp16"), ("vapsr", "fp32")])
def test_other_networks_of_ours_and_half_precision(model, precision, tmp_path, request):
    model_dir = request.getfixturevalue(f"{model}_dir")
    check_image(tmp_path, model_dir, export_ncnn(model_dir, tmp_path, precision))


def test_a_network_of_spandrels_is_exported_and_one_of_fixed_multiples_is_refused(tmp_path):
    import_torchvision()
    pytest.importorskip("spandrel")
    for name in ("Compact", "SAFMN"):
        torch.save({"params": make_weights(name)}, tmp_path / f"{name}.pth")
        export_checkpoint(tmp_path / f"{name}.pth", tmp_path / name)
    record = export_ncnn(tmp_path / "Compact", tmp_path / "out", "fp16")
    assert record["parity"]["max_level_difference"] <= 2 and record["precision"] == "fp16"
    with pytest.raises(UserError, match="SAFMN takes sides of a multiple of 8 px only"):
        export_ncnn(tmp_path / "SAFMN", tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_equal_models_give_equal_files_and_files_that_compute_something_else_are_refused(
    exported, luma_dir, tmp_path, monkeypatch
):
    folder, convert = exported[0], to_ncnn._convert

    def damage(*given):
        param, weights = convert(*given)
        assert weights == (folder / "model-x2.bin").read_bytes()
        return param, weights[:-64] + bytes(64)

    monkeypatch.setattr(to_ncnn, "_convert", damage)
    with pytest.raises(UserError, match="differ from the network by up to"):
        export_ncnn(luma_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_pnnx_the_error_names_the_extra(luma_dir, tmp_path, monkeypatch):
    original = builtins.__import__

    def refuse(name, *given, **named):
        if name == "pnnx":
            raise ModuleNotFoundError("No module named 'pnnx'", name="pnnx")
        return original(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match="needs pnnx, not installed here") as raised:
        export_ncnn(luma_dir, tmp_path / "out")
    assert "[ncnn]" in raised.value.hint
    with pytest.raises(UserError, match="ncnn in 'int8'"):
        export_ncnn(luma_dir, tmp_path / "out", "int8")
