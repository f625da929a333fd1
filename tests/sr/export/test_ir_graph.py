"""Sensitive operations are found by the structure of the graph."""

import pytest
import torch
from images import textured

from data.errors import UserError
from sr.export.ir_graph import IrGraph, find_sensitive_operations
from sr.export.quantize import check_quantizers, quantize
from sr.export.to_onnx import export_onnx
from sr.models.checkpoint import export_checkpoint, serialize_weights
from sr.models.presets import ModelDescription
from sr.models.registry import build_network
from sr.runtime.openvino_runtime import openvino as ov


def test_realtime_keeps_the_bicubic_path_in_full_precision(realtime_onnx):
    model = ov.convert_model(realtime_onnx / "model.onnx")
    sensitive = find_sensitive_operations(model)
    path = {"pixels/Mul", "core/Pad", "core.upscaling/Conv", "core/Add", "core/DepthToSpace", "pixels/Clip"}
    assert path <= sensitive.full_precision
    assert "div" in sensitive.full_precision  # the upscaling's kernel
    assert not any(
        name.startswith("core.layers.") for name in sensitive.full_precision | sensitive.ignored_scope
    )


def test_vapsr_keeps_its_first_and_last_layers_additions_and_norms_in_float(vapsr_onnx):
    model = ov.convert_model(vapsr_onnx / "model.onnx")
    sensitive = find_sensitive_operations(model)
    for module in ("conv_first", "conv_body", "upsampler.0", "upsampler.2"):
        assert f"core.{module}/Conv/WithoutBiases" in sensitive.ignored_scope
    assert {"core/Add", "core.body.0/Add", "core.body.1/Add"} <= sensitive.ignored_scope
    norms = {name for name in IrGraph(model).operations if "pixel_norm" in name}
    assert len(norms) >= 2 * 8 and norms <= sensitive.ignored_scope
    assert not any("atten_branch" in name or "proj_" in name for name in sensitive.ignored_scope)
    assert "pixels/Round" in sensitive.full_precision
    # A convolution of features: float32 would only make it slower.
    assert "core.conv_first/Conv/WithoutBiases" not in sensitive.full_precision


def test_color_space_conversions_stay_in_full_precision(tmp_path):
    torch.manual_seed(2)
    sizes = {"scale": 2, "features": 8, "blocks": 1, "attention": 8, "projection": 1, "groups": 1}
    network = build_network(ModelDescription("vapsr", sizes, (0.0, 1.0), color_space="oklab"))
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(serialize_weights(dict(network.core.state_dict()), network.description))
    export_checkpoint(weights, tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    model = ov.convert_model(tmp_path / "onnx" / "model.onnx")
    sensitive, graph = find_sensitive_operations(model), IrGraph(model)
    # The transfer curve and the cube root at the input, the curve at the output.
    powers = graph.find_types({"Power"})
    assert len(powers) >= 3 and powers <= sensitive.full_precision
    assert graph.find_global_addition()[0] == "core/Add"
    quantized, _ = quantize(model, [textured(seed, 32, 32) for seed in range(2)], sensitive)
    check_quantizers(quantized, sensitive)


def test_ancestors_are_found_and_shape_computations_left_out(realtime_onnx):
    graph = IrGraph(ov.convert_model(realtime_onnx / "model.onnx"))
    assert "input" in graph.ancestors("core/Add")
    assert "core/Add" not in graph.ancestors("core.layers.1/Conv")
    assert not graph.find_types({"ShapeOf", "Constant"})


def _model(build) -> ov.Model:
    lr_image = ov.opset13.parameter([1, 3, 8, 8], name="input")
    return ov.Model([build(lr_image)], [lr_image], "foreign")


def test_other_graph_structures_are_refused():
    no_addition = _model(lambda lr_image: ov.opset13.multiply(lr_image, ov.opset13.relu(lr_image)))
    with pytest.raises(UserError, match="no addition of two images near its output"):
        find_sensitive_operations(no_addition)
    no_layers = _model(lambda lr_image: ov.opset13.add(lr_image, ov.opset13.relu(lr_image)))
    with pytest.raises(UserError, match="no addition of two images"):
        find_sensitive_operations(no_layers)
    no_join = _model(ov.opset13.relu)
    with pytest.raises(UserError, match="no addition of two images"):
        find_sensitive_operations(no_join)
