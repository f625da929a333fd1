"""Converts a training run or a checkpoint file to model.safetensors and model.json, and loads these as a network.

It never runs code from a file: checkpoints are read as tensors or refused. It changes no weight, except its type to
float32.
"""

import dataclasses
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.hashing import sha256_bytes, sha256_file
from sr.models.model_contents import TORCH, describe_folder, find_content_kind, refuse_other_content
from sr.models.network import SuperResolutionNetwork
from sr.models.presets import ModelDescription, describe
from sr.models.registry import build_network, recognize
from sr.models.run_files import BEST_WEIGHTS, JOB

SCHEMA = 3
WEIGHTS, RECORD = "model.safetensors", "model.json"
_WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys of state dicts in checkpoints, in order of preference: EMA weights beat the raw ones by 0.1 dB."""
_PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that parallel and compiled wrappers add to every name, once or several times."""
_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The types that stored weights may have."""


def export_checkpoint(source: Path, out_dir: Path, license: str = "unknown") -> dict[str, Any]:
    """Write a model in the format that evaluation and export read.

    Args:
        source: a run's directory (its best weights), a .pth or a .safetensors file.
        out_dir: gets model.safetensors (float32) and, last, model.json.
        license: of the weights, by its usual short name; no checkpoint contains it.

    Returns:
        The content of model.json.

    Raises:
        UserError: the source is missing, cannot be read without running code, or fits no network.
    """
    weights, description, origin = _read_run(source) if source.is_dir() else _read_file(source)
    # Stored as they are evaluated: in float32, sorted by name.
    stored = {name: weights[name].to(torch.float32).contiguous() for name in sorted(weights)}
    content = serialize_weights(stored, description)
    network = build_network(description)
    network.core.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    record = {
        "schema": SCHEMA,
        "preset": description.preset or description.architecture,
        "architecture": description.architecture,
        "configuration": dict(description.configuration),
        "scale": network.scale,
        "value_range": list(description.value_range),
        "color": "rgb",
        "color_space": description.color_space,
        "size_multiple": network.size_multiple,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "weights_sha256": sha256_bytes(content),
        "source": origin | {"license": license},
    }
    write_bytes(out_dir / WEIGHTS, content)
    write_json(out_dir / RECORD, record)
    return record


def serialize_weights(weights: dict[str, Tensor], description: ModelDescription) -> bytes:
    """Return the bytes of a .safetensors file; its metadata has the color space unless that is RGB."""
    metadata = {"color_space": description.color_space} if description.color_space != "rgb" else None
    return save(weights, metadata=metadata)


def load_model(model_dir: Path) -> SuperResolutionNetwork:
    """Load the network of a model directory, in eval mode, on the CPU, in float32.

    Raises:
        UserError: a file is missing or of another version, or the weights do not match model.json.
    """
    record = read_json(model_dir / RECORD)
    version = record.get("schema") if isinstance(record, dict) else None
    if version != SCHEMA:
        message = f"{model_dir / RECORD} has version {version}, but this program reads version {SCHEMA}"
        raise UserError(message, "Export the model again")
    path = model_dir / WEIGHTS
    if not path.is_file() or sha256_file(path) != record.get("weights_sha256"):
        problem = "are not those that model.json names" if path.is_file() else "do not exist"
        raise UserError(f"The model's weights {path} {problem}", "Export the model again")
    try:
        description = ModelDescription(
            record["architecture"],
            record["configuration"],
            tuple(record["value_range"]),
            record["preset"],
            record["color_space"],
        )
        network = build_network(description)
        network.core.load_state_dict(load(path.read_bytes()))
    except (LookupError, TypeError, ValueError, RuntimeError) as error:  # a missing or changed field
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        message = f"{model_dir / RECORD} does not fit its weights ({reason})"
        raise UserError(message, "Export the model again") from None
    return network.eval()


def _read_run(run_dir: Path) -> tuple[dict[str, Tensor], ModelDescription, dict[str, Any]]:
    path = run_dir / BEST_WEIGHTS
    if not path.is_file():
        if not (run_dir / JOB).is_file() and (error := describe_folder(run_dir)):
            raise error
        message = f"The training run {run_dir} has no {BEST_WEIGHTS} yet"
        raise UserError(message, "Run TrainModel, or give a checkpoint file")
    job = read_json(run_dir / JOB)
    origin = {
        "kind": "run",
        "name": run_dir.name,
        "sha256": sha256_file(path),
        "selection": job["selection_hash"],
    }
    return load(path.read_bytes()), describe(job["preset"], job.get("color_space", "")), origin


def _read_file(path: Path) -> tuple[dict[str, Tensor], ModelDescription, dict[str, Any]]:
    readers = {".pth": read_pth, ".pt": read_pth, ".safetensors": _read_safetensors}
    if path.suffix.lower() not in readers or not path.is_file():
        problem = "is not a checkpoint" if path.exists() else "does not exist"
        raise UserError(f"{path} {problem}", "Give a run's directory, a .pth or a .safetensors file")
    content = readers[path.suffix.lower()](path)
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
    weights = _unwrap_weights(content[wrapper] if wrapper else content, path)
    try:
        description = recognize(weights)
    except UserError as error:
        raise UserError(f"{path}: {error.message}", error.hint) from None
    if path.suffix.lower() == ".safetensors":
        color_space = _read_safetensors_metadata(path).get("color_space", description.color_space)
        description = dataclasses.replace(description, color_space=color_space)
    origin = {"kind": "file", "name": path.name, "sha256": sha256_file(path), "weights": wrapper or "bare"}
    return weights, description, origin


def _unwrap_weights(weights: dict[Any, Any], path: Path) -> dict[str, Tensor]:
    """Check the weights and return them under their published names.

    Raises:
        UserError: an entry is not a named tensor of finite numbers, or has more values than the file stores.
    """
    hint = "Choose a checkpoint that contains only weights"
    bad = [str(name) for name, value in weights.items() if not isinstance(name, str) or not _is_plain(value)]
    if bad or not weights:
        types = ", ".join(str(kind).removeprefix("torch.") for kind in _TYPES)
        entries = f"{bad[:3]} are not" if bad else "there are none"
        nested = [name for name, value in weights.items() if isinstance(value, dict) and _has_tensors(value)]
        if nested:
            hint = f"Its weights may be under {nested[0]!r}: save that part alone, with torch.save"
        raise UserError(f"The weights in {path} must be named tensors of {types}, but {entries}", hint)
    for name, value in weights.items():
        # A view may repeat a few stored bytes without end, and would fill the memory once it is copied.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            message = (
                f"{path} is not valid: the tensor {name} {list(value.shape)} is larger than what is stored"
            )
            raise UserError(message, hint)
        if not value.isfinite().all():
            message = f"The weights in {path} are broken: {name} contains numbers that are not finite"
            raise UserError(message, "Choose another checkpoint")
    while prefix := next((one for one in _PREFIXES if all(name.startswith(one) for name in weights)), ""):
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def _has_tensors(values: dict[Any, Any]) -> bool:
    return bool(values) and all(isinstance(value, Tensor) for value in values.values())


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype in _TYPES
    )


def read_pth(path: Path) -> dict[str, Any]:
    """Read a .pth file as tensors and plain values, without running code from it.

    Raises:
        UserError: that is not possible, or the file does not contain a dictionary.
    """
    try:
        refuse_other_content(path)
        _refuse_compression(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # a malicious or damaged file makes the reader fail in any way
        raise_if_exhausted(error)
        raise _explain_refusal(path, error) from None
    if not isinstance(content, dict):
        message = f"{path} contains a {type(content).__name__}, not a state dict"
        raise UserError(message, "Save the model's state_dict()")
    return content


def _explain_refusal(path: Path, error: Exception) -> UserError:
    """Return why torch did not load a file, in words of our own: its own advise to run the code in the file."""
    hint = (
        "In the program that wrote it, save the weights alone: torch.save(model.state_dict(), 'weights.pth')"
    )
    text = " ".join(str(error).split())
    if find_content_kind(path) is not TORCH:
        return UserError(f"{path} is damaged, or no model: it begins like none", "Download or save it again")
    if named := re.search(r"GLOBAL ([\w.]+)", text):
        return UserError(
            f"{path} holds an object of {named[1]} (a whole model or a program's settings, not only weights), and "
            "cannot be loaded without running code from it",
            hint,
        )
    if "weights_only" in text:
        return UserError(
            f"{path} is more than named tensors, and cannot be loaded without running code from it", hint
        )
    reason = text.partition(". ")[0][:200] or type(error).__name__
    return UserError(f"{path} is damaged or cut off: {reason}", "Download or save it again")


def _refuse_compression(path: Path) -> None:
    """Refuse an archive that expands to more than its file: torch stores tensors uncompressed, but reads any archive.

    Raises:
        UserError: a member is compressed, or members share bytes.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    size_bytes = sum(member.file_size for member in members)
    file_bytes = path.stat().st_size
    if any(member.compress_type != zipfile.ZIP_STORED for member in members) or size_bytes > file_bytes:
        message = (
            f"{path} must be an archive without compression, but it has {len(members)} members of {size_bytes:,} "
            f"bytes in a file of {file_bytes:,}"
        )
        raise UserError(message, "Save it again with torch.save")


def _read_safetensors(path: Path) -> dict[str, Any]:
    refuse_other_content(path)
    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise_if_exhausted(error)
        message = f"{path} is not a valid .safetensors file: {error}"
        raise UserError(message, "Download or save it again") from None


def _read_safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the texts in the header of a valid .safetensors file. Source: the format's own description, "Format"."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    metadata: dict[str, str] = header.get("__metadata__") or {}
    return metadata
