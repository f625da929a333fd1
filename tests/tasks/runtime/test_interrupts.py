"""Ctrl+C and SIGTERM when the work of a run is over."""

import os
import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal
from tasks.runtime.interrupts import interruptible, leave_at_once
from tasks.runtime.progress_board import run_board

number = signal.Signals(int(os.environ["NUMBER"]))
with interruptible(run_board()):
    pass
os.kill(os.getpid(), number)
print("tidied up", flush=True)
leave_at_once()
os.kill(os.getpid(), number)
print("not reached", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_after_the_work_neither_prints_a_traceback_nor_stops_the_tidying_up(number):
    environment = os.environ | {"NUMBER": str(int(number))}
    ended = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "tidied up\n", "")
