"""Runs a program and sees to it that nothing below it outlives this process or its parent.

Started as `python -I supervise.py LOCK COMMAND…`, with standard input a pipe that only its parent holds open.
It uses the standard library alone, so that it is up within milliseconds. It never looks at what the program
does.

- When the pipe ends, or the parent is another one, the parent is dead, however it died: everything below is
  killed at once.
- SIGTERM and SIGINT are passed on as SIGTERM to the program's process group, which then has GRACE_S to save
  and leave.
- As a subreaper it adopts every orphan below it (Linux), so a launcher that dies before its ranks, or a
  grandchild in a session of its own, is still found.
- It holds LOCK while it lives: two programs never work in one place, and `die_with_supervisor` kills a
  process when the lock falls, which covers the death of the supervisor itself.

Its exit status is the program's, or 128 + the number of the signal that ended it.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

GRACE_S = 30.0
"""From a passed-on signal to the end of all patience: DeepSpeed's launcher gives its ranks no longer either."""
LOCK_WAIT_S = 20.0
"""How long an earlier supervisor of the same place may take to die."""
LOCK_VARIABLE = "SUPERVISOR_LOCK"
"""Environment variable that tells the processes below where the lock is."""
EXIT_LOCKED = 75
"""Exit status when another supervisor keeps the lock."""
_POLL_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)


def supervise(lock_path: Path, command: list[str]) -> int:
    """Run `command` in a session of its own until it, or the parent, ends; return its exit status."""
    parent = os.getppid()
    lock = take_lock(lock_path)
    if lock is None:
        return EXIT_LOCKED
    _become_subreaper()
    wakeup = _listen_to_signals()
    environment = os.environ | {LOCK_VARIABLE: str(lock_path)}
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    program = os.posix_spawnp(
        command[0],
        command,
        environment,
        file_actions=[nothing],
        setsid=True,
        setsigmask=(),
        setsigdef=_PASSED_ON,
    )
    try:
        return _watch(program, parent, wakeup)
    finally:
        _kill_everything(program)
        os.close(lock)


def _watch(program: int, parent: int, wakeup: int) -> int:
    """Wait for the first end: the program's, the parent's, or that of the patience after a signal."""
    deadline = None
    status = None
    while True:
        status = _reap(program, status)
        if status is not None and (deadline is None or not _descendants()):
            return status
        if deadline is not None and time.monotonic() > deadline:
            return 128 + signal.SIGKILL if status is None else status
        ready, _, _ = select.select([0, wakeup], [], [], _POLL_S)
        if (0 in ready and not os.read(0, 4096)) or os.getppid() != parent:
            return 128 + signal.SIGKILL
        if wakeup in ready and any(number in _PASSED_ON for number in os.read(wakeup, 4096)):
            deadline = deadline or time.monotonic() + GRACE_S
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program, signal.SIGTERM)


def _reap(program: int, status: int | None) -> int | None:
    """Collect all dead children; return the program's exit status once it is known."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == program:
                code = os.waitstatus_to_exitcode(ended[1])
                status = code if code >= 0 else 128 - code
    return status


def _descendants() -> list[int]:
    """Every live process below this one, on systems with /proc; else none is known."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state ppid …; the name may hold spaces and brackets.
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
    """Kill the program's group and all descendants until none is left: orphans are found in a next round."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program, signal.SIGKILL)
    while below := _descendants():
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(program, None)
        # Each is dying: there is no event for "all gone" short of waiting for every one, adopted ones
        # included.
        time.sleep(0.005)
    _reap(program, None)


def take_lock(path: Path) -> int | None:
    """Return a handle that holds the lock at `path` until it is closed; None when another keeps it for LOCK_WAIT_S."""
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


def _become_subreaper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _listen_to_signals() -> int:
    """Make signals readable: return the end of a pipe that gives a byte, the signal's number, for each."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    for number in (*_PASSED_ON, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def die_with_supervisor() -> None:
    """Have this process and its process group killed when its supervisor is; a no-op without one.

    A daemon thread waits for the supervisor's lock, which falls with it, even by SIGKILL.
    """
    path = os.environ.get(LOCK_VARIABLE)
    if not path:
        return

    def wait_and_kill() -> None:
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait_and_kill, name="supervisor", daemon=True).start()


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2:]))
