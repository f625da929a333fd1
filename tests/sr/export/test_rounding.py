"""Rounding the weights of a layer together is better than rounding each by itself."""

import numpy as np
import pytest
import torch
from images import textured

from sr.export.ir_graph import SensitiveOperations, find_sensitive_operations
from sr.export.quantize import quantize
from sr.export.rounding import WeightRounding, round_together
from sr.runtime.openvino_runtime import openvino as ov

LR_IMAGES = [textured(seed, 48, 48) for seed in range(4)]
OTHERS = [textured(seed, 48, 64) for seed in range(20, 24)]


def moments_of(inputs):
    rows = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1).double()
    return rows.T @ rows


def error(inputs, weights, multiples, scales, to_bias):
    difference = inputs.double() @ (weights - multiples * scales[:, None]).T - to_bias
    return float(difference.square().mean().sqrt())


def kernels(outputs, inputs):
    weights = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(1)).double()
    return weights, weights.abs().amax(dim=1) / 127, torch.full((outputs,), 127.0, dtype=torch.float64)


def test_errors_compensate_where_inputs_are_alike():
    stream = torch.Generator().manual_seed(2)
    inputs = torch.randn(4000, 1, generator=stream) + 0.1 * torch.randn(4000, 36, generator=stream) + 3.0
    weights, scales, limits = kernels(8, 36)
    multiples, to_bias = round_together(weights, moments_of(inputs), scales, limits)
    assert torch.equal(multiples, multiples.round()) and multiples.abs().max() <= 127
    nearest = (weights / scales[:, None]).round()
    assert (multiples - nearest).abs().max() < 20, "weights stay near their values"
    found = error(inputs, weights, multiples, scales, to_bias)
    assert found < 0.3 * error(inputs, weights, nearest, scales, torch.zeros(8))


def test_weights_of_independent_inputs_are_rounded_to_the_nearest():
    weights, scales, limits = kernels(4, 9)
    multiples, to_bias = round_together(weights, torch.eye(10, dtype=torch.float64), scales, limits)
    assert torch.equal(multiples, (weights / scales[:, None]).round()) and not to_bias.any()


def test_a_kernel_of_zeros_stays_zero():
    multiples, to_bias = round_together(
        torch.zeros(1, 9, dtype=torch.float64), torch.eye(10).double(), *torch.zeros(2, 1).double()
    )
    assert not multiples.any() and not to_bias.any()


@pytest.fixture(scope="module")
def model(realtime_onnx) -> ov.Model:
    return ov.convert_model(realtime_onnx / "model.onnx")


def outputs_of(model: ov.Model) -> np.ndarray:
    """Return the values before they are rounded to levels, of images that nothing was calibrated with."""
    probe = model.clone()
    (rounded,) = [node for node in probe.get_ops() if node.get_type_name() == "Round"]
    probe.add_outputs([rounded.input_value(0)])
    compiled = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.stack([list(compiled(image[None]).values())[-1] for image in OTHERS])


def test_int8_is_nearer_to_the_network_than_with_nearest_weights(model):
    sensitive, expected = find_sensitive_operations(model), outputs_of(model)
    together, nearest = (
        outputs_of(quantize(model, LR_IMAGES, sensitive, rounding)[0])
        for rounding in (WeightRounding(model, LR_IMAGES), None)
    )
    errors = [np.sqrt(np.mean((found - expected) ** 2)) for found in (together, nearest)]
    assert errors[0] < 0.7 * errors[1], errors


def test_the_scales_and_the_ranges_of_features_stay(model):
    sensitive = find_sensitive_operations(model)
    rounding = WeightRounding(model, LR_IMAGES)
    first, second = (quantize(model, LR_IMAGES, sensitive, rounding)[0] for _ in range(2))
    for one, other in zip(first.get_ordered_ops(), second.get_ordered_ops(), strict=True):
        if one.get_type_name() == "Constant":
            assert np.array_equal(one.data, other.data), one.get_friendly_name()
    assert rounding.apply(first) == 3


def test_layers_that_share_an_input_are_both_rounded(model):
    nothing = SensitiveOperations(frozenset(), frozenset())
    quantized, _ = quantize(model, LR_IMAGES, nothing)  # the upscaling and the first layer take the image
    assert WeightRounding(model, LR_IMAGES).apply(quantized) == 4
