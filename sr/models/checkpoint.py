"""Converts a training run or a checkpoint file to model.safetensors and model.json, and loads these as a network.

It never runs code from a file: checkpoints are read as tensors or refused. It changes no weight, except its type to
float32.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from sr.models.checkpoint_file import (
    TABLE_TYPES,
    WEIGHT_TYPES,
    read_pth,
    read_safetensors,
    read_safetensors_metadata,
    unwrap_weights,
)
from sr.models.model_contents import describe_folder
from sr.models.network import SuperResolutionNetwork
from sr.models.presets import ModelDescription, describe
from sr.models.registry import build_network, recognize
from sr.models.run_files import BEST_WEIGHTS, JOB
from sr.models.spandrel_models import ARCHITECTURE as SPANDREL
from sr.models.spandrel_models import (
    EXTRA,
    SpandrelCore,
    build_spandrel_network,
    describe_requirements,
    find_weights,
    is_installed,
)

SCHEMA = 3
WEIGHTS, RECORD = "model.safetensors", "model.json"
_WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys of state dicts in checkpoints, in order of preference: EMA weights beat the raw ones by 0.1 dB."""


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
    stored = {name: _to_float32(weights[name]) for name in sorted(weights)}
    content = serialize_weights(stored, description)
    network = _load_weights(description, stored)
    more = describe_requirements(network.core) if isinstance(network.core, SpandrelCore) else {}
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
        **more,
    }
    write_bytes(out_dir / WEIGHTS, content)
    write_json(out_dir / RECORD, record)
    return record


def _to_float32(values: Tensor) -> Tensor:
    """Convert floats; whole numbers, as in the tables of attention networks, stay what they are."""
    return (values.to(torch.float32) if values.is_floating_point() else values).contiguous()


def _load_weights(description: ModelDescription, weights: dict[str, Tensor]) -> SuperResolutionNetwork:
    """Build a network with weights of float32.

    Raises:
        UserError: the description is unknown or not valid.
    """
    if description.architecture == SPANDREL:
        return build_spandrel_network(weights)
    network = build_network(description)
    network.core.load_state_dict(weights)
    return network


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
        network = _load_weights(description, load(path.read_bytes()))
    except (LookupError, TypeError, ValueError, RuntimeError) as error:  # a missing or changed field
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        message = f"{model_dir / RECORD} does not fit its weights ({reason})"
        raise UserError(message, "Export the model again") from None
    return network.eval()


def read_weights(path: Path) -> tuple[dict[str, Tensor], ModelDescription]:
    """Return the weights in a .pth or .safetensors file, and the network that they are of.

    Raises:
        UserError: it is missing, cannot be read without running code, or fits no network.
    """
    weights, description, _ = _read_file(path)
    return weights, description


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
    readers = {".pth": read_pth, ".pt": read_pth, ".safetensors": read_safetensors}
    if path.suffix.lower() not in readers or not path.is_file():
        problem = "is not a checkpoint" if path.exists() else "does not exist"
        raise UserError(f"{path} {problem}", "Give a run's directory, a .pth or a .safetensors file")
    content = readers[path.suffix.lower()](path)
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
    inner = content[wrapper] if wrapper else content
    try:
        weights = unwrap_weights(inner, path)
        description = recognize(weights)
    except UserError as error:
        weights, description = _recognize_other(inner, path, error)
    if path.suffix.lower() == ".safetensors":
        color_space = read_safetensors_metadata(path).get("color_space", description.color_space)
        description = dataclasses.replace(description, color_space=color_space)
    origin = {"kind": "file", "name": path.name, "sha256": sha256_file(path), "weights": wrapper or "bare"}
    return weights, description, origin


def _recognize_other(
    content: dict[Any, Any], path: Path, refusal: UserError
) -> tuple[dict[str, Tensor], ModelDescription]:
    """Recognize weights that are of no network of ours.

    Args:
        content: of the file, as far as it was unwrapped.
        path: the file, for the error.
        refusal: why it is none of ours.

    Raises:
        UserError: it is not known either, or spandrel is not installed.
    """
    message = refusal.message if str(path) in refusal.message else f"{path}: {refusal.message}"
    if not any(_is_tensor_table(one) for one in (content, *content.values())):
        raise UserError(message, refusal.hint)
    if not is_installed():
        hint = (
            f"{refusal.hint}; for some 40 other networks run: pip install 'super-resolution-factory[{EXTRA}]'"
        )
        raise UserError(message, hint)
    try:
        weights = unwrap_weights(find_weights(content), path, (*WEIGHT_TYPES, *TABLE_TYPES))
        description = build_spandrel_network(
            {name: _to_float32(value) for name, value in weights.items()}
        ).description
    except UserError as error:
        raise UserError(f"{message}. {error.message}", f"{refusal.hint}. Or: {error.hint}") from None
    return weights, description


def _is_tensor_table(content: Any) -> bool:
    return isinstance(content, dict) and any(isinstance(value, Tensor) for value in content.values())
