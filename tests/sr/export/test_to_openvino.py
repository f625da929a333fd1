"""IRs: their record, precision and bytes, and the accuracy that int8 must keep."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from images import textured
from ir_marks import full_precision_names

from data.errors import UserError
from data.hashing import sha256_file
from data.imaging.original import OriginalImage
from sr.evaluation.cost import count_gmacs
from sr.evaluation.timing import time_frame
from sr.export import to_openvino
from sr.export.reference import make_torch_runner
from sr.export.settings import PRECISIONS, Int8Settings
from sr.export.to_openvino import export_openvino
from sr.runtime.load import load_upscaler
from sr.upscale.images.upscale_image import upscale_rows

SETTINGS = Int8Settings(calibration_crops=4, held_out_crops=2)


def _record(directory: Path) -> dict:
    return json.loads((directory / "export.json").read_text())


def _constant_types(directory: Path) -> dict[str, str]:
    layers = ElementTree.parse(directory / "model.xml").getroot().find("layers")
    kinds = {
        layer.get("name"): layer.find("data").get("element_type")
        for layer in layers
        if layer.get("type") == "Const"
    }
    return {name.removesuffix("_compressed"): kind for name, kind in kinds.items()}


def test_records_describe_the_files(realtime_irs, realtime_onnx):
    for precision in PRECISIONS:
        record = _record(realtime_irs[precision])
        assert record["precision"] == record["metadata"]["precision"] == precision
        assert record["made_from"]["model.onnx"] == sha256_file(realtime_onnx / "model.onnx")
        for name, facts in record["files"].items():
            path = realtime_irs[precision] / name
            assert (facts["bytes"], facts["sha256"]) == (path.stat().st_size, sha256_file(path))
    assert _record(realtime_irs["fp32"])["parity"]["max_level_difference"] <= 1
    assert _record(realtime_irs["fp32"])["photographs"]["bound_levels"] == 1
    assert _record(realtime_irs["fp16"])["photographs"]["bound_db"] == 0.02


def test_an_ir_is_compared_with_the_network_in_torch(
    realtime_onnx, realtime_dir, vapsr_dir, tmp_path, monkeypatch
):
    record = export_openvino(realtime_onnx, tmp_path / "ir", "fp32", model_dir=realtime_dir)
    assert record["parity"]["against"] == "torch fp32" and record["photographs"]["bound_levels"] == 1
    with pytest.raises(UserError, match="The graph was exported from the weights"):
        export_openvino(realtime_onnx, tmp_path / "other", "fp32", model_dir=vapsr_dir)

    def quantize_output(network):
        run = make_torch_runner(network)
        return lambda lr_image: run(lr_image) // 4 * 4

    monkeypatch.setattr(to_openvino, "make_torch_runner", quantize_output)
    with pytest.raises(UserError, match="fp32 model differs from the network by"):
        export_openvino(realtime_onnx, tmp_path / "other", "fp32", model_dir=realtime_dir)
    assert not (tmp_path / "other").exists()


def test_weights_have_the_requested_precision_and_the_bicubic_kernel_full_precision(realtime_irs):
    types = {precision: _constant_types(realtime_irs[precision]) for precision in PRECISIONS}
    assert types["fp32"]["core.layers.1.weight"] == "f32"
    assert types["fp16"]["core.layers.1.weight"] == "f16"
    assert "i8" in types["int8"].values()
    for precision in PRECISIONS:
        assert types[precision]["div"] == "f32"  # the kernel: numerators divided by their denominator
        marked = full_precision_names(realtime_irs[precision] / "model.xml")
        assert {"core.upscaling/Conv", "core/Add", "pixels/Mul"} <= marked


def test_the_ir_contains_metadata_and_no_traces_of_the_machine(realtime_irs):
    for precision in PRECISIONS:
        text = (realtime_irs[precision] / "model.xml").read_text()
        sections = ElementTree.fromstring(text).find("rt_info")
        assert [section.tag for section in sections] == ["upsampling"]
        assert {item.tag: item.get("value") for item in sections[0]} == _record(realtime_irs[precision])[
            "metadata"
        ]
        assert "onnx" not in text.lower()


def test_the_record_of_int8_has_its_crops_and_its_accuracy(realtime_irs):
    record = _record(realtime_irs["int8"])
    assert len(record["calibration"]["keys"]) == 4
    assert all(key.startswith("train-") for key in record["calibration"]["keys"])
    assert all(key.startswith("validation-") for key in record["accuracy"]["keys"])
    assert record["accuracy"]["fp32_psnr_db"] - record["accuracy"]["int8_psnr_db"] <= 0.2
    assert record["quantized"]["layers"] == 3
    assert record["quantized"]["float_layers"] == 1
    assert "core.upscaling/Conv" in record["quantized"]["kept_in_float"]


def test_exporting_again_writes_the_same_bytes(realtime_irs, realtime_onnx, crops, tmp_path):
    for precision in reversed(PRECISIONS):
        export_openvino(realtime_onnx, tmp_path / precision, precision, calibration=crops, settings=SETTINGS)
        for name in ("model.xml", "model.bin", "export.json"):
            assert (tmp_path / precision / name).read_bytes() == (realtime_irs[precision] / name).read_bytes()


def test_vapsr_keeps_its_sensitive_layers(vapsr_onnx, crops, tmp_path):
    loose = Int8Settings(calibration_crops=2, held_out_crops=1, int8_loss_db=50.0)
    record = export_openvino(vapsr_onnx, tmp_path, "int8", calibration=crops, settings=loose)
    kept = set(record["quantized"]["kept_in_float"])
    for module in ("conv_first", "conv_body", "upsampler.0", "upsampler.2"):
        assert f"core.{module}/Conv" in kept
    assert {"core/Add", "core.body.0/Add", "core.body.1/Add"} <= kept
    assert record["quantized"]["layers"] == 2 * 5  # of each block: two projections and the attention's three
    assert record["quantized"]["float_layers"] == 4


def test_wrong_arguments_are_refused(realtime_onnx, tmp_path):
    with pytest.raises(UserError, match="'int4'. Choose one of: fp32, fp16, int8"):
        export_openvino(realtime_onnx, tmp_path, "int4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"held_out_crops": 0}, "--export-held-out-crops must be 1 or more, got 0"),
        ({"calibration_crops": -1}, "--export-calibration-crops"),
        ({"search_trials": -1}, "--export-search-trials"),
        ({"int8_loss_db": float("nan")}, "0 dB or more, got nan"),
        ({"int8_loss_db": float("inf")}, "0 dB or more, got inf"),
        ({"int8_loss_db": -1.0}, "0 dB or more, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(realtime_onnx, crops, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        export_openvino(realtime_onnx, tmp_path, "int8", calibration=crops, settings=Int8Settings(**change))


def test_an_ir_of_fixed_size_refuses_other_sizes(realtime_onnx, realtime_irs, tmp_path):
    record = export_openvino(realtime_onnx, tmp_path, "fp32", size=(32, 46))
    assert record["input"]["shape"] == [1, 32, 46, 3] and record["output"]["shape"] == [1, 64, 92, 3]
    fixed, free = load_upscaler(tmp_path), load_upscaler(realtime_irs["fp32"])
    lr_image = textured(4, 32, 46)
    assert np.abs(fixed(lr_image).astype(int) - free(lr_image)).max() <= 1
    assert record["parity_at_size"]["max_level_difference"] <= 1
    for tile_px in (16, 128):  # no tiles: the model takes this size and no other
        image = OriginalImage(lr_image, np.full((32, 46), 90, np.uint8), b"", b"")
        made = np.concatenate(list(upscale_rows(image, fixed, tile_px)))
        np.testing.assert_array_equal(made[..., :3], fixed(lr_image))
        assert (made[..., 3] == 90).all()
    fixed.tile_px = 16
    assert fixed(lr_image).shape == (64, 92, 3)
    assert time_frame(fixed)["lr_image_px"] == [46, 32] and count_gmacs(fixed) == count_gmacs(free)
    with pytest.raises(UserError, match="accepts only images of 32x46 .* got 30x46"):
        fixed(textured(4, 30, 46))
    with pytest.raises(UserError, match="multiples of 2, got 33x46"):
        export_openvino(realtime_onnx, tmp_path / "odd", "fp32", size=(33, 46))
