"""Every upscaler keeps the protocol, the forms of one network agree, and what is no model is refused in
words."""

import re
import shutil

import numpy as np
import onnx
import pytest
import torch
from images import textured
from PIL import Image

import sr
from data.errors import UserError
from sr.models.checkpoint import load_model
from sr.runtime.upscalers import load_upscaler


@pytest.fixture(scope="module")
def forms(realtime_dir, realtime_onnx, realtime_irs):
    """Give the upscalers of one network, by form."""
    paths = {"torch": realtime_dir, "onnx": realtime_onnx, **realtime_irs}
    return {name: load_upscaler(path) for name, path in paths.items()}


@pytest.mark.parametrize(
    ("name", "filter_"), [("bicubic", Image.Resampling.BICUBIC), ("lanczos", Image.Resampling.LANCZOS)]
)
def test_formulas_are_pillows(name, filter_):
    lr_image = textured(1, 11, 17)
    upscaler = load_upscaler(name, scale=3)
    assert (upscaler.name, upscaler.scale, upscaler.sha256) == (name, 3, None)
    np.testing.assert_array_equal(
        upscaler(lr_image), np.asarray(Image.fromarray(lr_image).resize((51, 33), filter_))
    )


def test_forms_of_one_network_make_one_image(forms):
    lr_image = textured(2, 40, 52)
    reference = forms["torch"](lr_image).astype(int)
    for name, most in {"onnx": 1, "fp32": 1, "fp16": 2, "int8": 12}.items():
        assert np.abs(forms[name](lr_image) - reference).max() <= most, name
    assert len({upscaler.name for upscaler in forms.values()}) == 5
    assert len({upscaler.sha256 for upscaler in forms.values()}) == 5


@pytest.mark.parametrize("form", ["torch", "onnx", "fp32", "fp16", "int8"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (30, 31)])
def test_any_size_is_upscaled(forms, form, size):
    lr_image = textured(3, *size)
    hr_image = forms[form](lr_image)
    assert hr_image.shape == (2 * size[0], 2 * size[1], 3)
    assert hr_image.dtype == np.uint8
    np.testing.assert_array_equal(hr_image, forms[form](lr_image))


def test_padding_repeats_the_edge_and_is_cut(forms, realtime_dir):
    lr_image = textured(4, 9, 13)
    padded = np.pad(lr_image, ((0, 1), (0, 1), (0, 0)), mode="edge")
    with torch.inference_mode():
        whole = load_model(realtime_dir)(torch.from_numpy(padded).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    np.testing.assert_array_equal(forms["torch"](lr_image), whole.numpy()[:18, :26])


def test_a_result_is_not_overwritten_by_the_next(forms):
    first_low, second_low = textured(5, 16, 16), textured(6, 16, 16)
    first = forms["fp32"](first_low)
    kept = first.copy()
    forms["fp32"](second_low)
    np.testing.assert_array_equal(first, kept)


def test_images_of_another_kind_are_refused(forms):
    with pytest.raises(ValueError, match="float32"):
        forms["onnx"](np.zeros((8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(8, 8\)"):
        forms["torch"](np.zeros((8, 8), np.uint8))


def test_a_program_may_hand_over_pillows_images(realtime_irs):
    lr_image = textured(7, 12, 13)
    for spec in (realtime_irs["fp32"] / "model.xml", "bicubic"):
        upscale = sr.load_upscaler(spec)
        np.testing.assert_array_equal(upscale(Image.fromarray(lr_image)), upscale(lr_image))
        with pytest.raises(ValueError, match=r"\(12, 13\)"):
            upscale(Image.fromarray(lr_image).convert("L"))


def test_a_checkpoint_file_is_a_model_too(forms, realtime_dir):
    upscaler = load_upscaler(realtime_dir.parent / "weights.safetensors")
    lr_image = textured(7, 12, 12)
    np.testing.assert_array_equal(upscaler(lr_image), forms["torch"](lr_image))
    assert upscaler.name == "weights torch"


def test_torch_runs_with_cudnn_as_it_was_set_but_without_tf32(realtime_dir, monkeypatch):
    upscaler, seen = load_upscaler(realtime_dir), []
    names = ("enabled", "benchmark", "deterministic", "allow_tf32")

    def watched(lr_image, network=upscaler.network):
        seen.append([getattr(torch.backends.cudnn, name) for name in names])
        return network(lr_image)

    monkeypatch.setattr(upscaler, "network", watched)
    for benchmark in (False, True):
        with torch.backends.cudnn.flags(enabled=True, benchmark=benchmark, deterministic=not benchmark):
            upscaler(textured(1, 8, 8))
    assert seen == [[True, False, True, False], [True, True, False, False]]


@pytest.mark.parametrize("spec", ["bicubik", "nowhere/model.xml", "."])
def test_what_is_no_model_is_refused_in_words(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="bicubic, lanczos"):
        load_upscaler(spec)


def test_an_onnx_file_of_others_is_refused_in_words(tmp_path):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [value], [output]),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(UserError, match="metadata of an exported"):
        load_upscaler(tmp_path / "theirs.onnx")


@pytest.mark.parametrize("form", ["onnx", "fp32"])
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("color", "luma", "1 channels as its input"), ("scale", "3", r"makes \(24, 24")],
)
def test_metadata_that_does_not_fit_the_graph_is_refused(
    realtime_onnx, realtime_irs, tmp_path, form, field, value, words
):
    if form == "onnx":
        model = onnx.load(realtime_onnx / "model.onnx")
        next(one for one in model.metadata_props if one.key == field).value = value
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
    else:
        path = tmp_path / "model.xml"
        text = (realtime_irs["fp32"] / "model.xml").read_text()
        path.write_text(re.sub(rf'<{field} value="[^"]*"', f'<{field} value="{value}"', text))
        shutil.copy(realtime_irs["fp32"] / "model.bin", tmp_path)
    with pytest.raises(UserError, match=words):
        load_upscaler(path)(textured(1, 8, 8))


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_damaged_file_is_refused_in_words(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match="broken"):
        load_upscaler(path)


def test_the_forebears_network_on_set5(shared):
    upscaler = load_upscaler(shared / "weights" / "vapsr3x3_x2.pth")
    from data.imaging.decode import decode
    from sr.evaluation import metrics

    scores = []
    for path in sorted((shared / "images" / "Set5" / "x2" / "HR").iterdir()):
        lr_image = decode((path.parent.parent / "LR" / path.name).read_bytes())
        hr_image = decode(path.read_bytes())[: 2 * lr_image.shape[0], : 2 * lr_image.shape[1]]
        pair = (metrics.luma(metrics.crop_border(image, 2)) for image in (hr_image, upscaler(lr_image)))
        scores.append(metrics.psnr(*pair))
    assert np.mean(scores) == pytest.approx(38.10, abs=0.01)


@pytest.mark.parametrize("form", ["torch", "onnx", "fp32", "fp16", "int8"])
def test_fractional_levels_agree_with_bytes_and_are_finer(forms, form):
    lr_image = textured(8, 33, 46)
    upscaler = forms[form]
    exact = upscaler.upscale_levels(lr_image.astype(np.float32))
    assert exact.dtype == np.float32 and exact.min() >= 0 and exact.max() <= 255
    np.testing.assert_array_equal(np.rint(exact), upscaler(lr_image))
    # A slope of one level over 40 pixels: bytes have two levels of it. What computes in bf16 has fewer than float32.
    slope = np.broadcast_to(np.linspace(100, 101, 40, dtype=np.float32)[None, :, None], (40, 40, 3))
    made = upscaler.upscale_levels(np.ascontiguousarray(slope))[40, 20:60, 1]
    distinct = len(np.unique(made))
    assert distinct >= (10 if form in ("fp16", "int8") else 40)
    assert distinct >= 2 * len(np.unique(np.rint(made)))


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_formulas_take_fractional_levels_and_single_planes(name):
    lr_image = textured(9, 15, 21) // 2 + 60  # Pillow clamps bytes between its passes
    upscaler = load_upscaler(name, scale=3)
    exact = upscaler.upscale_levels(lr_image.astype(np.float32))
    assert np.abs(exact - upscaler(lr_image).astype(np.float32)).max() < 1.1
    assert exact.min() >= 0 and exact.max() <= 255
    plane = lr_image[:, :, 1:2]
    np.testing.assert_array_equal(upscaler(plane), upscaler(lr_image)[:, :, 1:2])
    np.testing.assert_array_equal(upscaler.upscale_levels(plane.astype(np.float32)), exact[:, :, 1:2])
