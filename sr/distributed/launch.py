"""Starts the ranks of a program, and ensures that they never outlive the process that started them.

It loads neither torch nor DeepSpeed: the ranks run in other processes, which report through files.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import sr
from data.errors import UserError
from data.processes import supervise
from sr.distributed.gpus import VISIBLE
from sr.distributed.network import find_free_port
from sr.distributed.rank_errors import clear_errors, read_first_error
from sr.distributed.run_files import LOCK, LOG
from sr.distributed.team import Team

POLL_EVERY_S = 0.5
LOG_TAIL_LINES = 12


@dataclass(frozen=True)
class Program:
    """What every rank runs."""

    module: str
    """Each rank runs `python -m MODULE RUN_DIR`."""
    run_dir: Path
    """Where the ranks work; it has a folder `run`."""
    result: Path
    """The file that rank 0 writes last. What ranks do afterward (unloading their libraries, for seconds) is not waited
    for."""


def launch(program: Program, team: Team, look: Callable[[], object]) -> None:
    """Run a program on all ranks, to its end.

    If this process dies, even by SIGKILL, all ranks die with it. On SIGTERM or Ctrl+C they save first.

    Args:
        program: what they run.
        team: which ranks there are.
        look: called again and again meanwhile.

    Raises:
        UserError: the program ended without its result.
    """
    clear_errors(program.run_dir)
    command = [*_launcher(team), "--module", "--no_local_rank", program.module, str(program.run_dir)]
    status, interruption = run_supervised(command, _environment(team), program, look)
    if interruption is not None:
        raise interruption
    if not program.result.is_file():
        raise _failure(program, status)


def _launcher(team: Team) -> list[str]:
    """Return the launcher's part of the command."""
    if team.hostfile:
        # A hostfile says the number of devices of each host.
        where = ["--hostfile", str(team.hostfile)]
    elif team.gpus:
        where = ["--include", f"localhost:{','.join(map(str, team.gpus))}"]
    else:
        where = ["--num_accelerators", str(team.world_size)]
    return [sys.executable, "-m", "deepspeed.launcher.runner", *where, "--master_port", str(find_free_port())]


def _environment(team: Team) -> dict[str, str]:
    root = str(Path(sr.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    environment.setdefault("OMP_NUM_THREADS", str(team.cores))
    if team.gpus:
        # The command names them; the launcher would only count those that the variable shows.
        environment.pop(VISIBLE, None)
    else:
        environment |= {"DS_ACCELERATOR": "cpu"}
    return environment


def run_supervised(
    command: list[str], environment: dict[str, str], program: Program, look: Callable[[], object]
) -> tuple[int, BaseException | None]:
    """Run a command that starts ranks, under supervision.

    Returns:
        Its exit status, and the exception that interrupted this process meanwhile, if any.
    """
    run_dir = program.run_dir
    supervised = [sys.executable, "-I", supervise.__file__, str(run_dir / LOCK), *command]
    interruption: BaseException | None = None
    with open(run_dir / LOG, "ab") as log, _raise_on_sigterm():
        process = subprocess.Popen(
            supervised, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None and not program.result.is_file():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_EVERY_S)
                look()
        except (KeyboardInterrupt, SystemExit) as error:
            interruption = error
            process.terminate()
            process.wait()
        finally:
            # A closed pipe is the signal for the supervisor to end everything, whatever went wrong here.
            if process.stdin is not None:
                process.stdin.close()
            process.wait()
    return process.returncode, interruption


@contextlib.contextmanager
def _raise_on_sigterm() -> Iterator[None]:
    """Have SIGTERM raise an exception while the block runs, so that the ranks can save, as after Ctrl+C.

    An existing handler decides which exception; by default it is SystemExit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        if callable(before):
            before(number, frame)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failure(program: Program, status: int) -> UserError:
    """Return the error that a rank recorded, or else one with the end of the log."""
    if error := read_first_error(program.run_dir):
        return error
    log = program.run_dir / LOG
    tail = " | ".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    message = f"The training ended with exit status {status} and wrote no {program.result.name}"
    return UserError(message, f"See the log {log}, which ends: {tail}")
