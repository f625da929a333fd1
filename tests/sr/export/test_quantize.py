"""Quantizers on sensitive places, or missing elsewhere, are noticed."""

import dataclasses

import pytest
from images import textured

from data.errors import UserError
from sr.export.ir_graph import SensitivePlaces, find_sensitive_places
from sr.export.quantize import check_places, quantize
from sr.runtime.openvino_runtime import openvino as ov

LOWS = [textured(seed, 32, 32) for seed in range(2)]


@pytest.fixture(scope="module")
def model(realtime_onnx) -> ov.Model:
    return ov.convert_model(realtime_onnx / "model.onnx")


def test_the_trunk_is_quantized_and_nothing_sensitive(model):
    quantized, places = quantize(model, LOWS, find_sensitive_places(model))
    assert (places.layers, places.float_layers) == (3, 1)
    assert places.quantizers >= 3
    assert check_places(quantized, find_sensitive_places(model)) == places


def test_a_quantizer_on_a_sensitive_place_is_noticed(model):
    # Nothing protected: NNCF puts quantizers on the upscaling and on the global addition.
    everywhere, _ = quantize(model, LOWS, SensitivePlaces(frozenset(), frozenset()))
    with pytest.raises(UserError, match=r"8 bits before \[.*core/Add"):
        check_places(everywhere, find_sensitive_places(model))


def test_a_layer_left_in_float_is_noticed(model):
    sensitive = find_sensitive_places(model)
    convolution = "core.layers.1/Conv/WithoutBiases"
    fewer, _ = quantize(
        model, LOWS, dataclasses.replace(sensitive, unquantized=sensitive.unquantized | {convolution})
    )
    with pytest.raises(UserError, match=r"float in \['core.layers.1/Conv"):
        check_places(fewer, sensitive)


def test_names_that_match_nothing_are_noticed(model):
    sensitive = find_sensitive_places(model)
    misspelt = dataclasses.replace(sensitive, unquantized=sensitive.unquantized | {"core.enlargment/Conv"})
    with pytest.raises(UserError, match=r"without \['core.enlargment/Conv'\]"):
        quantize(model, LOWS, misspelt)


def test_no_images_no_quantization(model):
    with pytest.raises(UserError, match="images to calibrate with"):
        quantize(model, [], find_sensitive_places(model))
