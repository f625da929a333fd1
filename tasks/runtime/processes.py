"""Prepare the processes of tasks: each ends with Luigi's main process, and starts cheaply.

Luigi leaves its task processes running when it is killed. Programs that a task starts are not handled here:
`data.processes.supervise` ends them with their task. With one worker Luigi runs tasks in its own process, where there
is nothing to do. Linux only, like DALI.
"""

import contextlib
import gc
import importlib
import multiprocessing
import signal
from types import FrameType

from luigi.worker import TaskProcess

from data.errors import UserError
from data.processes.parent_death import die_with_parent
from data.processes.rust_panics import limit_rust_panics
from tasks.runtime.fresh_view import refresh_view
from tasks.runtime.machine_lock import machine_for

_LOADED_LATE = ("numpy.ma", *(f"PIL.{kind}ImagePlugin" for kind in ("Bmp", "Gif", "Jpeg", "Png", "Ppm")))
"""Modules that numpy (for a median) and Pillow (for its first image) load on first use: 20 ms in each process."""
_interrupted = False


class DiesWithParent:
    """A context manager for `[worker] task_process_context`: it ends a task process when its parent ends.

    It also waits for the machine, where the task needs all of it, and looks at the store as it is by then.

    Args:
        task_process: the process, as Luigi passes it.
    """

    def __init__(self, task_process: multiprocessing.Process) -> None:
        self._is_child = multiprocessing.current_process() is task_process
        task = task_process.task if isinstance(task_process, TaskProcess) else None
        self._task = task
        self._machine = machine_for(task) if task else contextlib.nullcontext()

    def __enter__(self) -> None:
        parent = multiprocessing.parent_process()
        if self._is_child and parent is not None and parent.pid is not None:
            die_with_parent(parent.pid)
            # The parent decides what an interrupt means, and ends its tasks with SIGTERM: at once, since a task may be
            # killed at any point. A handler, not SIG_IGN: programs that the task starts would inherit that.
            signal.signal(signal.SIGINT, _leave_to_parent)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # A garbage collection would copy every inherited page, which costs a short task more than its work.
            gc.freeze()
        self._machine.__enter__()
        if self._task:
            refresh_view(self._task)

    def __exit__(self, *error: object) -> None:
        """Let other tasks have the machine."""
        self._machine.__exit__(None, None, None)


def check_semaphores() -> None:
    """Check that processes can share locks, before Luigi needs them.

    Raises:
        UserError: /dev/shm, which holds them, is missing, read-only or full.
    """
    try:
        multiprocessing.Lock()
    except OSError as error:
        raise UserError(
            f"/dev/shm, which holds the locks between processes, cannot be used: {error.strerror}",
            "Mount it writable: mount -t tmpfs tmpfs /dev/shm (docker run: --tmpfs /dev/shm)",
        ) from error


def prepare_to_fork() -> None:
    """Make task processes cheap to start, and keep them from hanging. Call it in the main process, after the imports.

    The modules that each would load for itself are loaded, and the garbage collector no longer visits what exists:
    that would copy the pages that the main process shares with its tasks.
    """
    for name in _LOADED_LATE:
        importlib.import_module(name)
    limit_rust_panics()
    gc.freeze()


def is_interrupted() -> bool:
    """Return whether Ctrl+C was pressed since this task process began: what fails after it is not an error."""
    return _interrupted


def _leave_to_parent(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
