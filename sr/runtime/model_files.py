"""Opening exported model files: read them, check them against their metadata, compile them for a device.

A damaged file or a missing device becomes one readable error. Nothing is run here and no file is changed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.hashing import sha256_bytes, sha256_file
from sr.models.metadata import GROUP, ModelMetadata, from_strings

if TYPE_CHECKING:
    import onnxruntime

    from sr.runtime.openvino_runtime import openvino


def open_onnx(path: Path) -> "tuple[onnxruntime.InferenceSession, ModelMetadata]":
    """Open an ONNX file in ONNX Runtime on the CPU, and read its metadata.

    Raises:
        UserError: the file is damaged, or this project did not export it.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no other base class
        raise_if_exhausted(error)
        raise _damaged(path, error) from None
    metadata = from_strings(session.get_modelmeta().custom_metadata_map, str(path))
    shapes = {one.name: one.shape for one in session.get_inputs()}
    _check_channels(shapes.get("input", [None])[-1], metadata, path)
    return session, metadata


def read_ir(core: "openvino.Core", path: Path) -> "tuple[openvino.Model, ModelMetadata]":
    """Read an OpenVINO IR (model.xml beside model.bin) and its metadata.

    Raises:
        UserError: the file is damaged, or this project did not export it.
    """
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise_if_exhausted(error)
        raise _damaged(path, error) from None
    section = model.get_rt_info()[GROUP] if model.has_rt_info([GROUP]) else {}
    strings = {key: model.get_rt_info([GROUP, key]).astype(str) for key in dict(section)}
    metadata = from_strings(strings, str(path))
    shapes = {name: port.partial_shape for port in model.inputs for name in port.names}
    shape = shapes.get("input", [None])
    _check_channels(str(shape[len(shape) - 1]), metadata, path)
    return model, metadata


def read_fixed_size(model: "openvino.Model") -> tuple[int, int] | None:
    """Return the only input height and width that an IR accepts; None if it accepts any."""
    shape = model.input("input").partial_shape
    if not shape.is_static:
        return None
    _, height, width, _ = shape.to_shape()
    return height, width


def size_mismatch_error(fixed: tuple[int, int], height: int, width: int, model: str) -> UserError:
    """Return the error for an image whose size is not the one that a model of fixed size accepts."""
    return UserError(
        f"{model} accepts only images of {fixed[0]}x{fixed[1]} (height x width), got {height}x{width}",
        "Export the model without a size: it then accepts any",
    )


def compile_ir(
    core: "openvino.Core",
    model: "openvino.Model",
    path: Path,
    device: str,
    precision: str,
    keep: bool = True,
    **options: int,
) -> "openvino.CompiledModel":
    """Compile an IR that was read from `path`, or take it from the cache of compiled models.

    Args:
        core, model, device, precision, options: as for `sr.runtime.openvino_runtime.compile_for_device`.
        path: the file, for the error.
        keep: whether to use the cache, if there is one.

    Raises:
        UserError: the device is not there, or does not support the model.
    """
    from sr.runtime.compiled_cache import find_cache_directory
    from sr.runtime.openvino_runtime import compile_for_device

    try:
        cache = find_cache_directory() if keep else None
        return compile_for_device(core, model, device, precision, cache=cache, **options)
    except RuntimeError as error:
        raise UserError(
            f"{device} cannot run {path}: {_first_words(error)}",
            "Export it with --size, for devices that need a fixed size, or choose another device",
        ) from None


def hash_ir(path: Path) -> str:
    """Return one sha256 for the two files of an IR: the hash of the hashes of .xml and .bin, in this order."""
    return sha256_bytes(
        "".join(sha256_file(Path(path).with_suffix(end)) for end in (".xml", ".bin")).encode()
    )


def _check_channels(found: Any, metadata: ModelMetadata, path: Path) -> None:
    """Check the last axis of a graph's input against its metadata."""
    if str(found) != str(metadata.channels):
        raise UserError(
            f"{path} has an input of {found} channels, but its metadata says {metadata.channels} ({metadata.color})",
            "Export the model again",
        )


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is not a readable model file: {_first_words(error)}", "Export the model again")


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
