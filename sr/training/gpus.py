"""Which NVIDIA GPUs a training may use: found without loading torch or CUDA, which take seconds.

It opens no device, and changes nothing about who sees which.
"""

import importlib.util
import os
import runpy
from pathlib import Path

from data.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable by which people choose GPUs."""
_DEVICES = Path("/dev")
_WSL_DRIVER = Path("/usr/lib/wsl/lib/libcuda.so.1")
"""The driver under Windows, which has one device file (dxg) for all GPUs."""


def usable_gpus() -> list[int]:
    """The numbers of the GPUs that this torch can compute on and that CUDA_VISIBLE_DEVICES leaves, in its order.

    Raises:
        UserError: it names them by UUID, which DeepSpeed's launcher does not take.
    """
    if os.environ.get("DS_ACCELERATOR") == "cpu":  # so DeepSpeed is told to leave them alone
        return []
    present = _present() if _torch_has_cuda() else 0
    named = os.environ.get(VISIBLE)
    if named is None:
        return list(range(present))
    numbers: list[int] = []
    for word in (part.strip() for part in named.split(",")):
        if word.upper().startswith(("GPU-", "MIG-")):
            remedy = "write numbers, as nvidia-smi lists them"
            raise UserError("GPUs by their numbers", repr(word), f"the environment's {VISIBLE}", remedy)
        # As CUDA reads it: a number that is none, such as -1, hides itself and all after it.
        if not word.isdecimal() or int(word) >= present:
            break
        if int(word) in numbers:
            return []
        numbers.append(int(word))
    return numbers


def _present() -> int:
    if files := list(_DEVICES.glob("nvidia[0-9]*")):
        return len(files)
    return int((_DEVICES / "dxg").exists() and _WSL_DRIVER.exists())


def _torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA: its version.py says so, and loads nothing."""
    torch = importlib.util.find_spec("torch")
    version = Path(torch.origin).with_name("version.py") if torch and torch.origin else None
    return version is not None and bool(runpy.run_path(str(version)).get("cuda"))
