"""Run a program so that none of its processes outlives this supervisor or the supervisor's parent.

Started as `python -I supervise.py LOCK COMMAND…`, with standard input a pipe that only the parent holds open.
It uses the standard library alone, so that it starts within milliseconds.

- When the pipe closes or the parent process changes, the parent is dead, however it died: all processes below the
  supervisor are killed at once.
- SIGTERM and SIGINT are passed on as SIGTERM to the program's process group, which then has GRACE_S to save and exit.
- The supervisor is a subreaper (Linux): it adopts every orphan below it, so processes are found even after a launcher
  dies before its ranks, or if they started sessions of their own.
- It holds LOCK while it lives, so two programs never work in one place.
  `data.processes.parent_death.die_with_supervisor` kills a process when the lock is released, in case the supervisor
  itself is killed.

The exit status is the program's, or 128 + the number of the signal that ended it.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import sys
import time
from pathlib import Path

GRACE_S = 30.0
"""Time to exit after a signal that was passed on."""
LOCK_WAIT_S = 20.0
"""How long to wait for an earlier supervisor of the same place to exit."""
LOCK_VARIABLE = "SUPERVISOR_LOCK"
"""Environment variable with the path of the lock, for the processes below the supervisor."""
EXIT_LOCKED = 75
"""Exit status if another supervisor holds the lock, or it can't be taken."""
_POLL_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36
_FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def supervise(lock_path: Path, command: list[str]) -> int:
    """Run `command` in a session of its own until it or the parent ends; return its exit status.

    Args:
        lock_path: the lock to hold meanwhile; the file is created if needed.
        command: the program and its arguments.
    """
    parent = os.getppid()
    try:
        lock = take_lock(lock_path)
    except OSError as error:
        print(f"The lock can't be taken: {error}", file=sys.stderr)
        return EXIT_LOCKED
    if lock is None:
        return EXIT_LOCKED
    _become_subreaper()
    wakeup = _listen_to_signals()
    environment = os.environ | {LOCK_VARIABLE: str(lock_path)}
    empty_stdin = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    program = os.posix_spawnp(
        command[0],
        command,
        environment,
        file_actions=[empty_stdin],
        setsid=True,
        setsigmask=(),
        setsigdef=_FORWARDED_SIGNALS,
    )
    try:
        return _watch(program, parent, wakeup)
    finally:
        _kill_everything(program)
        os.close(lock)


def _watch(program: int, parent: int, wakeup: int) -> int:
    """Wait until the program or the parent ends, or until the grace period after a signal is over."""
    deadline = None
    status = None
    while True:
        status = _reap(program, status)
        if status is not None and (deadline is None or not descendants()):
            return status
        if deadline is not None and time.monotonic() > deadline:
            return 128 + signal.SIGKILL if status is None else status
        ready, _, _ = select.select([0, wakeup], [], [], _POLL_S)
        if (0 in ready and not os.read(0, 4096)) or os.getppid() != parent:
            return 128 + signal.SIGKILL
        if wakeup in ready and any(number in _FORWARDED_SIGNALS for number in os.read(wakeup, 4096)):
            deadline = deadline or time.monotonic() + GRACE_S
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program, signal.SIGTERM)


def _reap(program: int, status: int | None) -> int | None:
    """Reap all dead children; return the program's exit status once it is known."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == program:
                code = os.waitstatus_to_exitcode(ended[1])
                status = code if code >= 0 else 128 - code
    return status


def descendants() -> list[int]:
    """Return the ids of all live processes below this one; none on systems without /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state ppid …; the name may contain spaces and brackets.
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(entry.parent.name))
    found, stack = [], [os.getpid()]
    while stack:
        below = children.get(stack.pop(), [])
        found += below
        stack += below
    return found


def _kill_everything(program: int) -> None:
    """Kill the program's group and all descendants until none is left; new orphans are found in the next round."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program, signal.SIGKILL)
    while below := descendants():
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(program, None)
        # All are dying. There is no event for "all gone" short of waiting for each, including adopted ones.
        time.sleep(0.005)
    _reap(program, None)


def take_lock(path: Path) -> int | None:
    """Lock the file at `path`.

    Returns:
        A descriptor that holds the lock until it is closed; None if another process holds it for LOCK_WAIT_S.

    Raises:
        OSError: it can't be made, or its file system has no locks; with the path.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                return None
            time.sleep(0.05)
        except OSError as error:
            os.close(handle)
            raise OSError(error.errno, error.strerror, str(path)) from None


def _become_subreaper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _listen_to_signals() -> int:
    """Return the read end of a pipe that receives one byte per signal: the signal's number."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    for number in (*_FORWARDED_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2:]))
