"""Profile a model by device, precision, image size and number of streams, beside a reference, as speed.json.

The reference is the model run without our optimizations: its published graph as an ONNX file of dynamic size, compiled
by OpenVINO with the latency hint and nothing else.
"""

import dataclasses
import datetime
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import write_bytes, write_json
from data.errors import UserError
from data.progress import Progress, silent
from sr.evaluation.cost import FRAME, count_gmacs
from sr.evaluation.timing import describe_host
from sr.runtime.load import load_upscaler
from sr.runtime.network_upscalers import NetworkUpscaler
from sr.runtime.openvino_runtime import AUTO_STREAMS, list_devices
from sr.runtime.openvino_runtime import openvino as ov
from sr.speed import render
from sr.speed.device_profiler import REFERENCE, DeviceProfiler, Row, Size
from sr.speed.peak import INT8
from sr.speed.profiled_model import ProfiledModel
from sr.speed.timing import Clock, TimingSettings, round_significant

SCHEMA = 2
RECORD = "speed.json"


@dataclasses.dataclass(frozen=True)
class ProfileSettings:
    """What is measured."""

    sizes: tuple[Size, ...] = ((256, 256),)
    """Height and width of the LR image, px; rounded up to what the network takes."""
    devices: tuple[str, ...] = ()
    """CPU, GPU, NPU, AUTO and numbered ones; empty: all that are present."""
    streams: tuple[int, ...] = (1, AUTO_STREAMS)
    """For throughput: how many requests share the device; AUTO_STREAMS lets the device choose."""
    timing: TimingSettings = dataclasses.field(default_factory=TimingSettings)


def profile_model(
    model: ProfiledModel,
    settings: ProfileSettings,
    out_dir: Path,
    run: str = "",
    progress: Progress = silent,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Measure a model, and write speed.md, speed.svg and, last, speed.json.

    Args:
        model: with at least one file.
        settings: what is measured; a file of a fixed size is measured at that size alone.
        out_dir: made if missing.
        run: an id of this run; stored as it is.
        progress: counts pairs of device and size.
        clock: replaced in tests.

    Returns:
        What speed.json holds: schema, run, finished_at, host, openvino, model, reference, devices (by name), rows
        and startup.

    Raises:
        UserError: a device is not present, or a file is not a model of this project.
    """
    core = ov.Core()
    devices = _choose_devices(core, settings)
    upscaler = _load_network(next(iter(model.files.values())))
    sizes = [upscaler.fixed_size] if upscaler.fixed_size else settings.sizes
    pairs = [(device, _round_up(size, upscaler.size_multiple)) for device in devices for size in sizes]
    gmacs = count_gmacs(upscaler)
    # Of one LR pixel: the published figure is for an upscaled image of FRAME.
    gmac_per_px = (gmacs or 0.0) * upscaler.scale**2 / (FRAME[0] * FRAME[1])
    measured = _measure_pairs(core, model, settings, pairs, gmac_per_px, progress, clock)
    record = {
        "model": {"name": model.name, "scale": upscaler.scale, "gmac_720p": gmacs},
        "reference": model.reference_description,
        **measured,
        **_describe_run(run),
    }
    write_bytes(out_dir / "speed.md", render.render_markdown(record).encode())
    write_bytes(out_dir / "speed.svg", render.render_chart(record).encode())
    write_json(out_dir / RECORD, record)
    return record


def _describe_run(run: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": run,
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": describe_host(),
        "openvino": ov.get_version(),
    }


def _measure_pairs(
    core: ov.Core,
    model: ProfiledModel,
    settings: ProfileSettings,
    pairs: Sequence[tuple[str, Size]],
    gmac_per_px: float,
    progress: Progress,
    clock: Clock,
) -> dict[str, Any]:
    """Measure every pair of device and size; a device's peak and start-up time only once, at its first size."""
    devices: dict[str, dict[str, Any]] = {}
    rows: list[Row] = []
    startup: list[Row] = []
    quantized = {INT8} | ({REFERENCE} if model.reference_precision == INT8 else set())
    for done, (device, size) in enumerate(pairs):
        progress(done, len(pairs), f"{device}, {size[1]}x{size[0]}")
        profiler = DeviceProfiler(core, device, model, settings.timing, clock)
        if device not in devices:
            devices[device] = profiler.describe_device()
            startup += profiler.measure_startup(size)
        measured = profiler.measure_latency(size)
        for streams in settings.streams:
            measured += profiler.measure_throughput(size, streams)
        rows += _add_ratios(measured, gmac_per_px, devices[device]["peak_tops"], quantized)
    progress(len(pairs), len(pairs), "")
    return {"devices": devices, "rows": rows, "startup": startup}


def _load_network(path: Path) -> NetworkUpscaler:
    upscaler = load_upscaler(path)
    if not isinstance(upscaler, NetworkUpscaler):
        raise UserError(f"{path} is not a model file", "Use an .onnx or .xml file")
    return upscaler


def _add_ratios(
    rows: list[Row], gmac_per_px: float, peak_tops: Mapping[str, Any], quantized: Collection[str]
) -> list[Row]:
    """Add to each row of one device and size its speedup over the reference, and its share of the device's peak."""
    reference = next((row.get("frames_per_s") for row in rows if row["precision"] == REFERENCE), None)
    for row in rows:
        if "failed" in row:
            continue
        rate = row["frames_per_s"]
        tops = 2 * gmac_per_px * row["height"] * row["width"] * rate / 1000
        peak = peak_tops.get(INT8 if row["precision"] in quantized else row["inference_precision"])
        row["tops"] = round_significant(tops)
        row["share_of_peak"] = round_significant(tops / max(peak.values())) if peak else None
        row["speedup"] = round_significant(rate / reference) if reference else None
    return rows


def _choose_devices(core: ov.Core, settings: ProfileSettings) -> list[str]:
    present = list_devices(core)
    for device in settings.devices:
        if device not in present and device not in core.available_devices:
            raise UserError(
                f"There is no device {device!r} here", f"Use {', '.join(present)} for --speed-devices"
            )
    return list(settings.devices) or present


def _round_up(size: Size, multiple: int) -> Size:
    height, width = (side + -side % multiple for side in size)
    return height, width
