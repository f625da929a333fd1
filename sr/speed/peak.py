"""What a device can do at most, measured: chains of large 3x3 convolutions, and nothing between them.

A network's own speed beside it says what is left to gain. Weights and features are random; no image is involved.
"""

import time
from typing import Any

import numpy as np

from sr.runtime.openvino_runtime import openvino as ov
from sr.speed.timing import Clock, Limits, first_line, in_turn, significant

CHANNELS = {64: 128, 256: 64}
"""Channels in and out, and the side of the features: 2.4 GMAC a convolution of either."""
LAYERS = 8
"""Convolutions in the chain: what goes in and comes out weighs little beside them."""
INT8 = "int8"
_TYPES = {"FP32": "f32", "BF16": "bf16", "FP16": "f16", "INT8": INT8}
"""What is measured for each capability that a device reports."""


def measure_peak(
    core: ov.Core, device: str, limits: Limits, clock: Clock = time.perf_counter
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """How many operations a second a device reaches, in each type that it reports.

    A multiplication and an addition are two operations. The fastest round counts: this is a limit.

    Args:
        core: that knows the device.
        device: CPU, GPU or NPU.
        limits: of each measurement.
        clock: replaced in tests.

    Returns:
        Type (f32, bf16, f16, int8) to channels ("64", "256") to TOPS; and type to why it does not run, where the device
        refuses what it reports.
    """
    capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    rates, failed = {}, {}
    for name in [name for capability, name in _TYPES.items() if capability in capabilities]:
        try:
            rates[name] = _rates(core, device, name, limits, clock)
        except RuntimeError as error:
            failed[name] = first_line(error)
    return rates, failed


def _rates(core: ov.Core, device: str, name: str, limits: Limits, clock: Clock) -> dict[str, float]:
    hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if name != INT8:
        hints["INFERENCE_PRECISION_HINT"] = name
    rates = {}
    for channels, side in CHANNELS.items():
        request = core.compile_model(
            _chain(channels, side, name == INT8), device, hints
        ).create_infer_request()
        features = np.random.default_rng(0).random((1, channels, side, side), np.float32)
        request.infer({0: features})
        seconds = in_turn({"": request.infer}, limits, clock)[""]  # the input stays where it is
        operations = 2 * LAYERS * channels * channels * 9 * side * side
        rates[str(channels)] = significant(operations / min(seconds) / 1e12)
    return rates


def _chain(channels: int, side: int, eight_bits: bool) -> ov.Model:
    """Convolutions with ReLUs, float in and out; with 8 bits before each of them where asked for."""
    from openvino import opset13 as ops

    chance = np.random.default_rng(0)
    source = ops.parameter([1, channels, side, side], np.float32, name="features")
    last = source
    for _ in range(LAYERS):
        drawn = chance.uniform(-1, 1, (channels, channels, 3, 3)).astype(np.float32)
        weights = ops.constant(drawn)
        if eight_bits:
            last = ops.fake_quantize(last, *map(np.float32, (0.0, 2.55, 0.0, 2.55)), 256)
            weights = ops.fake_quantize(weights, *map(np.float32, (-1.0, 1.0, -1.0, 1.0)), 255)
        last = ops.relu(ops.convolution(last, weights, [1, 1], [1, 1], [1, 1], [1, 1]))
    return ov.Model([ops.result(last)], [source])
