"""Finished models on disk: from a run or a foreign checkpoint to model.safetensors, and back to a network.

It never runs code out of a file: checkpoints are read as tensors or refused. It never changes a weight but
for its type, to float32.
"""

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from sr.models.network import UpsamplingNetwork
from sr.models.presets import ModelDescription, describe
from sr.models.registry import build_from, recognize
from sr.training.run_files import BEST_WEIGHTS, JOB

SCHEMA = 2
_WITHOUT_COLOR_SPACE = 1
"""The version before color spaces: all its networks work in RGB."""
WEIGHTS, RECORD = "model.safetensors", "model.json"
_WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys of state dicts in checkpoints, the best first: the average beats the raw weights by 0.1 dB."""
_PREFIXES = ("module.", "_orig_mod.")
"""What parallel and compiled wrappers leave before every name, one or several of them."""
_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What weights may be stored as."""


def export_checkpoint(source: Path, out_dir: Path, license: str = "unknown") -> dict[str, Any]:
    """Write a model in the form that everything after training takes.

    Args:
        source: a run's directory (its best weights), a .pth or a .safetensors file.
        out_dir: gets model.safetensors (float32) and, last, model.json.
        license: of the weights, by its usual short name; no checkpoint tells.

    Returns:
        The content of model.json.

    Raises:
        UserError: the source is missing, cannot be read without running code, or fits no network.
    """
    weights, description, origin = _read_run(source) if source.is_dir() else _read_file(source)
    # Stored as they are judged: in float32, in the order of their names.
    stored = {name: weights[name].to(torch.float32).contiguous() for name in sorted(weights)}
    content = weights_file(stored, description)
    network = build_from(description)
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


def weights_file(weights: dict[str, Tensor], description: ModelDescription) -> bytes:
    """The bytes of a .safetensors file that also tells what shapes do not: a color space that is not RGB."""
    told = {"color_space": description.color_space} if description.color_space != "rgb" else None
    return save(weights, metadata=told)


def load_model(model_dir: Path) -> UpsamplingNetwork:
    """Build the network of a model directory, in eval mode, on the CPU, float32.

    Raises:
        UserError: a file is missing, of another version, or the weights are not those that model.json names.
    """
    record = read_json(model_dir / RECORD)
    version = record.get("schema") if isinstance(record, dict) else None
    if version not in (_WITHOUT_COLOR_SPACE, SCHEMA):
        expected = f"model.json version {_WITHOUT_COLOR_SPACE} or {SCHEMA}"
        raise UserError(expected, str(version), str(model_dir), "export it again")
    path = model_dir / WEIGHTS
    if not path.is_file() or sha256_file(path) != record.get("weights_sha256"):
        raise UserError(
            "the weights that model.json names", "none or others", str(path), "export the model again"
        )
    try:
        description = ModelDescription(
            record["architecture"],
            record["configuration"],
            tuple(record["value_range"]),
            record["preset"],
            record["color_space"] if version == SCHEMA else "rgb",
        )
        network = build_from(description)
        network.core.load_state_dict(load_file(path))
    except (
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # a field that is missing, or was changed
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            "a model.json that fits its weights", reason, str(model_dir), "export it again"
        ) from None
    return network.eval()


def _read_run(run_dir: Path) -> tuple[dict[str, Tensor], ModelDescription, dict[str, Any]]:
    path = run_dir / BEST_WEIGHTS
    if not path.is_file():
        raise UserError(
            "a run with best weights", "none", str(run_dir), "run TrainModel, or name a checkpoint file"
        )
    job = read_json(run_dir / JOB)
    origin = {
        "kind": "run",
        "name": run_dir.name,
        "sha256": sha256_file(path),
        "selection": job["selection_hash"],
    }
    return load_file(path), describe(job["preset"], job.get("color_space", "")), origin


def _read_file(path: Path) -> tuple[dict[str, Tensor], ModelDescription, dict[str, Any]]:
    readers = {".pth": read_pth, ".pt": read_pth, ".safetensors": _read_safetensors}
    if path.suffix not in readers or not path.is_file():
        found = "another kind" if path.exists() else "nothing"
        raise UserError(
            "a run's directory, a .pth or a .safetensors file", found, str(path), "name one of these"
        )
    content = readers[path.suffix](path)
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
    weights = content[wrapper] if wrapper else content
    weights = _plain_weights(weights, path)
    try:
        description = recognize(weights)
    except UserError as error:
        raise UserError(f"{path}: {error.message}", error.hint) from None
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get("color_space", description.color_space)
        description = dataclasses.replace(description, color_space=told)
    origin = {"kind": "file", "name": path.name, "sha256": sha256_file(path), "weights": wrapper or "bare"}
    return weights, description, origin


def _plain_weights(weights: dict[Any, Any], path: Path) -> dict[str, Tensor]:
    """The weights under their published names.

    Raises:
        UserError: something is no named tensor of finite numbers, or claims more values than the file holds.
    """
    remedy = "choose a checkpoint of weights alone"
    odd = [str(name) for name, value in weights.items() if not isinstance(name, str) or not _is_plain(value)]
    if odd or not weights:
        expected = f"named tensors of {', '.join(str(kind).removeprefix('torch.') for kind in _TYPES)}"
        raise UserError(expected, f"{odd[:3]} that are none", str(path), remedy)
    for name, value in weights.items():
        # A view may repeat a few stored bytes without end, and would fill the memory once it is copied.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(
                "tensors as large as what is stored", f"{name} {list(value.shape)}", str(path), remedy
            )
        if not value.isfinite().all():
            raise UserError("finite numbers", f"others in {name}", str(path), "choose another checkpoint")
    while prefix := next((one for one in _PREFIXES if all(name.startswith(one) for name in weights)), ""):
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype in _TYPES
    )


def read_pth(path: Path) -> dict[str, Any]:
    """Return what a .pth file holds, read as tensors and plain values: no code in it is run.

    Raises:
        UserError: it cannot be read so, or holds no dictionary.
    """
    try:
        _refuse_inflating(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # a file that was made to harm, or damaged, makes the reader fail in any way
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = "save its state dict alone, as plain tensors, with the program that made it"
        raise UserError(
            "a checkpoint of tensors that loads without running code", reason, str(path), remedy
        ) from None
    if not isinstance(content, dict):
        raise UserError("a state dict", type(content).__name__, str(path), "save the model's state_dict()")
    return content


def _refuse_inflating(path: Path) -> None:
    """Refuse an archive that holds more than its file: torch stores tensors as they are, and reads whatever is there.

    Raises:
        UserError: a member is compressed, or the members share bytes.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    size_bytes = sum(member.file_size for member in members)
    if (
        any(member.compress_type != zipfile.ZIP_STORED for member in members)
        or size_bytes > path.stat().st_size
    ):
        got = f"{len(members)} members of {size_bytes:,} bytes in a file of {path.stat().st_size:,}"
        raise UserError("an archive without compression", got, str(path), "save it again with torch.save")


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError("a .safetensors file", str(error), str(path), "download or save it again") from None
