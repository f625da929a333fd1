"""Stand-ins for packages that a machine may lack, for measurements of training: DeepSpeed's engine, and PyAV.

Importing this module lets those that are missing be imported. DeepSpeed's engine is replaced by the same step in plain
torch, for one device; tests/sr/training/test_plain_deepspeed.py compares the two. PyAV is only needed where LR images
are degraded by video codecs: its stand-in can be imported, and nothing else.
"""

import importlib.util
import sys
import types
from typing import Any

import torch

AV_MODULES = (
    "av",
    "av.packet",
    "av.video",
    "av.video.codeccontext",
    "av.video.stream",
    "av.container",
    "av.error",
)


class PlainEngine:
    """What `sr.training.engine` uses of DeepSpeed's engine."""

    def __init__(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, config: dict[str, Any]
    ) -> None:
        autocast = config["torch_autocast"]
        self.module, self._optimizer = model, optimizer
        self._autocast = getattr(torch, autocast["dtype"]) if autocast["enabled"] else None
        self._accumulation, self._passes = config["gradient_accumulation_steps"], 0
        self.enable_backward_allreduce = False
        device = next(model.parameters()).device.type
        self.torch_autocast_z0_gradscaler = (
            torch.amp.GradScaler(device) if self._autocast == torch.float16 else None
        )

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """Run the module under autocast."""
        device = inputs[0].device.type
        with torch.autocast(device, self._autocast or torch.bfloat16, enabled=self._autocast is not None):
            return self.module(*inputs)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a micro-batch."""
        scaler, loss = self.torch_autocast_z0_gradscaler, loss / self._accumulation
        (scaler.scale(loss) if scaler else loss).backward()

    def step(self) -> None:
        """Update the weights after the last micro-batch of a step."""
        self._passes += 1
        if self._passes % self._accumulation:
            return
        if scaler := self.torch_autocast_z0_gradscaler:
            scaler.step(self._optimizer)
            scaler.update()
        else:
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def initialize(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, config: dict[str, Any]
) -> tuple[PlainEngine, None]:
    """Return the engine, as `deepspeed.initialize` does, first of several."""
    return PlainEngine(model, optimizer, config), None


def fill_gaps() -> list[str]:
    """Let the packages that are missing be imported; return their names."""
    missing = [name for name in ("deepspeed", "av") if not _is_installed(name)]
    if "deepspeed" in missing:
        package = types.ModuleType("deepspeed")
        package.initialize = initialize  # type: ignore[attr-defined]
        package.ops = types.ModuleType("deepspeed.ops")  # type: ignore[attr-defined]
        sys.modules |= {"deepspeed": package, "deepspeed.ops": package.ops}
    if "av" in missing:
        sys.modules |= {name: _Importable(name) for name in AV_MODULES}
    return missing


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # sys.modules marks it as absent
        return False


class _Importable(types.ModuleType):
    """A module that has every name; what it stands for cannot be used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


MISSING = fill_gaps()
"""The packages that are replaced in this process."""
