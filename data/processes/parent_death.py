"""End this process when its parent or its supervisor dies, however that one dies. Linux only."""

import ctypes
import fcntl
import os
import signal
import threading

from data.processes.supervise import LOCK_VARIABLE

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, and kill it now if the parent is dead already.

    Args:
        parent: process id of the parent, read before the fork.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def die_with_supervisor() -> None:
    """Kill this process and its process group when its supervisor dies. Does nothing without a supervisor.

    The supervisor may be any ancestor (see `data.processes.supervise`), so the kernel's signal for a parent is not
    enough: a daemon thread waits for the supervisor's lock, which is released even when the supervisor is killed.
    """
    path = os.environ.get(LOCK_VARIABLE)
    if not path:
        return

    def wait_and_kill() -> None:
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait_and_kill, name="supervisor", daemon=True).start()
