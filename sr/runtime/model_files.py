"""Exported files of ours, opened: read, held to what they say of themselves, and compiled for a device.

What is wrong with a file, or with the device, is said in one line. Runs nothing and changes no file.
"""

from pathlib import Path
from typing import Any

from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from sr.models.metadata import GROUP, ModelMetadata, from_strings


def open_onnx(path: Path) -> tuple[Any, ModelMetadata]:
    """Return an onnxruntime.InferenceSession on the CPU, and the file's metadata.

    Raises:
        UserError: the file is damaged, or no model of ours.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no other base
        raise _damaged(path, error) from None
    metadata = from_strings(session.get_modelmeta().custom_metadata_map, str(path))
    shapes = {one.name: one.shape for one in session.get_inputs()}
    _check_channels(shapes.get("input", [None])[-1], metadata, path)
    return session, metadata


def read_ir(core: Any, path: Path) -> tuple[Any, ModelMetadata]:
    """Return an IR (model.xml beside model.bin) as an openvino.Model, and its metadata.

    Raises:
        UserError: the file is damaged, or no model of ours.
    """
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise _damaged(path, error) from None
    section = model.get_rt_info()[GROUP] if model.has_rt_info([GROUP]) else {}
    strings = {key: model.get_rt_info([GROUP, key]).astype(str) for key in dict(section)}
    metadata = from_strings(strings, str(path))
    shapes = {name: port.partial_shape for port in model.inputs for name in port.names}
    shape = shapes.get("input", [None])
    _check_channels(str(shape[len(shape) - 1]), metadata, path)
    return model, metadata


def fixed_size(model: Any) -> tuple[int, int] | None:
    """Height and width of the one image that an IR of ours takes; None: any."""
    shape = model.input("input").partial_shape
    return tuple(shape.to_shape()[1:3]) if shape.is_static else None


def wrong_size(fixed: tuple[int, int], height: int, width: int, where: str) -> UserError:
    """What to say where a model of one size was given an image of another."""
    fits, got = ("{}x{}".format(*size) for size in (fixed, (height, width)))
    remedy = "export the model without a size, which takes any"
    return UserError(f"an image of {fits} (height x width)", got, where, remedy)


def compile_ir(
    core: Any, model: Any, path: Path, device: str, stored: str, keep: bool = True, **options: int
) -> Any:
    """Compile an IR that was read from `path`, or take it from the compiled models that are kept.

    Args:
        core, model, device, stored, options: as `sr.runtime.openvino_runtime.compile_for` takes them.
        path: for the error.
        keep: what is compiled for the next start, where compiled models are kept at all.

    Raises:
        UserError: the device is not there, or does not take the model.
    """
    from sr.runtime.compiled_cache import cache_directory
    from sr.runtime.openvino_runtime import compile_for

    try:
        cache = cache_directory() if keep else None
        return compile_for(core, model, device, stored, cache=cache, **options)
    except RuntimeError as error:
        remedy = "export it with --size, for devices that take one size alone, or name another device"
        raise UserError(f"a model that {device} takes", _reason(error), str(path), remedy) from None


def ir_sha256(path: Path) -> str:
    """One sha256 for the two files of an IR: of the hashes of .xml and .bin, in this order."""
    return sha256_bytes(
        "".join(sha256_file(Path(path).with_suffix(end)) for end in (".xml", ".bin")).encode()
    )


def _check_channels(found: object, metadata: ModelMetadata, path: Path) -> None:
    """Make sure that a graph's "input" has the channels that its metadata says; `found` is the size of its last axis."""
    if str(found) != str(metadata.channels):
        expected = f"an image of {metadata.channels} channels as its input low ({metadata.color})"
        raise UserError(expected, f"{found}", str(path), "export the model again")


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError("a model file that can be read", _reason(error), str(path), "export the model again")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
