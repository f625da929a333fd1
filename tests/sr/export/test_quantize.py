"""Quantizers on sensitive operations, or missing from other layers, are detected."""

import dataclasses

import numpy as np
import pytest
from images import textured

from data.errors import UserError
from sr.export import int8
from sr.export.int8 import CALIBRATION_CROPS, OTHERS_CALIBRATION_CROPS, Quantization
from sr.export.ir_graph import WEIGHTED, IrGraph, SensitiveOperations, find_sensitive_operations
from sr.export.quantize import bypass_quantizers, check_quantizers, quantize
from sr.export.search import group_layers
from sr.export.settings import Int8Settings
from sr.runtime.model_files import open_session, read_onnx_metadata
from sr.runtime.openvino_runtime import openvino as ov

LR_IMAGES = [textured(seed, 32, 32) for seed in range(2)]


@pytest.fixture(scope="module")
def model(realtime_onnx) -> ov.Model:
    return ov.convert_model(realtime_onnx / "model.onnx")


def test_the_trunk_is_quantized_and_sensitive_operations_are_not(model):
    quantized, summary = quantize(model, LR_IMAGES, find_sensitive_operations(model))
    assert (summary.layers, summary.float_layers) == (3, 1)
    assert summary.quantizers >= 3
    assert check_quantizers(quantized, find_sensitive_operations(model)) == summary


def test_a_quantizer_on_a_sensitive_operation_is_detected(model):
    # With no ignored scope, NNCF puts quantizers on the upscaling and on the global addition.
    everywhere, _ = quantize(model, LR_IMAGES, SensitiveOperations(frozenset(), frozenset()))
    with pytest.raises(UserError, match=r"int8 in sensitive operations \[.*core/Add"):
        check_quantizers(everywhere, find_sensitive_operations(model))


def test_a_layer_left_in_float_is_detected(model):
    sensitive = find_sensitive_operations(model)
    convolution = "core.layers.1/Conv/WithoutBiases"
    fewer, _ = quantize(
        model,
        LR_IMAGES,
        dataclasses.replace(sensitive, ignored_scope=sensitive.ignored_scope | {convolution}),
    )
    with pytest.raises(UserError, match=r"float in layers \['core.layers.1/Conv"):
        check_quantizers(fewer, sensitive)


def test_names_that_match_nothing_are_detected(model):
    sensitive = find_sensitive_operations(model)
    misspelt = dataclasses.replace(
        sensitive, ignored_scope=sensitive.ignored_scope | {"core.upscalling/Conv"}
    )
    with pytest.raises(UserError, match=r"missing operations \['core.upscalling/Conv'\]"):
        quantize(model, LR_IMAGES, misspelt)


def test_quantizing_without_images_is_refused(model):
    with pytest.raises(UserError, match="no images to calibrate int8 with"):
        quantize(model, [], find_sensitive_operations(model))


def test_layers_put_into_float_afterward_are_as_if_quantized_without_them(vapsr_onnx):
    """So a search over VapSR's blocks needs one calibration."""
    network = ov.convert_model(vapsr_onnx / "model.onnx")
    sensitive = find_sensitive_operations(network)
    groups = group_layers(IrGraph(network).find_types(WEIGHTED) - sensitive.ignored_scope)
    scope = sensitive.add_ignored(groups["core.body.1"])
    anew, summary = quantize(network, LR_IMAGES, scope)
    released = bypass_quantizers(quantize(network, LR_IMAGES, sensitive)[0], network, groups["core.body.1"])
    found = check_quantizers(released, scope)
    assert (found.layers, found.float_layers) == (summary.layers, summary.float_layers)
    lr_image = textured(5, 32, 32)[None]
    outputs = [ov.compile_model(one, "CPU")({"input": lr_image})["output"] for one in (anew, released)]
    assert np.abs(outputs[0].astype(int) - outputs[1]).max() <= 1


def test_vapsr_is_calibrated_once_whatever_stays_in_float(vapsr_onnx, crops, monkeypatch):
    """Here each quantizer costs 0.01 dB, so that a block has to stay in float."""
    calls: list[tuple] = []
    monkeypatch.setattr(int8, "quantize", lambda *given: calls.append(given) or quantize(*given))
    monkeypatch.setattr(Quantization, "_measure", lambda _, quantizers, __: 30 - 0.01 * quantizers)
    network = ov.convert_model(vapsr_onnx / "model.onnx")
    metadata = read_onnx_metadata(open_session(vapsr_onnx / "model.onnx"), vapsr_onnx)
    assert CALIBRATION_CROPS.get(metadata.architecture, OTHERS_CALIBRATION_CROPS) == 32
    settings = Int8Settings(calibration_crops=2, held_out_crops=1, int8_loss_db=0.1)

    def count(model):
        return len(IrGraph(model).find_types({"FakeQuantize"}))

    quantization = Quantization(metadata, settings, crops, 0)
    made, facts = quantization.run(network, find_sensitive_operations(network), count, lambda *_: None)
    kept = facts["search"]["groups_in_float"]
    assert len(kept) == 1 and set(facts["search"]["gains_db"]) == {"core.body.0", "core.body.1"}
    assert len(calls) == 1 and count(made) <= 10 and facts["quantized"]["float_layers"] == 4 + 5
