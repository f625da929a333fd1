"""Luma exports: one channel in and out, the image of the luma network, and int8 measured on luma."""

import numpy as np
import onnx
import pytest
import torch
from images import textured
from ir_marks import full_precision_names
from safetensors.torch import load_file, save_file

from data.errors import UserError
from data.imaging.original import OriginalImage
from sr.export.calibration import choose_crops
from sr.export.settings import Int8Settings
from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.models.checkpoint import export_checkpoint, load_model
from sr.models.luma_interface import LumaInterface
from sr.runtime.load import load_upscaler
from sr.runtime.network_upscalers import OnnxUpscaler, OpenVinoUpscaler
from sr.upscale.images.upscale_image import upscale_rows


def _expected(luma_dir, lr_image: np.ndarray) -> np.ndarray:
    planes = torch.from_numpy(lr_image).permute(2, 0, 1)[None]  # [1,1,h,w]
    return LumaInterface(load_model(luma_dir))(planes)[0].permute(1, 2, 0).numpy()


def test_onnx_and_ir_equal_the_luma_network(luma_dir, luma_onnx, tmp_path):
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


def test_rgb_and_gray_images_through_a_luma_export_equal_the_network(luma_dir, tmp_path):
    weights = load_file(luma_dir / "model.safetensors")
    for kind in ("weight", "bias"):  # so that no pixel is clamped at black or white
        weights[f"layers.2.{kind}"] *= 0.25
    save_file(weights, tmp_path / "net.safetensors")
    export_checkpoint(tmp_path / "net.safetensors", tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx", planes="luma")
    network, luma = load_upscaler(tmp_path / "model"), load_upscaler(tmp_path / "onnx")
    lr_image = textured(5, 40, 52) // 2 + 64
    assert np.abs(luma(lr_image) - network(lr_image).astype(int)).max() <= 2
    gray = OriginalImage(np.ascontiguousarray(lr_image[..., 1:2]), None, b"", b"")
    made, expected = (np.concatenate(list(upscale_rows(gray, upscaler, 512))) for upscaler in (luma, network))
    assert made.shape == (80, 104, 1) and np.abs(made - expected.astype(int)).max() <= 2


def test_int8_is_calibrated_and_measured_on_luma(luma_onnx, crops, tmp_path):
    settings = Int8Settings(calibration_crops=4, held_out_crops=2)
    record = export_openvino(luma_onnx, tmp_path, "int8", calibration=crops, settings=settings)
    assert record["accuracy"]["bound_db"] == record["calibration"]["int8_loss_db"] == 0.2
    assert record["quantized"]["layers"] == 3
    marked = full_precision_names(tmp_path / "model.xml")
    assert {"core.upscaling/Conv", "core/Add", "core/Pad", "pixels/Clip"} <= marked
    assert not any(name.startswith("core.layers.") for name in marked)


def test_a_crops_luma_is_in_video_range(crops):
    crop = next(iter(choose_crops(crops, "train", 1, 0, 32, 2, 2)))
    ours = crop.to_luma()
    expected = 16 + crop.hr_image.astype(float) @ [65.481 / 255, 128.553 / 255, 24.966 / 255]
    assert ours.hr_image.dtype == np.uint8 and ours.lr_image.shape == (16, 16, 1)
    assert np.abs(ours.hr_image[..., 0] - expected).max() <= 0.5 + 1e-9


def test_a_network_of_rgb_has_no_luma_export(realtime_dir, vapsr_dir, tmp_path):
    for directory in (realtime_dir, vapsr_dir):
        with pytest.raises(UserError, match="a network of luma alone"):
            export_onnx(directory, tmp_path, planes="luma")
    with pytest.raises(UserError, match="'y'. Choose one of: rgb, luma"):
        export_onnx(realtime_dir, tmp_path, planes="y")
    assert list(tmp_path.iterdir()) == []
