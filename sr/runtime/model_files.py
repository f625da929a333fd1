"""Opening exported model files: read them, check them against their metadata, compile them for a device.

A damaged file or a missing device becomes one readable error. Nothing is run here and no file is changed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.file_names import escape_name
from data.hashing import sha256_bytes, sha256_file
from sr.models.metadata import GROUP, ModelMetadata, from_strings
from sr.models.model_contents import IR, find_content_kind, refuse_other_content
from sr.runtime.ports import Port, describe_ports

_UINT8 = ("uint8", "u8")
"""ONNX Runtime's name and OpenVINO's."""


if TYPE_CHECKING:
    import onnxruntime

    from sr.runtime.openvino_runtime import openvino


def open_session(path: Path) -> "onnxruntime.InferenceSession":
    """Open an ONNX file in ONNX Runtime on the CPU.

    Raises:
        UserError: the file is damaged or something else.
    """
    from sr.runtime.onnx_runtime import onnxruntime

    refuse_other_content(path)
    try:
        # ONNX Runtime opens no path that is not UTF-8.
        model = str(path) if escape_name(str(path)) == str(path) else path.read_bytes()
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no other base class
        raise_if_exhausted(error)
        raise _damaged(path, error) from None


def read_onnx_metadata(session: "onnxruntime.InferenceSession", path: Path) -> ModelMetadata:
    """Return the metadata of an ONNX file that this project exported for itself.

    Raises:
        UserError: it has none, or was changed since.
    """
    strings = session.get_modelmeta().custom_metadata_map
    inputs = [
        Port(one.name, one.type.removeprefix("tensor(").removesuffix(")"), one.shape)
        for one in session.get_inputs()
    ]
    _check_interface(strings, inputs, path)
    return from_strings(strings, str(path))


def read_ir(core: "openvino.Core", path: Path) -> "tuple[openvino.Model, ModelMetadata]":
    """Read an OpenVINO IR (model.xml beside model.bin) and its metadata.

    Raises:
        UserError: the file is damaged or something else, its weights are missing, or this project did not export it.
    """
    refuse_other_content(path)
    weights = path.with_suffix(".bin")
    if find_content_kind(path) is IR and not weights.is_file():
        raise UserError(
            f"{path} has no {weights.name} beside it, which holds its weights",
            "Put both files into one folder",
        )
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise_if_exhausted(error)
        raise _damaged(path, error) from None
    section = model.get_rt_info()[GROUP] if model.has_rt_info([GROUP]) else {}
    strings = {key: model.get_rt_info([GROUP, key]).astype(str) for key in dict(section)}
    inputs = [
        Port(
            min(port.names, default="?"),
            port.element_type.to_string(),
            [str(size) for size in port.partial_shape],
        )
        for port in model.inputs
    ]
    _check_interface(strings, inputs, path)
    return model, from_strings(strings, str(path))


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


def _check_interface(strings: Mapping[str, str], inputs: Sequence[Port], path: Path) -> None:
    """Check that a graph takes what this program gives it: one image, as its metadata says.

    Raises:
        UserError: another program exported it, or changed it since.
    """
    found = describe_ports(inputs)
    if "schema" not in strings:
        raise UserError(
            f"{path} is a graph of another program, without the metadata of an exported model; it takes {found}, "
            "and only graphs that ExportOnnx or ExportOpenVINO made are run here",
            "Give the .pth or .safetensors file that it was made from, or run it in the program that it was made for",
        )
    metadata = from_strings(strings, str(path))
    channels = str(inputs[0].shape[-1]) if inputs and inputs[0].shape else "no"
    if channels != str(metadata.channels):
        raise UserError(
            f"{path} has an input of {channels} channels, but its metadata says {metadata.channels} ({metadata.color})",
            "Export the model again",
        )
    if len(inputs) != 1 or inputs[0].name != "input" or inputs[0].type not in _UINT8:
        raise UserError(
            f"{path} was changed since it was exported: it takes {found}, and not input (uint8) alone",
            "Export the model again, with --precision fp16 or int8 for a smaller one",
        )


def _damaged(path: Path, error: Exception) -> UserError:
    words = _first_words(error)
    hint = "Export the model again"
    if "external data" in words.lower() or "external_data" in words.lower():
        hint = "Put the file with its weights beside it, under the name that it was saved with"
    return UserError(f"{path} is not a readable model file: {words}", hint)


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
