"""Start tasks for a suite that runs hundreds of them: in a fork of this process, which has the imports done, or anew.

A fork is a process like any other to signals, files and descriptors; only its imports are done already. Where the fault
is about how a program starts, it is started anew.
"""

import atexit
import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import at_moment

from tasks import cli

_MARK = "SUPER_RESOLUTION_TASK_RUN"
_POLL_S = 0.005
_GONE_WITHIN_S = 15.0
_SHOW_STACKS = signal.SIGRTMIN + 5
_STACKS_WITHIN_S = 1.0


class TaskRun:
    """One start of `sr-factory`, in a session of its own.

    Args:
        arguments: its command line.
        log: where its output is added.
        environment: all variables.
        before: called in the forked process before the task, for what a shell would do.
        anew: None for a fork; else words in front of the command of a new program, perhaps none.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: dict[str, str],
        anew: Sequence[str] | None = None,
    ) -> None:
        value = uuid.uuid4().hex
        self._mark = f"{_MARK}={value}".encode()
        self.log, self.code = log, None
        environment = environment | {_MARK: value}
        if anew is None:
            self.pid = _fork(list(arguments), log, environment)
        else:
            command = [*anew, sys.executable, "-m", "tasks.cli", *arguments]
            with open(log, "ab") as file:
                started = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                )
            self.pid, started.returncode = started.pid, 0  # this object waits for it

    code: int | None
    """The exit code, negative for a signal; None while it runs."""

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the run has ended, or `until` says so; return whether one of both came in time."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and not until():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def send(self, number: int, to_all: bool = False) -> None:
        """Send a signal to the main process, or to its group, as a terminal does."""
        if self.poll() is None:
            (os.killpg if to_all else os.kill)(self.pid, number)

    def alive(self) -> dict[int, str]:
        """Return the command of each of its processes by pid: those with its mark or in its session."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                    marked = self._mark in (entry / "environ").read_bytes().split(b"\0")
                    if state not in "ZX" and (marked or int(session) == self.pid):
                        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        found[int(entry.name)] = command[-100:]
        return found

    def show_stacks(self) -> None:
        """Have a fork that hangs, and the forks below it, add to the log where they are; programs just end."""
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, _SHOW_STACKS)
        self.wait(_STACKS_WITHIN_S)

    def left_behind(self) -> dict[int, str]:
        """Return the processes that do not end soon after the main one."""
        deadline = time.monotonic() + _GONE_WITHIN_S
        while (left := self.alive()) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return left

    def end(self) -> None:
        """Kill all of it."""
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait(_GONE_WITHIN_S)

    def output(self) -> str:
        """Return what it printed."""
        return self.log.read_text(errors="replace")


def _fork(arguments: list[str], log: Path, environment: dict[str, str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        _become_program(log, environment)
        code = _run(arguments)
        atexit._run_exitfuncs()
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does at its end
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        _exit(code)


def _become_program(log: Path, environment: dict[str, str]) -> None:
    """Give this fork a session, standard streams and an environment of its own."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    empty = os.open(os.devnull, os.O_RDONLY)
    for number, handle in ((0, empty), (1, target), (2, target)):
        os.dup2(handle, number)
    os.close(target)
    os.close(empty)
    faulthandler.register(_SHOW_STACKS, sys.stderr, all_threads=True)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = ["sr-factory"]
    at_moment.listen()


def _run(arguments: list[str]) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else bool(end.code)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # there is one
        return -signal.SIGINT
    finally:
        if names := os.environ.get("TASK_RUN_MODULES"):
            Path(names).write_text("\n".join(sorted(sys.modules)))


def _exit(code: int) -> NoReturn:
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
