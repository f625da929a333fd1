"""OpenVINO without telemetry, and the one way to compile a model for a device.

Import openvino from here, and nncf after it. Both report their use over the network on import and on every conversion,
unless the package openvino_telemetry is missing; this module makes it look missing. Importing openvino from here also
prevents a deadlock between threads, see `_read_one_tensor`.
"""

import io
import os
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

# None makes Python treat the module as one that cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # documented, missing in typeshed

import openvino  # noqa: E402

from data.errors import UserError  # noqa: E402
from data.hashing import canonical_json, sha256_bytes  # noqa: E402
from sr.runtime import compiled_cache  # noqa: E402

__all__ = ["DEVICES", "check_device", "choose_float_type", "compile_for_device", "list_devices", "openvino"]

DEVICES = ("CPU", "GPU", "NPU", "AUTO")
"""Device names; a machine with two GPUs also has GPU.0 and GPU.1."""
SINGLE_REQUEST = 0
"""For `streams`: one request at a time, each uses the whole device (lowest latency)."""
AUTO_STREAMS = -1
"""For `streams`: as many parallel requests as the device chooses (highest throughput)."""
_HALF_PRECISION = {"CPU": ("BF16", "FP16"), "GPU": ("FP16", "BF16"), "NPU": ("FP16", "BF16")}
"""The 16-bit float types of each kind of device, the preferred one first. An x86 CPU accepts f16 but computes in f32 or
bf16; where it computes in f16, bf16 is as fast and keeps the range of float32."""
_DRIVER_PROPERTIES = (
    "DRIVER_VERSION",
    "NPU_DRIVER_VERSION",
    "GPU_UARCH_VERSION",
    "DEVICE_ARCHITECTURE",
)


def _read_one_tensor() -> None:
    """Read a tensor once, before any threads can be the first to do so.

    The first read in a process fills OpenVINO's table of numpy types. C++ lets one thread do this while others wait,
    and that thread releases Python's lock in between: a thread that takes the lock and then waits for the table
    deadlocks both. During the import there is only one thread; others that import this module wait for it.

    No other native library that is called from several threads needs this: `tests/faults/first_use.py` tries them.
    """
    _ = openvino.Tensor(openvino.Type.u8, openvino.Shape([1])).data


_read_one_tensor()


def list_devices(core: openvino.Core) -> list[str]:
    """Return the kinds of device on this machine, in the order of DEVICES, AUTO last."""
    present = core.available_devices
    kinds = {device.partition(".")[0] for device in present}
    return [device for device in DEVICES if device in kinds or (device == "AUTO" and present)]


def check_device(core: openvino.Core, device: str) -> None:
    """Check that this machine has a device.

    Raises:
        UserError: it does not; the message lists the devices that it has.
    """
    if device not in core.available_devices and device not in list_devices(core):
        devices = ", ".join(list_devices(core)) or "none"
        raise UserError(f"This machine has no OpenVINO device {device!r}", f"Choose one of: {devices}")


def choose_float_type(device: str, capabilities: Collection[str], precision: str) -> str:
    """Choose the float type that a device computes in.

    Args:
        device: CPU, GPU, NPU or AUTO, with or without a number.
        capabilities: the device's OPTIMIZATION_CAPABILITIES in OpenVINO.
        precision: of the IR: fp32, fp16 or int8 (for the layers that stay in float).

    Returns:
        For fp32: f32, if the device has it. Otherwise the device's preferred 16-bit type, or f32 if it has none.
    """
    if precision == "fp32" and "FP32" in capabilities:
        return "f32"
    order = _HALF_PRECISION.get(device.partition(".")[0], _HALF_PRECISION["CPU"])
    return next((name.lower().replace("fp", "f") for name in order if name in capabilities), "f32")


def compile_for_device(
    core: openvino.Core,
    model: openvino.Model,
    device: str,
    precision: str,
    *,
    streams: int = SINGLE_REQUEST,
    threads: int = 0,
    cache: Path | None = None,
) -> openvino.CompiledModel:
    """Compile a model for a device, with the fastest float type of that device, or load it from the cache.

    Args:
        core: the one that read the model.
        model: not changed.
        device: one that the machine has.
        precision: of the IR: fp32, fp16 or int8; see `choose_float_type`.
        streams: SINGLE_REQUEST, AUTO_STREAMS, or the number of parallel requests.
        threads: CPU threads; 0: OpenVINO decides.
        cache: directory of compiled models (see `sr.runtime.compiled_cache`); None: no cache. AUTO compiles for
            several devices and is never cached.

    Raises:
        UserError: the machine has no such device.
    """
    check_device(core, device)
    properties = _choose_properties(core, device, precision, streams)
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if cache is None or device == "AUTO" or "EXPORT_IMPORT" not in capabilities:
        return core.compile_model(model, device, properties)
    key = _cache_key(core, model, device, properties)
    blob = compiled_cache.load(cache, key)
    if blob is not None:
        try:
            return core.import_model(io.BytesIO(blob), device, properties)
        except RuntimeError:
            pass  # e.g. another driver wrote it: compile again and overwrite it
    compiled = core.compile_model(model, device, properties)
    compiled_cache.save(cache, key, compiled.export_model().read())
    return compiled


def _choose_properties(core: openvino.Core, device: str, precision: str, streams: int) -> dict[str, Any]:
    """Return the OpenVINO properties to compile with. AUTO chooses the float type itself, except for fp32."""
    capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    hint = "LATENCY" if streams == SINGLE_REQUEST else "THROUGHPUT"
    properties: dict[str, Any] = {"PERFORMANCE_HINT": hint}
    if streams > 0:
        properties["NUM_STREAMS"] = str(streams)
    if device != "AUTO":
        properties["INFERENCE_PRECISION_HINT"] = choose_float_type(device, capabilities, precision)
    elif precision == "fp32":
        properties["EXECUTION_MODE_HINT"] = "ACCURACY"
    return properties


def _cache_key(core: openvino.Core, model: openvino.Model, device: str, properties: dict[str, Any]) -> str:
    """Hash all that the compiled model depends on: graph and weights, device, driver, properties, version."""
    supported = core.get_property(device, "SUPPORTED_PROPERTIES")
    facts = {
        "model": _model_sha256(model),
        "openvino": openvino.get_version(),
        "device": device,
        "device_name": core.get_property(device, "FULL_DEVICE_NAME"),
        "capabilities": sorted(core.get_property(device, "OPTIMIZATION_CAPABILITIES")),
        "driver": {
            name: str(core.get_property(device, name)) for name in _DRIVER_PROPERTIES if name in supported
        },
        "cores": len(os.sched_getaffinity(0)),
        "hints": properties,
    }
    return sha256_bytes(canonical_json(facts))


def _model_sha256(model: openvino.Model) -> str:
    """Hash the graph as it is in memory, with its weights and any change made since it was read."""
    with tempfile.TemporaryDirectory() as scratch:
        xml, weights = Path(scratch) / "model.xml", Path(scratch) / "model.bin"
        openvino.serialize(model, xml, weights)
        return sha256_bytes(xml.read_bytes() + weights.read_bytes())
