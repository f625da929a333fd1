"""Reads the tensors of .pth and .safetensors files, without running code from them.

What is no plain tensor, is not finite, or would take more memory than the file has is refused.
"""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from sr.models.model_contents import TORCH, find_content_kind, refuse_other_content

_PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that parallel and compiled wrappers add to every name, once or several times."""
WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The types that stored weights may have."""
TABLE_TYPES = (torch.int64, torch.int32, torch.uint8, torch.bool)
"""The types of tables beside the weights, such as indexes of positions in attention networks."""


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


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a .safetensors file.

    Raises:
        UserError: it is damaged, or something else.
    """
    refuse_other_content(path)
    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise_if_exhausted(error)
        message = f"{path} is not a valid .safetensors file: {error}"
        raise UserError(message, "Download or save it again") from None


def read_safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the texts in the header of a valid .safetensors file. Source: the format's own description, "Format"."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    metadata: dict[str, str] = header.get("__metadata__") or {}
    return metadata


def unwrap_weights(
    weights: dict[Any, Any], path: Path, types: tuple[torch.dtype, ...] = WEIGHT_TYPES
) -> dict[str, Tensor]:
    """Check the weights and return them under their published names.

    Args:
        weights: names to values.
        path: the file, for the error.
        types: that values may have.

    Raises:
        UserError: an entry is not a named tensor of finite numbers, or has more values than the file stores.
    """
    hint = "Choose a checkpoint that contains only weights"
    bad = [
        str(name)
        for name, value in weights.items()
        if not isinstance(name, str) or not _is_plain(value, types)
    ]
    if bad or not weights:
        names = ", ".join(str(kind).removeprefix("torch.") for kind in types)
        entries = f"{bad[:3]} are not" if bad else "there are none"
        nested = [name for name, value in weights.items() if isinstance(value, dict) and _has_tensors(value)]
        if nested:
            hint = f"Its weights may be under {nested[0]!r}: save that part alone, with torch.save"
        raise UserError(f"The weights in {path} must be named tensors of {names}, but {entries}", hint)
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


def _is_plain(value: Any, types: tuple[torch.dtype, ...]) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype in types
    )
