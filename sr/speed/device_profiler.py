"""Measure one model on one device: latency, throughput and start-up time.

What does not run on the device becomes a row with the error, so that the other rows are still measured.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sr.runtime.compiled_cache import find_cache_directory
from sr.runtime.openvino_runtime import SINGLE_REQUEST, compile_for_device
from sr.runtime.openvino_runtime import openvino as ov
from sr.speed.peak import measure_peak
from sr.speed.profiled_model import ProfiledModel
from sr.speed.timing import (
    Clock,
    TimingSettings,
    measure_throughput,
    short_message,
    summarize_percentiles,
    time_interleaved,
)

REFERENCE = "reference"
"""Stands for a precision in the rows of the reference."""
_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}

Size = tuple[int, int]
"""Height and width of an LR image, in pixels."""
Row = dict[str, Any]


class DeviceProfiler:
    """Measures one model on one device.

    Args:
        core: with the device.
        device: CPU, GPU, NPU, AUTO, or a numbered one.
        model: to measure.
        settings: of each measurement.
        clock: replaced in tests.
    """

    def __init__(
        self, core: ov.Core, device: str, model: ProfiledModel, settings: TimingSettings, clock: Clock
    ) -> None:
        self._core, self._device, self._model = core, device, model
        self._settings, self._clock = settings, clock

    def describe_device(self) -> dict[str, Any]:
        """Return the device's name, capabilities and peak performance; AUTO has no peak of its own."""
        peak_tops: dict[str, dict[str, float]] = {}
        errors: dict[str, str] = {}
        if self._device != "AUTO":
            peak_tops, errors = measure_peak(self._core, self._device, self._settings, self._clock)
        return {
            "name": self._core.get_property(self._device, "FULL_DEVICE_NAME"),
            "capabilities": sorted(self._core.get_property(self._device, "OPTIMIZATION_CAPABILITIES")),
            "peak_tops": peak_tops,
            "peak_errors": errors,
        }

    def measure_latency(self, size: Size) -> list[Row]:
        """Time one request after another: a row for the reference and one for each precision, interleaved."""
        rows, calls = {}, {}
        for precision in (REFERENCE, *self._model.files):
            rows[precision] = self._make_row(precision, size) | {
                "mode": "latency",
                "streams": SINGLE_REQUEST,
            }
            try:
                compiled, lr_image = self._compile(precision, size, SINGLE_REQUEST)
                request = compiled.create_infer_request()
                request.infer({"input": lr_image})
            except RuntimeError as error:
                rows[precision]["failed"] = short_message(error)
                continue
            rows[precision]["inference_precision"] = self._inference_precision(compiled)
            calls[precision] = _make_call(precision, request, lr_image)
        for precision, seconds in self._time_calls(calls, rows).items():
            rows[precision] |= summarize_percentiles(seconds)
            rows[precision]["frames_per_s"] = round(1000 / rows[precision]["median_ms"], 3)
        return list(rows.values())

    def _time_calls(
        self, calls: dict[str, Callable[[], None]], rows: dict[str, Row]
    ) -> dict[str, list[float]]:
        """Time the calls; one that fails gets an error in its row, and the others are timed again without it."""
        while calls:
            try:
                return time_interleaved(calls, self._settings, self._clock)
            except _InferenceError as error:
                rows[error.precision]["failed"] = short_message(error)
                del calls[error.precision]
        return {}

    def measure_throughput(self, size: Size, streams: int) -> list[Row]:
        """Measure frames per second with as many requests at once as the streams take.

        Returns:
            A row for each precision; none where the device has no streams to set.
        """
        if streams > 0 and not self._has_streams():
            return []
        return [self._measure_streams(precision, size, streams) for precision in self._model.files]

    def _measure_streams(self, precision: str, size: Size, streams: int) -> Row:
        row = self._make_row(precision, size) | {"mode": "throughput", "streams": streams}
        try:
            compiled, lr_image = self._compile(precision, size, streams)
            queue = ov.AsyncInferQueue(compiled)
            row |= measure_throughput(
                lambda: queue.start_async({"input": lr_image}),
                queue.wait_all,
                len(queue),
                self._settings,
                self._clock,
            )
            row["inference_precision"] = self._inference_precision(compiled)
        except RuntimeError as error:
            row["failed"] = short_message(error)
        return row

    def measure_startup(self, size: Size) -> list[Row]:
        """Time reading and compiling each precision, first with an empty cache and then from the cache.

        Returns:
            A row for each precision that compiles; none for AUTO.
        """
        if self._device == "AUTO":
            return []
        rows = []
        for precision, path in self._model.files.items():
            row: Row = {"device": self._device, "precision": precision}
            with tempfile.TemporaryDirectory() as cache:
                for key in ("uncached_ms", "cached_ms"):
                    start = self._clock()
                    core = ov.Core()
                    model = _reshape(core.read_model(path), size)
                    try:
                        compile_for_device(core, model, self._device, precision, cache=Path(cache))
                    except RuntimeError:
                        break
                    row[key] = round(1000 * (self._clock() - start), 1)
                else:
                    rows.append(row)
        return rows

    def _compile(
        self, precision: str, size: Size, streams: int
    ) -> tuple[ov.CompiledModel, npt.NDArray[np.uint8]]:
        """Return the compiled model, and an image of noise for it (no network here is faster for its content)."""
        if precision == REFERENCE:
            model = self._core.read_model(self._model.reference)
            compiled = self._core.compile_model(model, self._device, {"PERFORMANCE_HINT": "LATENCY"})
        else:
            model = _reshape(self._core.read_model(self._model.files[precision]), size)
            compiled = compile_for_device(
                self._core, model, self._device, precision, streams=streams, cache=find_cache_directory()
            )
        shape = (1, *size, _count_channels(model))
        return compiled, np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def _make_row(self, precision: str, size: Size) -> Row:
        return {"device": self._device, "height": size[0], "width": size[1], "precision": precision}

    def _has_streams(self) -> bool:
        properties = self._core.get_property(self._device, "SUPPORTED_PROPERTIES")
        return bool(properties.get("NUM_STREAMS") == "RW")

    def _inference_precision(self, compiled: ov.CompiledModel) -> str | None:
        """Return the type that the device computes in; AUTO does not report one."""
        if self._device == "AUTO":
            return None
        name: str = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        return _TYPES.get(name, name)


class _InferenceError(Exception):
    """A model that ran before does not run any more."""

    def __init__(self, precision: str, message: str) -> None:
        super().__init__(message)
        self.precision = precision


def _make_call(
    precision: str, request: ov.InferRequest, lr_image: npt.NDArray[np.uint8]
) -> Callable[[], None]:
    """Return a function that runs the request, and names the precision where that fails."""

    def call() -> None:
        try:
            request.infer({"input": lr_image})
        except RuntimeError as error:
            raise _InferenceError(precision, str(error)) from None

    return call


def _reshape(model: ov.Model, size: Size) -> ov.Model:
    model.reshape({"input": [1, *size, _count_channels(model)]})
    return model


def _count_channels(model: ov.Model) -> int:
    channels: int = model.input("input").partial_shape[3].get_length()
    return channels
