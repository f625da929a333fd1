"""What a task process does before its task: it makes sure that it dies with Luigi's main process.

Luigi leaves its task processes running when it is killed. The programs that a task starts are not seen to
here: `data.processes.supervise` has them die with their task. With one worker Luigi runs tasks in its own process, where
there is nothing to do. Linux only, as DALI is.
"""

import gc
import importlib
import multiprocessing
import signal
from types import FrameType

from data.processes.parent_death import die_with_parent

_LOADED_LATE = ("numpy.ma", *(f"PIL.{kind}ImagePlugin" for kind in ("Bmp", "Gif", "Jpeg", "Png", "Ppm")))
"""What numpy (for a median) and Pillow (for its first image) load when they first need it: 20 ms in each process."""
_interrupted = False


class DiesWithParent:
    """A context manager for `[worker] task_process_context`: a task process does not outlive its parent."""

    def __init__(self, task_process: multiprocessing.Process) -> None:
        self._is_child = multiprocessing.current_process() is task_process

    def __enter__(self) -> None:
        if self._is_child:
            die_with_parent(multiprocessing.parent_process().pid)
            # The parent decides what an interrupt means and ends its tasks by SIGTERM: at once, as a task may
            # be killed anywhere. A handler, not SIG_IGN: programs that the task starts would inherit that.
            signal.signal(signal.SIGINT, _leave_to_parent)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # What was inherited is never looked at again: a collection that did would copy all of its pages,
            # which costs a short task more than its work.
            gc.freeze()

    def __exit__(self, *error: object) -> None:
        """Leave everything as it is: the process ends now."""


def prepare_to_fork() -> None:
    """Make task processes cheap to begin: to be called in the main process once everything is imported.

    They find loaded what each would load for itself, and the main process no longer looks through modules and tasks
    for garbage: that would copy the pages that it shares with them.
    """
    for name in _LOADED_LATE:
        importlib.import_module(name)
    gc.freeze()


def is_interrupted() -> bool:
    """Return whether Ctrl+C was pressed since this task process began: what fails after it is no fault."""
    return _interrupted


def _leave_to_parent(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
