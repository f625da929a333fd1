"""Starts the ranks of a program, and ensures that they never outlive the process that started them.

It loads neither torch nor DeepSpeed: the ranks run in other processes, which report through files.
"""

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sr
from data.errors import UserError
from data.mounts import refresh_names
from sr.distributed.attendance import Attendance
from sr.distributed.commands import SSH, describe_start, ranks_command
from sr.distributed.earlier import wait_for_earlier_ranks
from sr.distributed.heartbeat import BEAT_EVERY_S, HeartbeatWriter
from sr.distributed.rank_errors import clear_errors, read_first_error, write_error
from sr.distributed.run_files import BEATS, HEARTBEAT, LOG, RANKS
from sr.distributed.session import SESSION_VARIABLE, Session, open_session
from sr.distributed.supervised import POLL_EVERY_S, run_supervised
from sr.distributed.team import Team

FAILED_GRACE_S = 10.0
"""Time for the other ranks to say why they fail, after the first has failed."""
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
    files: tuple[Path, ...] = ()
    """Files that every rank must find with the same content."""


def launch(
    program: Program, team: Team, look: Callable[[], object], say: Callable[[str], object] = print
) -> None:
    """Run a program on all ranks, to its end.

    If this process dies, even by SIGKILL, all ranks die with it, within a minute on other hosts. On SIGTERM or Ctrl+C
    they save first.

    Args:
        program: what they run.
        team: which ranks there are.
        look: called again and again meanwhile.
        say: called with what the user must do or know.

    Raises:
        UserError: an earlier start still runs, or the program ended without its result.
    """
    run_dir = program.run_dir
    wait_for_earlier_ranks(run_dir, say)
    clear_errors(run_dir)
    shutil.rmtree(run_dir / BEATS, ignore_errors=True)
    (run_dir / RANKS).unlink(missing_ok=True)
    session = open_session(run_dir, team, program.files)
    writer = HeartbeatWriter(
        run_dir / HEARTBEAT, session=session.id, host=session.starter, pid=session.starter_pid, wish="train"
    )
    watched = Watched(program, session, look)
    printed_before = log.stat().st_size if (log := run_dir / LOG).is_file() else 0
    try:
        if team.launcher == "torchrun":
            say(describe_start(program.module, program.run_dir, team))
        command, environment = ranks_command(program.module, run_dir, team), _environment(session)
        ask = functools.partial(writer.say, wish="save") if team.over_hosts else None
        every_s = BEAT_EVERY_S if team.over_hosts else POLL_EVERY_S
        status, interruption = run_supervised(command, environment, run_dir, watched.look, ask, every_s)
    finally:
        writer.stop(wish="end")
    if interruption is not None:
        raise interruption
    refresh_names(run_dir)
    if not program.result.is_file():
        raise _failure(program, status, printed_before)


@dataclass
class Watched:
    """A program whose ranks are looked at while they run."""

    program: Program
    session: Session
    look_at_work: Callable[[], object]
    _failing_looks: int = 0

    def __post_init__(self) -> None:
        self.attendance = Attendance(self.program.run_dir, self.session)

    def look(self) -> bool:
        """Look at the work and the ranks, once; return whether they have ended or must be ended."""
        self.look_at_work()
        self.attendance.look()
        if self.program.result.is_file():
            return True
        if not self.session.over_hosts:
            return False
        fault = read_first_error(self.program.run_dir)
        self._failing_looks += fault is not None
        if fault is None and (fault := self.attendance.find_fault()):
            write_error(self.program.run_dir, 0, fault)
            return True
        return self._failing_looks * BEAT_EVERY_S >= FAILED_GRACE_S or self.attendance.have_ended()


def _environment(session: Session) -> dict[str, str]:
    root = str(Path(sr.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    added = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        # Not the folder that a host happens to start in: it may have a folder `data`.
        "PYTHONSAFEPATH": "1",
        SESSION_VARIABLE: session.id,
        "PDSH_RCMD_TYPE": "ssh",
        "PDSH_SSH_ARGS_APPEND": " ".join(SSH[1:]),
    }
    return os.environ | added


def _failure(program: Program, status: int, printed_before: int) -> UserError:
    """Return the error that a rank recorded or printed, or else one with the end of the log."""
    log = program.run_dir / LOG
    with open(log, "rb") as file:
        file.seek(printed_before)
        printed = file.read().decode(errors="replace")
    if error := read_first_error(program.run_dir, printed):
        return error
    tail = " | ".join(printed.splitlines()[-LOG_TAIL_LINES:]) or "with nothing: see what the ranks printed"
    message = f"The training ended with exit status {status} and wrote no {program.result.name}"
    return UserError(message, f"See the log {log}, which ends: {tail}")
