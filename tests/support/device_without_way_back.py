"""A stand-in for a GPU: torch's meta device. Its tensors have shapes and no data: what waits for a value fails.

`use` makes torch take it for a device that has fused and foreach kernels. `HostWatch` lists what an operation makes on
the host or copies between host and device; memory that would be pinned is counted apart.
"""

import contextlib
import sys

import deepspeed.accelerator
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("meta")


def use(patch: pytest.MonkeyPatch) -> None:
    """Make torch and DeepSpeed train on the device until the patch ends; autocast is off there."""
    patch.setattr(type(deepspeed.accelerator.get_accelerator()), "device_name", lambda *_: DEVICE.type)
    patch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    patch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    foreach, optimizers = sys.modules["torch.utils._foreach_utils"], sys.modules["torch.optim.optimizer"]
    patch.setattr(foreach, "_get_foreach_kernels_supported_devices", lambda: [DEVICE.type])
    patch.setattr(optimizers, "_get_fused_kernels_supported_devices", lambda: [DEVICE.type])


class HostWatch(TorchDispatchMode):
    """Watches the operations of a block of code."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []
        """Operations that make a tensor on the host."""
        self.waits: list[str] = []
        """Operations that copy from the device, or to it from memory that is not pinned."""
        self.sent_bytes = 0
        """Bytes copied from pinned memory to the device."""
        self.pinned_bytes = 0
        self._pinned: set[int] = set()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        """Run an operation, and note what it does."""
        name, options = function.__name__.split(".")[0], dict(options or {})
        if name == "is_pinned":
            return arguments[0].untyped_storage().data_ptr() in self._pinned
        if name == "_pin_memory":
            return self._pin(arguments[0].clone())
        if options.pop("pin_memory", False):
            return self._pin(function(*arguments, **options))
        inputs = [one for one in tree_leaves((arguments, options)) if isinstance(one, torch.Tensor)]
        known = {one.untyped_storage().data_ptr() for one in inputs if one.device.type == "cpu"}
        try:
            result = function(*arguments, **options)
        except (RuntimeError, NotImplementedError):
            self.waits.append(name)
            raise
        results = [one for one in tree_leaves(result) if isinstance(one, torch.Tensor)]
        on_host = [one.untyped_storage().data_ptr() for one in results if one.device.type == "cpu"]
        if set(on_host) - known:
            self.made.append(name)
        if known and any(one.device == DEVICE for one in [*inputs, *results]):
            if known <= self._pinned and options.get("non_blocking"):
                self.sent_bytes += sum(one.nbytes for one in results)
            else:
                self.waits.append(name)
        return result

    def _pin(self, tensor: torch.Tensor) -> torch.Tensor:
        self._pinned.add(tensor.untyped_storage().data_ptr())
        self.pinned_bytes += tensor.nbytes
        return tensor
