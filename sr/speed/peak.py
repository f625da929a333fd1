"""Measure a device's peak performance: chains of large 3x3 convolutions, with nothing between them but ReLUs.

Compared with it, a network's own speed shows how much could still be gained. Weights and features are random; no image
is involved.
"""

import time
from typing import Any

import numpy as np

from sr.runtime.openvino_runtime import openvino as ov
from sr.speed.timing import Clock, TimingSettings, round_significant, short_message, time_interleaved

CHANNELS = {64: 128, 256: 64}
"""Channels in and out, and the side of the features: 2.4 GMAC per convolution for both."""
LAYERS = 8
"""Convolutions in the chain: enough for its input and output not to matter."""
INT8 = "int8"
_TYPES = {"FP32": "f32", "BF16": "bf16", "FP16": "f16", "INT8": INT8}
"""The type that is measured for each capability that a device reports."""


def measure_peak(
    core: ov.Core, device: str, settings: TimingSettings, clock: Clock = time.perf_counter
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Measure how many operations per second a device reaches, in each type that it reports.

    A multiplication and an addition are two operations. The fastest round counts, since this is a limit.

    Args:
        core: with the device.
        device: CPU, GPU or NPU.
        settings: of each measurement.
        clock: replaced in tests.

    Returns:
        TOPS by type (f32, bf16, f16, int8), then by channels ("64", "256"); and the error of each type that the
        device reports but does not run.
    """
    capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    peak_tops, errors = {}, {}
    for type_name in [name for capability, name in _TYPES.items() if capability in capabilities]:
        try:
            peak_tops[type_name] = _measure_type(core, device, type_name, settings, clock)
        except RuntimeError as error:
            errors[type_name] = short_message(error)
    return peak_tops, errors


def _measure_type(
    core: ov.Core, device: str, type_name: str, settings: TimingSettings, clock: Clock
) -> dict[str, float]:
    """Return TOPS by channels."""
    hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if type_name != INT8:
        hints["INFERENCE_PRECISION_HINT"] = type_name
    peak_tops = {}
    for channels, side in CHANNELS.items():
        model = _build_chain(channels, side, quantized=type_name == INT8)
        request = core.compile_model(model, device, hints).create_infer_request()
        features = np.random.default_rng(0).random((1, channels, side, side), np.float32)
        request.infer({0: features})
        # Without arguments a request reads the same input again.
        seconds = time_interleaved({"": request.infer}, settings, clock)[""]
        operations = 2 * LAYERS * channels * channels * 9 * side * side
        peak_tops[str(channels)] = round_significant(operations / min(seconds) / 1e12)
    return peak_tops


def _build_chain(channels: int, side: int, quantized: bool) -> ov.Model:
    """Build a chain of convolutions and ReLUs with float input and output; if quantized, every convolution is int8."""
    from openvino import opset13 as ops

    stream = np.random.default_rng(0)
    source = ops.parameter([1, channels, side, side], np.float32, name="features")
    last = source
    for _ in range(LAYERS):
        weights = ops.constant(stream.uniform(-1, 1, (channels, channels, 3, 3)).astype(np.float32))
        if quantized:
            last = ops.fake_quantize(last, *map(np.float32, (0.0, 2.55, 0.0, 2.55)), 256)
            weights = ops.fake_quantize(weights, *map(np.float32, (-1.0, 1.0, -1.0, 1.0)), 255)
        last = ops.relu(ops.convolution(last, weights, [1, 1], [1, 1], [1, 1], [1, 1]))
    return ov.Model([ops.result(last)], [source])
