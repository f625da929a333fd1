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


def test_only_openvino_models_take_a_device(realtime_onnx):
    with pytest.raises(UserError, match="cannot run on the device GPU"):
        load_upscaler(realtime_onnx, device="GPU")


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
