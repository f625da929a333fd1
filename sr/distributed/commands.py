"""The commands that start ranks: here, over ssh or pdsh, by Slurm, or by hand with torchrun."""

import os
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sr.distributed.session import SESSION_VARIABLE
from sr.distributed.team import Team

SSH = (
    "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15",
    # Ends a connection to a host that has been silent for 15 s.
    "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
)  # fmt: skip
_WAIT = "import signal; signal.pause()"


def ranks_command(
    module: str, run_dir: Path, team: Team, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """Return the command that starts the ranks of a team, and ends when they have.

    Args:
        module: what every rank runs, with the run's directory as its argument.
        run_dir: the run's directory.
        team: which ranks there are.
        environment: Slurm's variables.
    """
    if team.launcher == "here":
        return host_command(run_dir, module, "0")
    if team.launcher == "ssh":
        return [sys.executable, "-m", "sr.distributed.connections", str(run_dir), module]
    if team.launcher == "pdsh":
        names = ",".join(host.name for host in team.hosts)
        # pdsh puts the host's number for %n.
        program = remote_command(host_command(run_dir, module, "%n"))
        return ["pdsh", "-S", "-f", str(len(team.hosts)), "-w", names, program]
    if team.launcher == "srun":
        each, cores = team.hosts[0].ranks, int(environment.get("SLURM_CPUS_ON_NODE", "0"))
        spread = [f"--nodes={len(team.hosts)}", f"--ntasks-per-node={each}"]
        # A job that has one task a node for this command has all cores in that task.
        resources = [f"--cpus-per-task={max(1, cores // each)}"] if cores else []
        rank = [sys.executable, "-m", module, str(run_dir)]
        return ["srun", *spread, f"--ntasks={team.world_size}", *resources, "--kill-on-bad-exit=1", *rank]
    return [sys.executable, "-I", "-c", _WAIT]


def describe_start(module: str, run_dir: Path, team: Team) -> str:
    """Return what a person must do to start the ranks of a team with torchrun."""
    command = f"torchrun --nnodes N --nproc-per-node M --rdzv-backend c10d --rdzv-endpoint {socket.gethostname()}:29400"
    return (
        f"Waiting for {team.world_size} ranks. On each of N hosts with M ranks, N x M = {team.world_size}, run: "
        f"{command} -m {module} {shlex.quote(str(run_dir))}"
    )


def host_command(run_dir: Path, module: str, number: str) -> list[str]:
    """Return the command of a host program."""
    return [sys.executable, "-m", "sr.distributed.host_program", str(run_dir), module, number]


def remote_command(program: Sequence[str], options: Sequence[str] = ()) -> str:
    """Return a command for the shell of another host, with the variables that it needs."""
    passed = {
        name: os.environ[name]
        for name in ("PYTHONPATH", "PYTHONSAFEPATH", SESSION_VARIABLE)
        if name in os.environ
    }
    words = ["exec", "env", *(f"{name}={value}" for name, value in passed.items()), *program, *options]
    return " ".join(word if word == "%n" else shlex.quote(word) for word in words)
