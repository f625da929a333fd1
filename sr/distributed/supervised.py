"""Runs a command under supervision: its processes end with this one, however this one ends."""

import contextlib
import math
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from data.processes import supervise
from sr.distributed.run_files import LOCK, LOG

POLL_EVERY_S = 0.5
SAVE_WITHIN_S = 60.0
"""Time for ranks on other hosts to save after a signal."""


def run_supervised(
    command: list[str],
    environment: dict[str, str],
    run_dir: Path,
    look: Callable[[], bool],
    ask_to_save: Callable[[], object] | None = None,
    poll_every_s: float = POLL_EVERY_S,
) -> tuple[int, BaseException | None]:
    """Run a command to its end, or until `look` ends it. What it prints goes to the run's log.

    After SIGTERM or Ctrl+C the command may save and end.

    Args:
        command: the program and its arguments.
        environment: its variables.
        run_dir: the run's directory, with a folder `run`.
        look: called again and again; returns whether to end the command, and all below it.
        ask_to_save: asks ranks on other hosts to save; None: SIGTERM to the command's processes does it.
        poll_every_s: time between two looks.

    Returns:
        Its exit status, and the exception that interrupted this process meanwhile, if any.
    """
    supervised = [sys.executable, "-I", supervise.__file__, str(run_dir / LOCK), *command]
    interruption: BaseException | None = None
    with open(run_dir / LOG, "ab") as log, _raise_on_sigterm():
        process = subprocess.Popen(
            supervised, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            _wait(process, look, poll_every_s)
        except (KeyboardInterrupt, SystemExit) as error:
            interruption = error
            if ask_to_save:
                ask_to_save()
                _wait(process, look, poll_every_s, SAVE_WITHIN_S)
            process.terminate()
            process.wait()
        finally:
            # A closed pipe is the signal for the supervisor to end everything, whatever went wrong here.
            if process.stdin is not None:
                process.stdin.close()
            process.wait()
    return process.returncode, interruption


def _wait(
    process: subprocess.Popen[bytes], look: Callable[[], bool], every_s: float, at_most_s: float = math.inf
) -> None:
    waited_s = 0.0
    while process.poll() is None and waited_s < at_most_s:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(every_s)
        waited_s += every_s
        if look():
            return


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
