"""ONNX files of other programs become our model.onnx, and so an IR in each precision."""

import numpy as np
import onnx
import pytest
from images import textured

from data.errors import UserError
from sr.export.from_onnx import import_onnx
from sr.export.settings import Int8Settings
from sr.export.to_interchange import export_interchange
from sr.export.to_openvino import export_openvino
from sr.runtime.load import load_upscaler
from sr.runtime.network_upscalers import ForeignOnnxUpscaler, OnnxUpscaler
from sr.speed.profiled_model import open_graph


@pytest.mark.parametrize(
    ("model", "planes", "precision"), [("realtime", "rgb", "fp16"), ("luma", "luma", "fp32")]
)
def test_it_takes_bytes_and_gives_the_same_image(model, planes, precision, tmp_path, request):
    export_interchange(request.getfixturevalue(f"{model}_dir"), tmp_path / "theirs", planes, precision)
    foreign = tmp_path / "theirs" / "model.onnx"
    record = import_onnx(foreign, tmp_path / "ours", license="MIT")
    assert record["metadata"]["license"] == "MIT" and record["parity"]["max_level_difference"] <= 1
    theirs, ours = load_upscaler(foreign), load_upscaler(tmp_path / "ours")
    assert isinstance(theirs, ForeignOnnxUpscaler) and isinstance(ours, OnnxUpscaler)
    assert (ours.scale, ours.color) == (2, planes)
    lr_image = textured(3, 37, 52)
    assert np.abs(ours(lr_image) - theirs(lr_image).astype(int)).max() <= 1
    levels = lr_image.astype(np.float32) + 0.25
    assert np.abs(ours.upscale_levels(levels) - theirs.upscale_levels(levels)).max() < 0.6
    with open_graph(foreign) as profiled:
        assert isinstance(load_upscaler(profiled.reference), OnnxUpscaler)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_it_becomes_an_ir(precision, realtime_dir, crops, tmp_path):
    export_interchange(realtime_dir, tmp_path / "theirs", "rgb", "fp32")
    import_onnx(tmp_path / "theirs" / "model.onnx", tmp_path / "ours")
    settings = Int8Settings(calibration_crops=4, held_out_crops=2)
    export_openvino(tmp_path / "ours", tmp_path / "ir", precision, calibration=crops, settings=settings)
    lr_image = textured(3, 36, 52)
    expected = load_upscaler(realtime_dir)(lr_image).astype(int)
    assert np.abs(load_upscaler(tmp_path / "ir")(lr_image) - expected).mean() < 1.5


def test_images_of_one_size_are_refused(realtime_dir, tmp_path):
    export_interchange(realtime_dir, tmp_path, "rgb", "fp32")
    model = onnx.load(tmp_path / "model.onnx")
    for size, dim in ((64, 2), (48, 3)):
        model.graph.input[0].type.tensor_type.shape.dim[dim].dim_value = size
    onnx.save(model, tmp_path / "fixed.onnx")
    with pytest.raises(UserError, match="takes images of 64x48 only"):
        import_onnx(tmp_path / "fixed.onnx", tmp_path / "ours")
