"""Quantizers on sensitive operations, or missing from other layers, are detected."""

import dataclasses

import pytest
from images import textured

from data.errors import UserError
from sr.export.ir_graph import SensitiveOperations, find_sensitive_operations
from sr.export.quantize import check_quantizers, quantize
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
