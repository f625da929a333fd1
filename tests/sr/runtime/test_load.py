"""Names, files and directories load the right upscaler; everything else is refused with a readable error."""

import os
import shutil

import numpy as np
import onnx
import pytest
import torch
from images import textured
from PIL import Image
from safetensors.torch import load_file

from data.errors import UserError
from sr.runtime.load import load_upscaler
from sr.runtime.torch_device import choose_torch_device


def test_upscalers_accept_pillow_images(realtime_irs):
    lr_image = textured(7, 12, 13)
    for spec in (realtime_irs["fp32"] / "model.xml", "bicubic"):
        upscale = load_upscaler(spec)
        np.testing.assert_array_equal(upscale(Image.fromarray(lr_image)), upscale(lr_image))
        with pytest.raises(ValueError, match=r"\(12, 13\)"):
            upscale(Image.fromarray(lr_image).convert("L"))


def test_a_checkpoint_file_loads_like_its_model_directory(realtime_dir):
    upscaler = load_upscaler(realtime_dir.parent / "weights.safetensors")
    lr_image = textured(7, 12, 12)
    np.testing.assert_array_equal(upscaler(lr_image), load_upscaler(realtime_dir)(lr_image))
    assert upscaler.name == "weights torch"


@pytest.mark.parametrize("spec", ["bicubik", "nowhere/model.xml", "."])
def test_an_unknown_model_is_refused(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="bicubic, lanczos"):
        load_upscaler(spec)


def test_an_onnx_file_of_another_program_is_refused(tmp_path):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [value], [output]),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match="foreign.onnx.*metadata|metadata.*foreign.onnx"):
        load_upscaler(tmp_path / "foreign.onnx")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_damaged_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match="broken.* is not a readable model file"):
        load_upscaler(path)


def test_a_tile_that_is_too_small_is_refused(vapsr_dir):
    with pytest.raises(UserError, match="at least 128 px, got 100"):
        load_upscaler(vapsr_dir, tile_px=100)


def test_an_onnx_file_runs_on_the_cpu_only(realtime_onnx):
    load_upscaler(realtime_onnx, device="CPU")
    with pytest.raises(UserError, match="cannot run on the device GPU"):
        load_upscaler(realtime_onnx, device="GPU")


@pytest.fixture
def two_gpus(monkeypatch):
    """A torch that says that it has two GPUs; nothing can run on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("device", ["CPU", "cpu"])
def test_the_device_cpu_keeps_weights_off_cuda(device, realtime_dir, two_gpus):
    for weights in (realtime_dir, realtime_dir.parent / "weights.safetensors"):
        upscaler = load_upscaler(weights, device=device)
        assert upscaler(textured(7, 8, 8)).shape == (16, 16, 3)
        assert {parameter.device.type for parameter in upscaler.network.parameters()} == {"cpu"}


def test_weights_run_on_cuda_by_default_and_on_the_one_that_is_named(two_gpus):
    names = {name: str(choose_torch_device(name)) for name in ("", "AUTO", "CUDA", "cuda:1")}
    assert names == {"": "cuda", "AUTO": "cuda", "CUDA": "cuda", "cuda:1": "cuda:1"}


@pytest.mark.parametrize("device", ["GPU", "NPU", "CUDA:2", "mps", "0"])
def test_weights_refuse_another_device_and_say_what_is_there(device, realtime_dir, two_gpus):
    with pytest.raises(UserError, match=f"{device}.* has CPU, CUDA:0, CUDA:1"):
        load_upscaler(realtime_dir, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has CUDA")
def test_without_cuda_weights_run_on_the_cpu_and_refuse_it(realtime_dir):
    assert [str(choose_torch_device(name)) for name in ("", "AUTO", "CPU")] == ["cpu"] * 3
    with pytest.raises(UserError, match="'CUDA' here: this machine has CPU. Choose"):
        load_upscaler(realtime_dir, device="CUDA")


def test_an_ir_refuses_a_device_that_is_not_there(realtime_irs):
    with pytest.raises(UserError, match="no OpenVINO device 'CUDA'"):
        load_upscaler(realtime_irs["fp32"], device="CUDA")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx", ".xml", ""])
def test_a_model_loads_from_a_path_that_is_not_utf_8(
    suffix, realtime_dir, realtime_onnx, realtime_irs, tmp_path
):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    made = {".onnx": realtime_onnx, ".xml": realtime_irs["fp32"]}.get(suffix, realtime_dir)
    shutil.copytree(made, folder)
    if suffix == ".pth":
        torch.save(load_file(made / "model.safetensors"), folder / "model.pth")
    model = folder / f"model{suffix}" if suffix else folder
    assert load_upscaler(model)(textured(1, 8, 8)).shape == (16, 16, 3)
