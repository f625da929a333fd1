"""Finds the NVIDIA GPUs that training may use, without loading torch or CUDA, which takes seconds.

It opens no device and leaves their visibility as it is.
"""

import importlib.util
import os
import runpy
from collections.abc import Mapping
from pathlib import Path

from data.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that selects GPUs."""
_DEVICES = Path("/dev")
_WSL_DRIVER = Path("/usr/lib/wsl/lib/libcuda.so.1")
"""The driver under Windows, which has one device file (dxg) for all GPUs."""


def find_usable_gpus(environment: Mapping[str, str] = os.environ) -> list[int]:
    """Return the numbers of the GPUs that the installed torch can use and CUDA_VISIBLE_DEVICES allows, in its order.

    Raises:
        UserError: the variable names GPUs by UUID, which cannot be counted without CUDA.
    """
    if environment.get("DS_ACCELERATOR") == "cpu":  # DeepSpeed's own switch to ignore them
        return []
    present = _count_gpus() if _torch_has_cuda() else 0
    visible = environment.get(VISIBLE)
    if visible is None:
        return list(range(present))
    numbers: list[int] = []
    for word in (part.strip() for part in visible.split(",")):
        if word.upper().startswith(("GPU-", "MIG-")):
            message = f"The environment variable {VISIBLE} names a GPU by its UUID, {word!r}"
            raise UserError(message, "Name GPUs by their numbers, as nvidia-smi lists them")
        # As in CUDA: an invalid number, such as -1, hides itself and all after it.
        if not word.isdecimal() or int(word) >= present:
            break
        if int(word) in numbers:
            return []
        numbers.append(int(word))
    return numbers


def _count_gpus() -> int:
    if files := list(_DEVICES.glob("nvidia[0-9]*")):
        return len(files)
    return int((_DEVICES / "dxg").exists() and _WSL_DRIVER.exists())


def _torch_has_cuda() -> bool:
    """Return whether the installed torch was built for CUDA; its version.py says so, and loads nothing."""
    torch = importlib.util.find_spec("torch")
    version = Path(torch.origin).with_name("version.py") if torch and torch.origin else None
    return version is not None and bool(runpy.run_path(str(version)).get("cuda"))
