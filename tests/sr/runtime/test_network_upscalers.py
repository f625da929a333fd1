"""Networks in torch, ONNX Runtime and OpenVINO give the same images, for any size, and for more than 8 bits."""

import re
import shutil

import numpy as np
import onnx
import pytest
import torch
from images import textured

from data.errors import UserError
from sr.models.checkpoint import load_model
from sr.runtime.load import load_upscaler


@pytest.fixture(scope="module")
def upscalers(realtime_dir, realtime_onnx, realtime_irs):
    """The upscalers of one network, by format or precision."""
    paths = {"torch": realtime_dir, "onnx": realtime_onnx, **realtime_irs}
    return {name: load_upscaler(path) for name, path in paths.items()}


def test_all_formats_of_a_network_give_the_same_image(upscalers):
    lr_image = textured(2, 40, 52)
    reference = upscalers["torch"](lr_image).astype(int)
    for name, most in {"onnx": 1, "fp32": 1, "fp16": 2, "int8": 12}.items():
        assert np.abs(upscalers[name](lr_image) - reference).max() <= most, name
    assert len({upscaler.name for upscaler in upscalers.values()}) == 5
    assert len({upscaler.sha256 for upscaler in upscalers.values()}) == 5


@pytest.mark.parametrize("name", ["torch", "onnx", "fp32", "fp16", "int8"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (30, 31)])
def test_any_size_is_upscaled(upscalers, name, size):
    lr_image = textured(3, *size)
    hr_image = upscalers[name](lr_image)
    assert hr_image.shape == (2 * size[0], 2 * size[1], 3)
    assert hr_image.dtype == np.uint8
    np.testing.assert_array_equal(hr_image, upscalers[name](lr_image))


def test_padding_repeats_the_edge_and_is_cropped(upscalers, realtime_dir):
    lr_image = textured(4, 9, 13)
    padded = np.pad(lr_image, ((0, 1), (0, 1), (0, 0)), mode="edge")
    with torch.inference_mode():
        whole = load_model(realtime_dir)(torch.from_numpy(padded).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    np.testing.assert_array_equal(upscalers["torch"](lr_image), whole.numpy()[:18, :26])


def test_a_result_is_not_overwritten_by_the_next(upscalers):
    first_image, second_image = textured(5, 16, 16), textured(6, 16, 16)
    first = upscalers["fp32"](first_image)
    kept = first.copy()
    upscalers["fp32"](second_image)
    np.testing.assert_array_equal(first, kept)


def test_images_of_another_dtype_or_shape_are_refused(upscalers):
    with pytest.raises(ValueError, match="float32"):
        upscalers["onnx"](np.zeros((8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(8, 8\)"):
        upscalers["torch"](np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize("name", ["torch", "onnx", "fp32", "fp16", "int8"])
def test_fractional_levels_agree_with_bytes_and_are_finer(upscalers, name):
    lr_image = textured(8, 33, 46)
    upscaler = upscalers[name]
    exact = upscaler.upscale_levels(lr_image.astype(np.float32))
    assert exact.dtype == np.float32 and exact.min() >= 0 and exact.max() <= 255
    np.testing.assert_array_equal(np.rint(exact), upscaler(lr_image))
    # A slope of one level over 40 pixels: uint8 has two values of it, and bf16 has fewer than float32.
    slope = np.broadcast_to(np.linspace(100, 101, 40, dtype=np.float32)[None, :, None], (40, 40, 3))
    made = upscaler.upscale_levels(np.ascontiguousarray(slope))[40, 20:60, 1]
    distinct = len(np.unique(made))
    assert distinct >= (10 if name in ("fp16", "int8") else 40)
    assert distinct >= 2 * len(np.unique(np.rint(made)))


def test_torch_keeps_the_cudnn_flags_but_turns_tf32_off(realtime_dir, monkeypatch):
    upscaler, seen = load_upscaler(realtime_dir), []
    names = ("enabled", "benchmark", "deterministic", "allow_tf32")

    def record_flags(lr_image, network=upscaler.network):
        seen.append([getattr(torch.backends.cudnn, name) for name in names])
        return network(lr_image)

    monkeypatch.setattr(upscaler, "network", record_flags)
    for benchmark in (False, True):
        with torch.backends.cudnn.flags(enabled=True, benchmark=benchmark, deterministic=not benchmark):
            upscaler(textured(1, 8, 8))
    assert seen == [[True, False, True, False], [True, True, False, False]]


@pytest.mark.parametrize("name", ["onnx", "fp32"])
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("color", "luma", "input of 3 channels, but its metadata says 1"),
        ("scale", "3", r"its metadata says \(24, 24"),
    ],
)
def test_metadata_that_does_not_fit_the_graph_is_refused(
    realtime_onnx, realtime_irs, tmp_path, name, field, value, message
):
    if name == "onnx":
        model = onnx.load(realtime_onnx / "model.onnx")
        next(one for one in model.metadata_props if one.key == field).value = value
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
    else:
        path = tmp_path / "model.xml"
        text = (realtime_irs["fp32"] / "model.xml").read_text()
        path.write_text(re.sub(rf'<{field} value="[^"]*"', f'<{field} value="{value}"', text))
        shutil.copy(realtime_irs["fp32"] / "model.bin", tmp_path)
    with pytest.raises(UserError, match=message):
        load_upscaler(path)(textured(1, 8, 8))


def test_the_pretrained_network_reaches_its_psnr_on_set5(shared):
    from data.imaging.decode import decode
    from sr.evaluation import metrics

    upscaler = load_upscaler(shared / "weights" / "vapsr3x3_x2.pth")
    scores = []
    for path in sorted((shared / "images" / "Set5" / "x2" / "HR").iterdir()):
        lr_image = decode((path.parent.parent / "LR" / path.name).read_bytes())
        hr_image = decode(path.read_bytes())[: 2 * lr_image.shape[0], : 2 * lr_image.shape[1]]
        pair = (metrics.luma(metrics.crop_border(image, 2)) for image in (hr_image, upscaler(lr_image)))
        scores.append(metrics.psnr(*pair))
    assert np.mean(scores) == pytest.approx(38.10, abs=0.01)
