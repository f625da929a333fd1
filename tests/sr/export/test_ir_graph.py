"""The sensitive places are found by wiring, and they are the ones that we mean."""

import pytest
import torch
from images import textured

from data.errors import UserError
from sr.export.ir_graph import IrGraph, find_sensitive_places
from sr.export.quantize import check_places, quantize
from sr.export.to_onnx import export_onnx
from sr.models.checkpoint import export_checkpoint, weights_file
from sr.models.presets import ModelDescription
from sr.models.registry import build_from
from sr.runtime.openvino_runtime import openvino as ov


def test_realtime_keeps_the_road_of_the_pixels(realtime_onnx):
    model = ov.convert_model(realtime_onnx / "model.onnx")
    places = find_sensitive_places(model)
    road = {"pixels/Mul", "core/Pad", "core.upscaling/Conv", "core/Add", "core/DepthToSpace", "pixels/Clip"}
    assert road <= places.exact
    assert "div" in places.exact  # the upscaling's kernel
    assert not any(name.startswith("core.layers.") for name in places.exact | places.unquantized)


def test_vapsr_keeps_its_ends_its_additions_and_its_norms(vapsr_onnx):
    model = ov.convert_model(vapsr_onnx / "model.onnx")
    places = find_sensitive_places(model)
    for module in ("conv_first", "conv_body", "upsampler.0", "upsampler.2"):
        assert f"core.{module}/Conv/WithoutBiases" in places.unquantized
    assert {"core/Add", "core.body.0/Add", "core.body.1/Add"} <= places.unquantized
    norms = {name for name in IrGraph(model).operations if "pixel_norm" in name}
    assert len(norms) >= 2 * 8 and norms <= places.unquantized
    assert not any("atten_branch" in name or "proj_" in name for name in places.unquantized)
    assert "pixels/Round" in places.exact
    # A whole convolution of features: in float32 it would only be slow.
    assert "core.conv_first/Conv/WithoutBiases" not in places.exact


def test_a_color_space_stays_exact_on_both_sides_of_the_network(tmp_path):
    torch.manual_seed(2)
    sizes = {"scale": 2, "features": 8, "blocks": 1, "attention": 8, "projection": 1, "groups": 1}
    network = build_from(ModelDescription("vapsr", sizes, (0.0, 1.0), color_space="oklab"))
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights_file(dict(network.core.state_dict()), network.description))
    export_checkpoint(weights, tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    model = ov.convert_model(tmp_path / "onnx" / "model.onnx")
    places, graph = find_sensitive_places(model), IrGraph(model)
    powers = graph.of_types(
        {"Power"}
    )  # the transfer curve and the cube root on the way in, the curve on the way out
    assert len(powers) >= 3 and powers <= places.exact
    assert graph.global_addition()[0] == "core/Add"
    quantized, _ = quantize(model, [textured(seed, 32, 32) for seed in range(2)], places)
    check_places(quantized, places)


def test_ancestors_and_shape_computations(realtime_onnx):
    graph = IrGraph(ov.convert_model(realtime_onnx / "model.onnx"))
    assert "input" in graph.ancestors("core/Add")
    assert "core/Add" not in graph.ancestors("core.layers.1/Conv")
    assert not graph.of_types({"ShapeOf", "Constant"})


def _model(build) -> ov.Model:
    lr_image = ov.opset13.parameter([1, 3, 8, 8], name="input")
    return ov.Model([build(lr_image)], [lr_image], "foreign")


def test_other_wirings_are_refused_in_words():
    no_addition = _model(lambda lr_image: ov.opset13.multiply(lr_image, ov.opset13.relu(lr_image)))
    with pytest.raises(UserError, match="addition of two images .* got none"):
        find_sensitive_places(no_addition)
    no_layers = _model(lambda lr_image: ov.opset13.add(lr_image, ov.opset13.relu(lr_image)))
    with pytest.raises(UserError, match="addition of two images"):
        find_sensitive_places(no_layers)
    no_join = _model(ov.opset13.relu)
    with pytest.raises(UserError, match="addition of two images"):
        find_sensitive_places(no_join)
