"""Choosing the device that a network in torch runs on, by the name that a user gives."""

import re
from typing import TYPE_CHECKING

from data.errors import UserError
from sr.runtime.upscaler import AUTO, CPU

if TYPE_CHECKING:
    import torch

_CUDA = re.compile(r"CUDA(:\d+)?")


def list_torch_devices() -> list[str]:
    """Return the names of the devices of this machine that torch can use: CPU, then CUDA:0 and so on."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [CPU, *(f"CUDA:{number}" for number in range(gpus))]


def choose_torch_device(name: str) -> "torch.device":
    """Find a torch device.

    Args:
        name: CPU; CUDA, or CUDA:1 for the second of several; empty or AUTO: CUDA if this machine has it, else CPU.
            Capital or small letters.

    Raises:
        UserError: it is no such name, or this machine does not have the device.
    """
    import torch

    present, wanted = list_torch_devices(), name.upper()
    if wanted in ("", AUTO):
        return torch.device("cuda" if len(present) > 1 else "cpu")
    known = wanted == CPU or _CUDA.fullmatch(wanted)
    if not known or (wanted not in present and not (wanted == "CUDA" and len(present) > 1)):
        raise UserError(
            f"A network in torch cannot run on the device {name!r} here: this machine has {', '.join(present)}",
            f"Choose one of: {', '.join(present)}; GPU and NPU are OpenVINO's, for a model that ExportOpenVINO made",
        )
    return torch.device(wanted.lower())
