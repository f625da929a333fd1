"""Decide how many ranks there are and where they run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.cpu_count import usable_cores
from data.errors import UserError
from data.user_paths import expand_home
from sr.distributed.gpus import find_usable_gpus


@dataclass(frozen=True)
class Team:
    """The ranks of a run."""

    world_size: int
    gpus: tuple[int, ...] = ()
    """Numbers of the GPUs that ranks of this host may use; empty on a CPU."""
    hostfile: Path | None = None
    """DeepSpeed's list of hosts and their devices; None: all ranks are on this host."""

    @property
    def cores(self) -> int:
        """The CPU cores of this host for each of its ranks, for its network on a CPU, and for its decoders."""
        ranks_here = max(1, len(self.gpus)) if self.hostfile else self.world_size
        return max(1, usable_cores() // ranks_here)


def plan_team(world_size: int, hostfile: str, shared: int, say: Callable[[str], object]) -> Team:
    """Return the ranks of a run.

    Args:
        world_size: number of ranks; 0: one for each GPU, as many as share the work evenly; one on a CPU.
        hostfile: path of DeepSpeed's list of hosts; empty: this host alone.
        shared: number of items that the ranks share evenly.
        say: called with a line if GPUs stay idle.

    Raises:
        UserError: there are GPUs, but not one for each rank; or the hostfile does not exist.
    """
    gpus = find_usable_gpus()
    if hostfile:
        return Team(world_size or choose_world_size(shared, len(gpus)), tuple(gpus), _find_hostfile(hostfile))
    chosen = world_size or choose_world_size(shared, len(gpus))
    if gpus and chosen > len(gpus):
        message = (
            f"[training] world_size is {chosen}, but there can be at most {len(gpus)} ranks, one per GPU"
        )
        raise UserError(message, "Lower it, or set CUDA_VISIBLE_DEVICES to nothing to train on the CPU")
    if not world_size and chosen < len(gpus):
        say(f"{chosen} of {len(gpus)} GPUs train: more cannot share a batch of {shared} evenly.")
    return Team(chosen, tuple(gpus[:chosen]))


def choose_world_size(shared: int, gpus: int) -> int:
    """Return the largest number of ranks, at most one per GPU, that share a number of items evenly.

    Without a GPU it is 1.
    """
    return max(number for number in range(1, max(1, gpus) + 1) if shared % number == 0)


def _find_hostfile(name: str) -> Path:
    """Return the path of a list of hosts.

    Raises:
        UserError: it does not exist.
    """
    path = expand_home(name).resolve()
    if not path.is_file():
        message = f"The hostfile {name} does not exist"
        hint = (
            "Give the path of a file with lines such as: node1 slots=8. Without one, this host trains alone"
        )
        raise UserError(message, hint)
    return path
