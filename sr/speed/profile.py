"""A model's forms by device, size and streams, beside the plain way of running it, as benchmark.json.

The plain way, here "the reference", is the published graph as a dynamic ONNX file, compiled by OpenVINO with the
latency hint and nothing else. What does not run on a device is a row that says so.
"""

import dataclasses
import datetime
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.atomic_files import write_bytes, write_json
from data.errors import UserError
from data.progress import Progress, silent
from sr.evaluation.cost import FRAME, gmacs
from sr.evaluation.timing import host_facts
from sr.runtime.compiled_cache import cache_directory
from sr.runtime.openvino_runtime import DEVICES_CHOICE, ONE_AFTER_ANOTHER, compile_for, devices_present
from sr.runtime.openvino_runtime import openvino as ov
from sr.runtime.upscalers import load_upscaler
from sr.speed import render
from sr.speed.peak import INT8, measure_peak
from sr.speed.timing import Clock, Limits, first_line, in_turn, side_by_side, significant, spread

SCHEMA = 1
REFERENCE = "reference"
RECORD = "benchmark.json"
_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured."""

    sizes: tuple[tuple[int, int], ...] = ((256, 256),)
    """Height and width of the LR image, px; raised to what the network takes."""
    devices: tuple[str, ...] = ()
    """Out of CPU, GPU, NPU, AUTO and numbered ones; empty: all that are present."""
    streams: tuple[int, ...] = (1, DEVICES_CHOICE)
    """For throughput: how many requests share the device; DEVICES_CHOICE: as it likes."""
    limits: Limits = dataclasses.field(default_factory=Limits)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model to measure."""

    name: str
    """For people: the preset or the file."""
    forms: Mapping[str, Path]
    """Precision (fp32, fp16, int8) to an .xml, or an .onnx file, of ours."""
    reference: Path
    """An .onnx (or, where there is no other, .xml) file: the plain form."""
    reference_is: str
    """What it is, for people."""
    reference_stored: str = "fp32"
    """Its precision."""


def benchmark_model(
    subject: Subject,
    settings: BenchmarkSettings,
    out_dir: Path,
    run: str = "",
    progress: Progress = silent,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Measure, and write benchmark.md, benchmark.svg and, last, benchmark.json.

    Args:
        subject: with at least one form.
        settings: what is measured; of a file that takes one size alone, that size.
        out_dir: made if missing.
        run: whoever started this; stored as it is.
        progress: counts pairs of device and size.
        clock: replaced in tests.

    Returns:
        What benchmark.json holds.

    Raises:
        UserError: a device is not there, or a file is no model of ours.
    """
    core = ov.Core()
    devices = _devices(core, settings)
    upscaler = load_upscaler(next(iter(subject.forms.values())))
    # Of one low pixel: the published figure is for an upscaled image of FRAME.
    gmac_px = gmacs(upscaler) * upscaler.scale**2 / (FRAME[0] * FRAME[1])
    known, rows, starts = {}, [], []
    sizes = [upscaler.fixed_size] if upscaler.fixed_size else settings.sizes
    pairs = [(device, size) for device in devices for size in sizes]
    for done, (device, size) in enumerate(pairs):
        progress(done, len(pairs), f"{device}, {size[1]}x{size[0]}")
        bench = _Bench(core, device, subject, settings.limits, clock)
        if device not in known:
            known[device] = bench.facts()
            starts += bench.starts(_fitting(size, upscaler.size_multiple))
        found = bench.latencies(_fitting(size, upscaler.size_multiple))
        for streams in settings.streams:
            found += bench.throughputs(_fitting(size, upscaler.size_multiple), streams)
        eight_bits = {INT8} | ({REFERENCE} if subject.reference_stored == INT8 else set())
        rows += _related(found, gmac_px, known[device]["peak_tops"], eight_bits)
    progress(len(pairs), len(pairs), "")
    record = {
        "schema": SCHEMA,
        "run": run,
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": host_facts(),
        "openvino": ov.get_version(),
        "model": {"name": subject.name, "scale": upscaler.scale, "gmac_720p": gmacs(upscaler)},
        "reference": subject.reference_is,
        "devices": known,
        "rows": rows,
        "starts": starts,
    }
    write_bytes(out_dir / "benchmark.md", render.markdown(record).encode())
    write_bytes(out_dir / "benchmark.svg", render.plot(record).encode())
    write_json(out_dir / RECORD, record)
    return record


class _Bench:
    """Measuring one model on one device."""

    def __init__(self, core: ov.Core, device: str, subject: Subject, limits: Limits, clock: Clock) -> None:
        self._core, self._device, self._subject = core, device, subject
        self._limits, self._clock = limits, clock

    def facts(self) -> dict[str, Any]:
        """The device's name, capabilities and limits; AUTO has no limits of its own."""
        peak, refused = {}, {}
        if self._device != "AUTO":
            peak, refused = measure_peak(self._core, self._device, self._limits, self._clock)
        return {
            "name": self._core.get_property(self._device, "FULL_DEVICE_NAME"),
            "capabilities": sorted(self._core.get_property(self._device, "OPTIMIZATION_CAPABILITIES")),
            "peak_tops": peak,
            "peak_failed": refused,
        }

    def latencies(self, size: tuple[int, int]) -> list[dict[str, Any]]:
        """A row for the reference and for each form: one request after another, rounds in turn."""
        rows, calls = {}, {}
        for form in (REFERENCE, *self._subject.forms):
            rows[form] = self._row(form, size) | {"mode": "latency", "streams": ONE_AFTER_ANOTHER}
            try:
                compiled, lr_image = self._compile(form, size, ONE_AFTER_ANOTHER)
                request = compiled.create_infer_request()
                request.infer({"input": lr_image})
            except RuntimeError as error:
                rows[form]["failed"] = first_line(error)
                continue
            rows[form]["computes_in"] = self._computes_in(compiled)
            calls[form] = _infer_again(form, request, lr_image)
        for form, seconds in self._in_turn(calls, rows).items():
            rows[form] |= spread(seconds)
            rows[form]["frames_per_s"] = round(1000 / rows[form]["median_ms"], 3)
        return list(rows.values())

    def _in_turn(self, calls: dict[str, Any], rows: dict[str, Any]) -> dict[str, list[float]]:
        """Time the calls; one that fails is told in its row, and the others are timed without it."""
        while calls:
            try:
                return in_turn(calls, self._limits, self._clock)
            except _Refused as refused:
                rows[refused.form]["failed"] = first_line(refused)
                del calls[refused.form]
        return {}

    def throughputs(self, size: tuple[int, int], streams: int) -> list[dict[str, Any]]:
        """A row for each form: as many requests at once as the streams take; none where the device has no streams."""
        if streams > 0 and not self._has_streams():
            return []
        rows = []
        for form in self._subject.forms:
            row = self._row(form, size) | {"mode": "throughput", "streams": streams}
            try:
                compiled, lr_image = self._compile(form, size, streams)
                queue = ov.AsyncInferQueue(compiled)
                row |= side_by_side(
                    lambda queue=queue, lr_image=lr_image: queue.start_async({"input": lr_image}),
                    queue.wait_all,
                    len(queue),
                    self._limits,
                    self._clock,
                )
                row["computes_in"] = self._computes_in(compiled)
            except RuntimeError as error:
                row["failed"] = first_line(error)
            rows.append(row)
        return rows

    def starts(self, size: tuple[int, int]) -> list[dict[str, Any]]:
        """How long a form takes to read and compile, with nothing in the cache and with itself in it."""
        if self._device == "AUTO":
            return []
        rows = []
        for form, path in self._subject.forms.items():
            row = {"device": self._device, "form": form}
            with tempfile.TemporaryDirectory() as cache:
                for which in ("first_ms", "second_ms"):
                    begun = self._clock()
                    core = ov.Core()
                    model = _reshaped(core.read_model(path), size)
                    try:
                        compile_for(core, model, self._device, form, cache=Path(cache))
                    except RuntimeError:
                        break
                    row[which] = round(1000 * (self._clock() - begun), 1)
                else:
                    rows.append(row)
        return rows

    def _compile(self, form: str, size: tuple[int, int], streams: int) -> tuple[ov.CompiledModel, np.ndarray]:
        """The compiled model, and an image of noise for it (no network here is faster for what it sees)."""
        if form == REFERENCE:
            model = self._core.read_model(self._subject.reference)
            compiled = self._core.compile_model(model, self._device, {"PERFORMANCE_HINT": "LATENCY"})
        else:
            model = _reshaped(self._core.read_model(self._subject.forms[form]), size)
            compiled = compile_for(
                self._core, model, self._device, form, streams=streams, cache=cache_directory()
            )
        shape = (1, *size, _channels(model))
        return compiled, np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def _row(self, form: str, size: tuple[int, int]) -> dict[str, Any]:
        return {"device": self._device, "height": size[0], "width": size[1], "form": form}

    def _has_streams(self) -> bool:
        known = self._core.get_property(self._device, "SUPPORTED_PROPERTIES")
        return known.get("NUM_STREAMS") == "RW"

    def _computes_in(self, compiled: ov.CompiledModel) -> str | None:
        """What the device says that it computes in; AUTO does not say."""
        if self._device == "AUTO":
            return None
        name = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        return _TYPES.get(name, name)


class _Refused(Exception):
    """A form that ran once, and then did not."""

    def __init__(self, form: str, reason: str) -> None:
        super().__init__(reason)
        self.form = form


def _infer_again(form: str, request: ov.InferRequest, lr_image: np.ndarray) -> Any:
    def call() -> None:
        try:
            request.infer({"input": lr_image})
        except RuntimeError as error:
            raise _Refused(form, str(error)) from None

    return call


def _related(
    rows: list[dict[str, Any]], gmac_px: float, peak: Mapping[str, Any], eight_bits: Collection[str]
) -> list[dict[str, Any]]:
    """Put beside each row of one device and size what it is of the reference and of the device's limit."""
    reference = next((row.get("frames_per_s") for row in rows if row["form"] == REFERENCE), None)
    for row in rows:
        if "failed" in row:
            continue
        rate = row["frames_per_s"]
        tops = 2 * gmac_px * row["height"] * row["width"] * rate / 1000
        limit = peak.get(INT8 if row["form"] in eight_bits else row["computes_in"])
        row["tops"] = significant(tops)
        row["share_of_peak"] = significant(tops / max(limit.values())) if limit else None
        row["times_reference"] = significant(rate / reference) if reference else None
    return rows


def _devices(core: ov.Core, settings: BenchmarkSettings) -> list[str]:
    present = devices_present(core)
    for device in settings.devices:
        if device not in present and device not in core.available_devices:
            raise UserError(
                f"devices out of {', '.join(present)}", repr(device), "--speed-devices", "name those"
            )
    return list(settings.devices) or present


def _fitting(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    height, width = (side + -side % multiple for side in size)
    return height, width


def _reshaped(model: ov.Model, size: tuple[int, int]) -> ov.Model:
    model.reshape({"input": [1, *size, _channels(model)]})
    return model


def _channels(model: ov.Model) -> int:
    return model.input("input").partial_shape[3].get_length()
