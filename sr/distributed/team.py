"""Decide how many ranks there are, where they run, and who places them."""

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from data.errors import UserError
from data.user_paths import expand_home
from sr.distributed.gpus import find_usable_gpus

LAUNCHERS = ("auto", "ssh", "pdsh", "srun", "torchrun")
"""auto: ssh with a hostfile, otherwise this host alone. torchrun stands for any program that sets its variables."""


@dataclass(frozen=True)
class HostRanks:
    """A host and how many ranks it has."""

    name: str
    """As the other hosts reach it."""
    ranks: int


@dataclass(frozen=True)
class Team:
    """The ranks of a run."""

    world_size: int
    launcher: str
    """One of LAUNCHERS, or "here"."""
    hosts: tuple[HostRanks, ...] = ()
    """In the order of the ranks; empty where another program places them."""

    @property
    def over_hosts(self) -> bool:
        """Whether ranks may be on other hosts."""
        return self.launcher != "here"


def plan_team(
    launcher: str,
    world_size: int,
    hostfile: str,
    shared: int,
    say: Callable[[str], object],
    environment: Mapping[str, str] = os.environ,
) -> Team:
    """Return the ranks of a run.

    Args:
        launcher: one of LAUNCHERS.
        world_size: number of ranks; 0: one for each GPU, as many as share the work evenly; one on a CPU. A hostfile or
            Slurm says it otherwise.
        hostfile: path of the list of hosts; empty: none.
        shared: number of items that the ranks share evenly.
        say: called with a line if GPUs stay idle.
        environment: Slurm's variables.

    Raises:
        UserError: the ranks cannot be placed so.
    """
    if launcher in ("ssh", "pdsh") or (launcher == "auto" and hostfile):
        team = _by_hostfile("ssh" if launcher == "auto" else launcher, world_size, hostfile)
    elif launcher == "srun":
        team = _by_slurm(world_size, environment)
    elif launcher == "torchrun":
        if not world_size:
            message = "[training] launcher is torchrun, but nothing says how many ranks will come"
            raise UserError(message, "Set [training] world_size to nnodes times nproc-per-node")
        team = Team(world_size, launcher)
    else:
        team = _on_this_host(world_size, shared, say)
    if shared % team.world_size:
        message = f"{team.world_size} ranks cannot share a batch of {shared} pairs evenly"
        raise UserError(message, "Change [training] batch_size, or the number of ranks")
    return team


def _on_this_host(world_size: int, shared: int, say: Callable[[str], object]) -> Team:
    gpus = len(find_usable_gpus())
    chosen = world_size or choose_world_size(shared, gpus)
    if gpus and chosen > gpus:
        message = f"[training] world_size is {chosen}, but there can be at most {gpus} ranks, one per GPU"
        raise UserError(message, "Lower it, or set CUDA_VISIBLE_DEVICES to nothing to train on the CPU")
    if not world_size and chosen < gpus:
        say(f"{chosen} of {gpus} GPUs train: more cannot share a batch of {shared} evenly.")
    return Team(chosen, "here", (HostRanks(socket.gethostname(), chosen),))


def choose_world_size(shared: int, gpus: int) -> int:
    """Return the largest number of ranks, at most one per GPU, that share a number of items evenly.

    Without a GPU it is 1.
    """
    return max(number for number in range(1, max(1, gpus) + 1) if shared % number == 0)


def _by_hostfile(launcher: str, world_size: int, hostfile: str) -> Team:
    if not hostfile:
        message = f"[training] launcher is {launcher}, but hostfile is empty"
        raise UserError(message, "Give the path of a file with lines such as: node1 slots=8")
    if not shutil.which(launcher):
        raise UserError(
            f"The program {launcher} is not installed on {socket.gethostname()}", f"Install {launcher}"
        )
    hosts = read_hostfile(hostfile)
    total = sum(host.ranks for host in hosts)
    if world_size not in (0, total):
        message = f"[training] world_size is {world_size}, but {hostfile} has {total} slots"
        raise UserError(message, "Change the slots, and leave world_size at 0")
    return Team(total, launcher, hosts)


def read_hostfile(name: str) -> tuple[HostRanks, ...]:
    """Read a list of hosts, in DeepSpeed's form: lines such as `node1 slots=8`.

    Raises:
        UserError: it does not exist, or a line cannot be read.
    """
    path = expand_home(name).resolve()
    if not path.is_file():
        message = f"The hostfile {name} does not exist"
        hint = (
            "Give the path of a file with lines such as: node1 slots=8. Without one, this host trains alone"
        )
        raise UserError(message, hint)
    hosts: dict[str, int] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        key, _, slots = words[-1].partition("=")
        if len(words) != 2 or key != "slots" or not slots.isdecimal() or words[0] in hosts:
            problem = f"names {words[0]} twice" if words[0] in hosts else f"is {line.strip()!r}"
            raise UserError(f"Line {number} of {name} {problem}", "Write one line a host: node1 slots=8")
        if int(slots):
            hosts[words[0]] = int(slots)
    if not hosts:
        raise UserError(f"{name} names no host with slots", "Write one line a host: node1 slots=8")
    if len(hosts) > 1 and next(iter(hosts)) in ("localhost", "127.0.0.1"):
        message = f"{name} begins with {next(iter(hosts))}, which every other host takes for itself"
        raise UserError(message, "Write this host's name or address, as the other hosts reach it")
    return tuple(HostRanks(host, ranks) for host, ranks in hosts.items())


def _by_slurm(world_size: int, environment: Mapping[str, str]) -> Team:
    nodes = int(environment.get("SLURM_JOB_NUM_NODES", environment.get("SLURM_NNODES", "0")))
    if not nodes:
        message = "[training] launcher is srun, but this is no job of Slurm"
        raise UserError(message, "Run the command in a job, see deploy/slurm/train.sbatch")
    tasks = environment.get("SLURM_NTASKS_PER_NODE", "").partition("(")[0]
    each = len(find_usable_gpus()) or (int(tasks) if tasks.isdecimal() else 1)
    total = world_size or nodes * each
    if total % nodes:
        message = f"[training] world_size is {total}, which {nodes} nodes cannot share evenly"
        raise UserError(message, "Leave it at 0: one rank for each GPU")
    return Team(total, "srun", tuple(HostRanks("", total // nodes) for _ in range(nodes)))
