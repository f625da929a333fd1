"""What every rank runs around its own work: it checks its host, meets the others, and is watched.

The program that starts it says which rank it is, by torchrun's variables (RANK, LOCAL_RANK, WORLD_SIZE,
LOCAL_WORLD_SIZE, and MASTER_ADDR with MASTER_PORT if it knows where rank 0 is), or by those of Slurm's srun.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from data.cpu_count import usable_cores
from data.errors import UserError
from data.processes.parent_death import die_with_supervisor
from data.processes.supervise import descendants
from sr.distributed.gpus import find_usable_gpus
from sr.distributed.heartbeat import BEAT_EVERY_S, SILENT_AFTER_S, HeartbeatReader, HeartbeatWriter
from sr.distributed.network import find_free_port, find_interface_to
from sr.distributed.rank_errors import StepError, on_this_host, write_error
from sr.distributed.run_files import HEARTBEAT, beat_of
from sr.distributed.session import Session, join_session

ENDED_BY_STARTER = 76
"""Exit status of a rank that ended because the process that started it is gone, or wants it."""
MASTER_WITHIN_S, LISTEN_EVERY_S = 120.0, 0.2
"""How long rank 0 is waited for, which says where it is before anything is loaded."""
OTHER_AFTER_S = 5.0
_OF_SLURM = {
    "RANK": "SLURM_PROCID",
    "LOCAL_RANK": "SLURM_LOCALID",
    "WORLD_SIZE": "SLURM_NTASKS",
}
"""torchrun's variables, and where srun has the same."""


def run_rank(run_dir: Path, work: Callable[[], object]) -> int:
    """Do this rank's work, and end with the process that started it.

    Args:
        run_dir: the run's directory, where an error is recorded.
        work: imports what loads slowly itself, so that the rank is watched before.

    Returns:
        The exit status.
    """
    die_with_supervisor()
    writer, session = None, None
    try:
        take_slurms_variables(os.environ)
        session = join_session(run_dir)
        rank = int(os.environ["RANK"])
        set_environment(session, os.environ)
        writer = HeartbeatWriter(
            run_dir / beat_of(session.id, rank),
            session=session.id,
            rank=rank,
            host=socket.gethostname(),
            pid=os.getpid(),
            device="cpu" if os.environ.get("DS_ACCELERATOR") == "cpu" else "cuda",
            state="running",
        )
        Watch(run_dir, session).start()
        meet(run_dir, session, rank, writer)
        work()
    except UserError as error:
        rank = int(os.environ.get("RANK", "0"))
        named = session is None or session.over_hosts
        write_error(
            run_dir, rank, error if isinstance(error, StepError) or not named else on_this_host(error)
        )
        return 1
    finally:
        if writer:
            writer.stop(state="ended")
    return 0


def take_slurms_variables(environment: MutableMapping[str, str]) -> None:
    """Say by torchrun's variables what srun says by its own.

    Raises:
        UserError: nothing says which rank this is.
    """
    for name, slurms in _OF_SLURM.items():
        if name not in environment and slurms in environment:
            environment[name] = environment[slurms]
    if "LOCAL_WORLD_SIZE" not in environment and "SLURM_STEP_TASKS_PER_NODE" in environment:
        # 8(x4) or 8,7: the ranks of a run are spread evenly.
        tasks = environment["SLURM_STEP_TASKS_PER_NODE"]
        environment["LOCAL_WORLD_SIZE"] = tasks.partition("(")[0].partition(",")[0]
    missing = [name for name in _OF_SLURM if name not in environment]
    if missing:
        message = f"Nothing says which rank this is: {', '.join(missing)} is not set"
        raise UserError(message, "Start ranks with torchrun or srun; sr-factory TrainModel does it by itself")


def set_environment(session: Session, environment: MutableMapping[str, str]) -> None:
    """Set what the starting process has set, and how many cores a rank has; before torch is imported.

    Raises:
        UserError: this rank was started for another number of ranks.
    """
    if int(environment["WORLD_SIZE"]) != session.world_size:
        message = f"This rank was started as one of {environment['WORLD_SIZE']}, but the run has {session.world_size}"
        raise UserError(message, "Set [training] world_size to the number of ranks that are started")
    environment.update(session.environment)
    if not find_usable_gpus(environment):
        environment["DS_ACCELERATOR"] = "cpu"
    here = int(environment.get("LOCAL_WORLD_SIZE", session.world_size))
    environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // here)))


def meet(run_dir: Path, session: Session, rank: int, writer: HeartbeatWriter) -> None:
    """Learn where rank 0 is, or say it: MASTER_ADDR and MASTER_PORT, unless the starting program has set them.

    Raises:
        UserError: rank 0 does not say it.
    """
    if session.over_hosts:
        _choose_interface(session, rank)
    if "MASTER_ADDR" in os.environ and "MASTER_PORT" in os.environ:
        return
    if rank == 0:
        master = f"{_own_address(session)}:{find_free_port()}"
        writer.say(master=master)
    else:
        master = _read_master(HeartbeatReader(run_dir / beat_of(session.id, 0)), session)
    os.environ["MASTER_ADDR"], _, os.environ["MASTER_PORT"] = master.rpartition(":")


def _own_address(session: Session) -> str:
    """Return where the other ranks reach this host."""
    if not session.over_hosts:
        return "127.0.0.1"
    named = session.hosts[0].name if session.hosts else ""
    return named or os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _read_master(reader: HeartbeatReader, session: Session) -> str:
    for _ in range(round(MASTER_WITHIN_S / LISTEN_EVERY_S)):
        reader.read()
        if reader.said.get("session") == session.id and "master" in reader.said:
            return str(reader.said["master"])
        time.sleep(LISTEN_EVERY_S)
    raise UserError(f"Rank 0 has not come within {MASTER_WITHIN_S:.0f} s", "See what it printed")


def _choose_interface(session: Session, rank: int) -> None:
    """Name the interface towards another host, where nothing else names one."""
    others = [host.name for host in session.hosts if host.name]
    if len(others) < 2:
        return
    peer = others[1] if rank < session.hosts[0].ranks else others[0]
    if interface := find_interface_to(peer):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)


@dataclass
class Watch:
    """Watches the process that started this rank, and does what it wants."""

    run_dir: Path
    session: Session
    asked: bool = False
    """Whether this rank was asked to save and end."""
    _others: int = 0
    """Looks in a row that showed another session: a store may show an old one for a moment."""

    def __post_init__(self) -> None:
        self._reader = HeartbeatReader(self.run_dir / HEARTBEAT)

    def start(self) -> None:
        """Watch from a thread of its own, where ranks may be on other hosts."""
        if self.session.over_hosts:
            threading.Thread(target=self._run, name="watch", daemon=True).start()

    def look(self) -> str:
        """Look once; return why this rank must end now, or an empty text."""
        self._reader.read()
        starter, said = self.session.starter, self._reader.said
        self._others = self._others + 1 if said and said.get("session") != self.session.id else 0
        if self._others:
            if self._others * BEAT_EVERY_S < OTHER_AFTER_S:
                return ""
            return f"host {said.get('host')} has started the training anew"
        if said.get("wish") == "end":
            return f"host {starter} has ended the training"
        if self._reader.looks_since * BEAT_EVERY_S >= SILENT_AFTER_S:
            return f"host {starter}, which started the training, has been silent for {SILENT_AFTER_S:.0f} s"
        if said.get("wish") == "save" and not self.asked:
            self.asked = True
            os.kill(os.getpid(), signal.SIGTERM)
        return ""

    def _run(self) -> None:
        while not (reason := self.look()):
            time.sleep(BEAT_EVERY_S)
        print(f"{socket.gethostname()}: this rank ends, as {reason}.", file=sys.stderr, flush=True)
        for pid in descendants():
            os.kill(pid, signal.SIGKILL)
        os._exit(ENDED_BY_STARTER)
