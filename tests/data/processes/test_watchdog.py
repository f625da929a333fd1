"""A stuck thread is named, and the run ends: with an error, after Ctrl+C, and when no Python code can run any more."""

import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from process_trees import wait_until

from data.errors import UserError
from data.processes.hang_guard import StallClock
from data.processes.watchdog import LONGEST_STEPS, Watchdog, _is_readable

REPOSITORY = Path(__file__).parents[3]


class Ticks:
    """A clock that a test moves, and a pause that lasts until it does."""

    def __init__(self) -> None:
        self.now, self.may_run = 0.0, threading.Event()

    def pause(self, seconds: float) -> None:
        """Let time pass once the test has allowed it."""
        self.may_run.wait()
        self.now += seconds


class Never(threading.Event):
    """An event that says when a thread waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_awaited = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """Say so, and wait."""
        self.is_awaited.set()
        return super().wait(timeout)


def test_only_time_without_progress_counts_and_computing_counts_for_a_tenth():
    clock = StallClock(0.0, 0.0)
    assert [clock.tick(now, 0.0) for now in (1.0, 2.0)] == [1.0, 2.0]
    assert clock.tick(3.0, 0.9) == pytest.approx(2.1), "computing"
    assert clock.tick(1003.0, 0.9) == pytest.approx(7.1), "the computer slept, or the process was stopped"
    clock.moved()
    assert clock.tick(1004.0, 0.9) == 1.0


def stuck_work(longest_s: float) -> tuple[Watchdog, Ticks, list[str]]:
    """Run work of which one thread sticks after a step of `longest_s`, until the error is there."""
    ticks, never = Ticks(), Never()
    watchdog = Watchdog(
        "Upscaling video.mkv", "Run it again.", 300, clock=lambda: ticks.now, pause=ticks.pause
    )
    errors: list[str] = []

    def sticks_here() -> None:
        watchdog.note("upscaling frame 1")
        ticks.now += longest_s
        watchdog.note("upscaling frame 2")
        never.wait()

    with watchdog:
        raised = threading.Event()

        def stop_time(error: UserError) -> None:
            ticks.may_run.clear()
            errors.append(str(error))
            raised.set()

        watchdog.on_stuck.append(stop_time)
        thread = threading.Thread(target=sticks_here, name="upscale 1", daemon=True)
        thread.start()
        watchdog.note("waiting for an upscaled frame", waits=True)
        never.is_awaited.wait()
        ticks.may_run.set()
        assert raised.wait(60)
        with pytest.raises(UserError, match="is stuck"):
            watchdog.check()
        never.set()
        watchdog.join([thread])
    ticks.may_run.set()  # the watchdog's thread ends
    return watchdog, ticks, errors


def test_the_error_names_the_thread_that_does_not_wait_and_its_stack_is_printed(capfd):
    _, ticks, errors = stuck_work(1)
    assert re.fullmatch(
        r"Upscaling video.mkv is stuck: nothing has moved for 30\d s;"
        r" the thread 'upscale 1' has been upscaling frame 2 for 30\d s. Run it again.",
        *errors,
    )
    assert 300 < ticks.now < 310
    printed = capfd.readouterr().err
    assert "in sticks_here" in printed and "never.wait()" in printed
    assert 'Thread "MainThread", waiting for an upscaled frame' in printed
    assert printed.index("upscale 1") < printed.index("MainThread")


def test_a_model_whose_steps_are_long_has_more_time():
    _, ticks, _ = stuck_work(200)
    assert LONGEST_STEPS * 200 < ticks.now < LONGEST_STEPS * 200 + 210


def run_stuck(how: str, folder: Path, timeout_s: float, number: int = 0) -> tuple[int, str]:
    """Run stuck.py, send it a signal once it is stuck, and return its exit code and its errors."""
    command = [sys.executable, str(Path(__file__).parent / "stuck.py"), how, str(folder), str(timeout_s)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": str(REPOSITORY)}
    )
    try:
        wait_until((folder / "begun").exists, "it to be stuck")
        if number:
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, errors


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("a thread", 30, "UserError: Upscaling video.mkv is stuck: nothing has moved for "),
        ("main thread", 30, "the thread 'MainThread' has been encoding a frame for "),
        ("holds Python's lock", -signal.SIGKILL, "because native code holds Python's lock. It is killed."),
    ],
)
def test_a_stuck_run_ends(how, code, message, tmp_path):
    returned, errors = run_stuck(how, tmp_path, 0.3)
    assert returned == code, errors
    assert message in errors and "Run it again." in errors
    assert "in stick" in errors, "the stack"
    assert [path.name for path in tmp_path.iterdir()] == ["begun"], "no half-written file"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("how", ["a thread", "main thread", "holds Python's lock"])
def test_a_signal_ends_a_stuck_run(how, number, tmp_path):
    returned, errors = run_stuck(how, tmp_path, 0, number)
    assert returned == (-signal.SIGKILL if how == "holds Python's lock" else 128 + number), errors
    assert "in stick" in errors or "the thread 'upscale 1' has been upscaling a frame for" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_the_end_of_the_second_process_is_seen_with_many_files_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    reader, writer = os.pipe()
    high = fcntl.fcntl(reader, fcntl.F_DUPFD, 1100)  # select() takes no number above 1023
    try:
        with os.fdopen(high, "rb") as pipe:
            assert not _is_readable(pipe, 0)
            os.close(writer)
            assert _is_readable(pipe, 0)
    finally:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
