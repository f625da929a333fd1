"""The openvino module, imported so that it tells nobody, and the one way to compile a model for a device.

Import openvino from here, and nncf after it: OpenVINO and NNCF report their use over the network on import and on
every conversion, unless openvino_telemetry is absent. To them it is absent; no other import is affected. Importing it
from here also makes it safe for threads, see `_read_one_tensor`.
"""

import io
import os
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

# None is Python's way to say that a module cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)

import openvino  # noqa: E402

from data.errors import UserError  # noqa: E402
from data.hashing import canonical_json, sha256_bytes  # noqa: E402
from sr.runtime import compiled_cache  # noqa: E402

__all__ = ["DEVICES", "check_device", "compile_for", "devices_present", "float_type", "openvino"]

DEVICES = ("CPU", "GPU", "NPU", "AUTO")
"""What can be named; a machine with two GPUs also has GPU.0 and GPU.1."""
ONE_AFTER_ANOTHER = 0
"""As `streams`: one request at a time, each with the whole device."""
DEVICES_CHOICE = -1
"""As `streams`: as many requests side by side as the device likes."""
_HALF = {"CPU": ("BF16", "FP16"), "GPU": ("FP16", "BF16"), "NPU": ("FP16", "BF16")}
"""By device, the two-byte types that it is faster with, the best first. An x86 CPU takes f16 and computes in f32 or
bf16; where it has f16 of its own, bf16 is as fast and keeps float32's range."""
_DRIVERS = ("DRIVER_VERSION", "NPU_DRIVER_VERSION", "GPU_UARCH_VERSION", "DEVICE_ARCHITECTURE")


def _read_one_tensor() -> None:
    """Read the data of a tensor, so that no two threads are the first to.

    The first read of a process fills OpenVINO's table of numpy types. C++ lets one thread do so while others wait,
    and that thread lets go of Python's lock on its way: one that takes the lock and then waits for the table stops
    both for good. On import there is just one thread here: others that import this module wait for it.
    """
    _ = openvino.Tensor(openvino.Type.u8, openvino.Shape([1])).data


_read_one_tensor()


def devices_present(core: openvino.Core) -> list[str]:
    """The devices that models can be compiled for here, in the order of DEVICES, AUTO last."""
    present = core.available_devices
    kinds = {device.partition(".")[0] for device in present}
    return [device for device in DEVICES if device in kinds or (device == "AUTO" and present)]


def check_device(core: openvino.Core, device: str) -> None:
    """Make sure that a device is there.

    Raises:
        UserError: it is not; the message lists those that are.
    """
    if device not in core.available_devices and device not in devices_present(core):
        known = ", ".join(devices_present(core)) or "none"
        raise UserError(f"a device out of {known}", repr(device), "this machine", "name one of these")


def float_type(device: str, capabilities: Collection[str], stored: str) -> str:
    """What a device should compute in: f32, bf16 or f16.

    Args:
        device: CPU, GPU, NPU or AUTO, with or without a number.
        capabilities: OpenVINO's OPTIMIZATION_CAPABILITIES of it.
        stored: of the IR: fp32 (to be run as it is), fp16, or int8 (whose float rest it is for).

    Returns:
        f32 for fp32 where the device has it; otherwise its better two-byte type, or f32 where it has none.
    """
    if stored == "fp32" and "FP32" in capabilities:
        return "f32"
    order = _HALF.get(device.partition(".")[0], _HALF["CPU"])
    return next((name.lower().replace("fp", "f") for name in order if name in capabilities), "f32")


def compile_for(
    core: openvino.Core,
    model: openvino.Model,
    device: str,
    stored: str,
    *,
    streams: int = ONE_AFTER_ANOTHER,
    threads: int = 0,
    cache: Path | None = None,
) -> openvino.CompiledModel:
    """Compile a model for a device, in what the device is fastest with, or take up what was compiled before.

    Args:
        core: that read the model.
        model: not changed.
        device: one that is present.
        stored: the IR's precision: fp32, fp16 or int8; see `float_type`.
        streams: ONE_AFTER_ANOTHER, DEVICES_CHOICE, or how many requests share the device.
        threads: of a CPU; 0: as OpenVINO likes.
        cache: where compiled models are kept (see sr.runtime.compiled_cache); None: they are not. AUTO compiles for
            several devices and keeps none.

    Raises:
        UserError: the device is not there.
    """
    check_device(core, device)
    hints = hints_for(core, device, stored, streams)
    if threads:
        hints["INFERENCE_NUM_THREADS"] = threads
    capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if cache is None or device == "AUTO" or "EXPORT_IMPORT" not in capabilities:
        return core.compile_model(model, device, hints)
    key = _key(core, model, device, hints)
    blob = compiled_cache.load(cache, key)
    if blob is not None:
        try:
            return core.import_model(io.BytesIO(blob), device, hints)
        except RuntimeError:
            pass  # of another driver, say: it is compiled and written anew
    compiled = core.compile_model(model, device, hints)
    compiled_cache.save(cache, key, compiled.export_model().read())
    return compiled


def hints_for(core: openvino.Core, device: str, stored: str, streams: int) -> dict[str, Any]:
    """What `compile_for` tells OpenVINO; AUTO is left to choose the type of all but fp32 for itself."""
    capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY" if streams == ONE_AFTER_ANOTHER else "THROUGHPUT"}
    if streams > 0:
        hints["NUM_STREAMS"] = str(streams)
    if device != "AUTO":
        hints["INFERENCE_PRECISION_HINT"] = float_type(device, capabilities, stored)
    elif stored == "fp32":
        hints["EXECUTION_MODE_HINT"] = "ACCURACY"
    return hints


def _key(core: openvino.Core, model: openvino.Model, device: str, hints: dict[str, Any]) -> str:
    """A name for what comes out: the graph with its weights, the device, its driver, the hints, the version."""
    known = core.get_property(device, "SUPPORTED_PROPERTIES")
    facts = {
        "model": _model_sha256(model),
        "openvino": openvino.get_version(),
        "device": device,
        "device_name": core.get_property(device, "FULL_DEVICE_NAME"),
        "capabilities": sorted(core.get_property(device, "OPTIMIZATION_CAPABILITIES")),
        "driver": {name: str(core.get_property(device, name)) for name in _DRIVERS if name in known},
        "cores": len(os.sched_getaffinity(0)),
        "hints": hints,
    }
    return sha256_bytes(canonical_json(facts))


def _model_sha256(model: openvino.Model) -> str:
    """Of the graph as it is in memory, weights and marks included: whatever was done to it since it was read."""
    with tempfile.TemporaryDirectory() as scratch:
        xml, weights = Path(scratch) / "model.xml", Path(scratch) / "model.bin"
        openvino.serialize(model, xml, weights)
        return sha256_bytes(xml.read_bytes() + weights.read_bytes())
