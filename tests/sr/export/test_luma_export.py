"""The luma form as files: one channel in and out, the image of LumaForm, and int8 judged on luma."""

import numpy as np
import onnx
import pytest
import torch
from images import textured
from safetensors.torch import load_file, save_file

from data.errors import UserError
from data.imaging.original import StoredImage
from sr.export import ir_file
from sr.export.calibration import choose_crops
from sr.export.settings import Int8Settings
from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.models.checkpoint import export_checkpoint, load_model
from sr.models.luma_interface import LumaForm
from sr.runtime.upscalers import OnnxUpscaler, OpenVinoUpscaler, load_upscaler
from sr.upscale.images.upscale_images import upscaled_bands


def _expected(luma_dir, lr_image: np.ndarray) -> np.ndarray:
    planes = torch.from_numpy(lr_image).permute(2, 0, 1)[None]  # [1,1,h,w]
    return LumaForm(load_model(luma_dir))(planes)[0].permute(1, 2, 0).numpy()


def test_onnx_and_ir_are_the_luma_form(luma_dir, luma_onnx, tmp_path):
    record = export_openvino(luma_onnx, tmp_path, "fp32", model_dir=luma_dir)
    lr_image = textured(3, 30, 46)[..., :1]
    expected = _expected(luma_dir, lr_image).astype(int)
    for upscaler in (OnnxUpscaler(luma_onnx / "model.onnx"), OpenVinoUpscaler(tmp_path / "model.xml")):
        assert upscaler.color == "luma"
        made = upscaler(lr_image)
        assert made.shape == (60, 92, 1)
        assert np.abs(made - expected).max() <= 1
        levels = upscaler.upscale_levels(lr_image.astype(np.float32))
        assert np.abs(levels - expected).max() < 1.01
    assert record["input"]["shape"] == ["n", "h", "w", 1]
    assert record["metadata"]["color"] == "luma"
    inputs = onnx.load(luma_onnx / "model.onnx").graph.input
    assert inputs[0].type.tensor_type.shape.dim[3].dim_value == 1


def test_images_through_the_luma_form_are_those_of_the_network(luma_dir, tmp_path):
    weights = load_file(luma_dir / "model.safetensors")
    for kind in ("weight", "bias"):  # so that no pixel is moved beyond black and white, where both cut it off
        weights[f"layers.2.{kind}"] *= 0.25
    save_file(weights, tmp_path / "net.safetensors")
    export_checkpoint(tmp_path / "net.safetensors", tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx", planes="luma")
    network, form = load_upscaler(tmp_path / "model"), load_upscaler(tmp_path / "onnx")
    lr_image = textured(5, 40, 52) // 2 + 64
    assert np.abs(form(lr_image) - network(lr_image).astype(int)).max() <= 2
    gray = StoredImage(np.ascontiguousarray(lr_image[..., 1:2]), None, b"", b"")
    made, expected = (
        np.concatenate(list(upscaled_bands(gray, upscaler, 512))) for upscaler in (form, network)
    )
    assert made.shape == (80, 104, 1) and np.abs(made - expected.astype(int)).max() <= 2


def test_int8_is_calibrated_and_judged_on_luma(luma_onnx, crops, tmp_path):
    settings = Int8Settings(calibration_crops=4, held_out_crops=2)
    record = export_openvino(luma_onnx, tmp_path, "int8", calibration=crops, settings=settings)
    assert record["accuracy"]["bound_db"] == record["calibration"]["int8_loss_db"] == 0.2
    assert record["quantized"]["layers"] == 3
    exact = ir_file.exact_names(tmp_path / "model.xml")
    assert {"core.upscaling/Conv", "core/Add", "core/Pad", "pixels/Clip"} <= exact
    assert not any(name.startswith("core.layers.") for name in exact)


def test_a_crops_luma_is_that_of_video(crops):
    crop = next(iter(choose_crops(crops, "train", 1, 0, 32, 2, 2)))
    ours = crop.in_luma()
    expected = 16 + crop.hr_image.astype(float) @ [65.481 / 255, 128.553 / 255, 24.966 / 255]
    assert ours.hr_image.dtype == np.uint8 and ours.lr_image.shape == (16, 16, 1)
    assert np.abs(ours.hr_image[..., 0] - expected).max() <= 0.5 + 1e-9


def test_a_network_of_colors_has_no_luma_form(realtime_dir, vapsr_dir, tmp_path):
    for directory in (realtime_dir, vapsr_dir):
        with pytest.raises(UserError, match="a network of luma alone"):
            export_onnx(directory, tmp_path, planes="luma")
    with pytest.raises(UserError, match="rgb, luma, got 'y'"):
        export_onnx(realtime_dir, tmp_path, planes="y")
    assert list(tmp_path.iterdir()) == []
