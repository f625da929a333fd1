"""The processes of a training: joins them, and exchanges numbers between them without a GPU waiting."""

import datetime
import os
from dataclasses import dataclass

import deepspeed
import deepspeed.ops
import torch

from data.cpu_count import usable_cores

TIMEOUT = datetime.timedelta(minutes=10)
"""How long a rank waits for the others in an exchange, and so the longest work of one rank alone. Heartbeats find dead
ranks within a minute; this is for one that lives and does not come."""


@dataclass(frozen=True)
class Rank:
    """This process among those of the run."""

    number: int
    """0 to `world_size` - 1."""
    world_size: int
    device: torch.device
    """Where this process computes."""
    local_number: int = 0
    """Its number among the processes of its host."""
    processes_here: int = 1
    """Number of processes of its host."""
    group: torch.distributed.ProcessGroup | None = None
    """Exchanges numbers in memory; None: the default group does."""

    @property
    def cores(self) -> int:
        """The CPU cores of its host for each of its processes."""
        return max(1, usable_cores() // self.processes_here)

    def share(self, items: int) -> slice:
        """Return this rank's share of `items` in a row; the shares are equal where the ranks divide the number."""
        first, end = (items * one // self.world_size for one in (self.number, self.number + 1))
        return slice(first, end)

    def sum(self, values: list[float]) -> list[float]:
        """Add up each value over all ranks, in double precision; every rank gets the sums."""
        return self._reduce(values, torch.distributed.ReduceOp.SUM)

    def maximum(self, values: list[float]) -> list[float]:
        """Return the largest of each value over all ranks, on every rank."""
        return self._reduce(values, torch.distributed.ReduceOp.MAX)

    def wait_for_all(self) -> None:
        """Return when every rank has called this."""
        self.sum([0.0])

    def _reduce(self, values: list[float], how: torch.distributed.ReduceOp.RedOpType) -> list[float]:
        if self.world_size == 1:
            return values
        together = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(together, how, self.group)
        reduced: list[float] = together.tolist()
        return reduced


def start_ranks() -> Rank:
    """Join the other ranks; return this one. The environment says where, as torchrun does."""
    on_gpu = os.environ.get("DS_ACCELERATOR") != "cpu" and torch.cuda.is_available()
    # DeepSpeed would compile a shared-memory reduction here, for half a minute. Only inference calls it.
    vars(deepspeed.ops)["__compatible_ops__"] = {}
    local_number = int(os.environ["LOCAL_RANK"])
    device = torch.device("cpu")
    if on_gpu:
        # Slurm may show each rank its own GPU alone.
        device = torch.device("cuda", local_number % torch.cuda.device_count())
        torch.cuda.set_device(device)
        # Patches have few sizes, so trying each convolution's algorithms once pays.
        torch.backends.cudnn.benchmark = True
    deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo", verbose=False, timeout=TIMEOUT)
    number, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    group = (
        torch.distributed.new_group(backend="gloo", timeout=TIMEOUT) if on_gpu and world_size > 1 else None
    )
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
    return Rank(number, world_size, device, local_number, here, group)
