"""Ctrl+C and SIGTERM: what they mean while a run works, and that none of them ends it with a traceback."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from types import FrameType

from tasks.runtime.progress_board import Board

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interruptible(board: Board) -> Iterator[None]:
    """Treat SIGTERM like Ctrl+C: end the task processes, print a line, and exit with a code that is not 0.

    From the end of the block on both are ignored, until `leave_at_once`: the run only tidies up.
    """
    received = [signal.SIGINT]

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        _ignore()  # some press Ctrl+C twice
        for child in multiprocessing.active_children():
            child.kill()
        board.print_once(
            "Interrupted. Finished work is kept; run the same command to continue.", cause="interrupted"
        )
        raise SystemExit(128 + received[-1]) from None
    finally:
        _ignore()


def leave_at_once() -> None:
    """Let Ctrl+C and SIGTERM end this program without a word from now on: all is done, and Python only ends."""
    for number in _SIGNALS:
        signal.signal(number, lambda number, frame: os._exit(128 + number))


def _ignore() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
