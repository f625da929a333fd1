"""Notice that the threads of a piece of work are stuck, say where, and end the work instead of waiting for ever.

Each thread notes what it does. When no note has come for too long, the work has got nowhere in any of its threads:
those that wait on them get an error; if the main thread does not react either, the process ends.

Two things cannot be done in Python here: run a signal handler while the main thread is inside native code, and run
anything while native code holds Python's lock. A process of its own does, see `data.processes.hang_guard`.
"""

import atexit
import contextlib
import dataclasses
import faulthandler
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from data.atomic_files import remove_open_parts
from data.errors import UserError
from data.processes import hang_guard
from data.processes.hang_guard import TICK_S, StallClock

DEFAULT_TIMEOUT_S = 300.0
LONGEST_STEPS = 10
"""Work is stuck only if it has got nowhere for this many times its longest step, too."""
JOIN_S = 5.0
"""How long threads may take to stop before they are left behind."""
_LAST_WORDS_S = 5.0
"""How long the guard may take to pass on the last signals."""
GRACE_S = 15.0
"""How long the main thread may take to react to an error or a signal before the process is ended."""
GUARD_FACTOR = 2
"""The guard waits longer: it can only kill."""
_MAX_FRAMES = 12
"""Innermost calls of a stack that are shown."""
EXIT_CODE = 30
"""Of a process that is ended here: Luigi's code for a failed task in luigi.cfg."""


@dataclasses.dataclass(frozen=True)
class _Activity:
    """What a thread does."""

    thread: str
    doing: str
    waits: bool
    """Whether it only waits for other threads."""
    since: float


class Watchdog:
    """A context manager for work in several threads; the thread that enters it must be the one that leaves it.

    Args:
        work: what is done, as the subject of a sentence: "Upscaling video.mkv".
        advice: what the user can do about a run that was ended, as sentences.
        timeout_s: the work is stuck when it has got nowhere for this long and for LONGEST_STEPS times its longest step;
            computing counts for a tenth. 0: it never is.
        grace_s: see GRACE_S.
        clock: returns the time in seconds.
        pause: waits for some seconds, at most until the work has ended; default: wait.
        end: ends the process.
    """

    def __init__(
        self,
        work: str,
        advice: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self.work, self.advice, self.timeout_s, self.grace_s = (
            work,
            advice,
            timeout_s or float("inf"),
            grace_s,
        )
        self.error: UserError | None = None
        """Set when the work is stuck."""
        self.on_stuck: list[Callable[[UserError], object]] = []
        """Called with the error, in the watchdog's thread, to wake those that wait."""
        self._now, self._end, self._left = clock, end, threading.Event()
        self._pause = pause or self._left.wait
        self._tick_s = min(TICK_S, self.timeout_s / 4, grace_s / 4)
        self._activities: dict[int, _Activity] = {}
        self._longest_s, self._has_moved = 0.0, True
        self._guard: _Guard | None = None
        self._deadline, self._signal = float("inf"), 0

    def __enter__(self) -> "Watchdog":
        self._guard = _Guard.start(GUARD_FACTOR * self.timeout_s, GUARD_FACTOR * self.grace_s, self.advice)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        if self._guard is not None:
            self._look_at_signals(self._guard.stop())

    def note(self, doing: str, waits: bool = False) -> None:
        """Note what the calling thread does from now on. Threads that only wait for others are not to blame."""
        now, key = self._now(), threading.get_ident()
        before = self._activities.get(key)
        if before is not None and not before.waits:
            self._longest_s = max(self._longest_s, now - before.since)
        self._activities[key] = _Activity(threading.current_thread().name, doing, waits, now)
        self._has_moved = True

    def check(self) -> None:
        """Raise the error if the work was stuck, even if it goes on by now.

        Raises:
            UserError: it was.
        """
        if self.error is not None:
            raise self.error

    def leave(self) -> None:
        """Note that the calling thread has nothing left to do."""
        self._activities.pop(threading.get_ident(), None)
        self._has_moved = True

    def join(self, threads: Iterable[threading.Thread]) -> None:
        """Wait for threads that were asked to stop. Those that do not are left behind: they end with the process."""
        deadline = time.monotonic() + JOIN_S
        left = []
        for thread in (one for one in threads if one.ident is not None):  # else it has not begun
            thread.join(max(0.0, deadline - time.monotonic()))
            left += [thread] if thread.is_alive() else []
        if not left:
            return
        atexit.register(self._exit_without, left)
        if self.error is None:  # otherwise it has been said already
            names = "; ".join(self._describe(thread.ident, self._now()) for thread in left)
            _say(f"{self.work}: {names}. The program does not wait for it.")

    def _watch(self) -> None:
        try:
            self._tick_until_left()
        finally:
            if self._guard is not None and not self._left.is_set():
                self._guard.kill()  # it would hear nothing more, and take the process for stuck

    def _tick_until_left(self) -> None:
        clock = StallClock(self._now(), time.process_time())
        while not self._left.is_set():
            self._pause(self._tick_s)
            if self._guard is not None:
                self._guard.tell_alive()
                self._look_at_signals(self._guard.read_signals())
            if self._has_moved:
                self._has_moved = False
                clock.moved()
            stalled_s = clock.tick(self._now(), time.process_time(), self._tick_s)
            if self._left.is_set():
                return
            if self.error is None and stalled_s > max(self.timeout_s, LONGEST_STEPS * self._longest_s):
                self._declare_stuck(stalled_s)
            if self._now() > self._deadline:
                self._end_process()
                return

    def _look_at_signals(self, received: bytes) -> None:
        for number in hang_guard.INTERRUPTS:
            if number in received and not self._signal:
                self._signal, self._deadline = number, min(self._deadline, self._now() + self.grace_s)

    def _declare_stuck(self, stalled_s: float) -> None:
        """Print each thread's stack, and give the error to those that wait."""
        now, activities = self._now(), dict(self._activities)
        stuck = [key for key, one in activities.items() if not one.waits] or list(activities)
        named = "; ".join(self._describe(key, now) for key in stuck)
        message = f"{self.work} is stuck: nothing has moved for {stalled_s:.0f} s; {named}"
        _say("\n".join([message, *self._stacks([*stuck, *(key for key in activities if key not in stuck)])]))
        self.error = UserError(message, self.advice)
        self._deadline = min(self._deadline, now + self.grace_s)
        for wake in self.on_stuck:
            wake(self.error)

    def _describe(self, key: int | None, now: float) -> str:
        one = self._activities.get(key or 0)
        return (
            f"the thread {one.thread!r} has been {one.doing} for {now - one.since:.0f} s"
            if one
            else "a thread"
        )

    def _stacks(self, keys: Iterable[int | None]) -> list[str]:
        """Return the Python stack of each thread, as lines."""
        frames, lines = sys._current_frames(), []
        for key in keys:
            one = self._activities.get(key or 0)
            if one is None:
                continue
            lines.append(f'Thread "{one.thread}", {one.doing} (most recent call last):')
            lines += (
                traceback.format_stack(frames[key])[-_MAX_FRAMES:] if key in frames else ["  (it has ended)"]
            )
        return [line.rstrip("\n") for line in lines]

    def _end_process(self) -> None:
        """End the process, because the main thread has not reacted."""
        key = threading.main_thread().ident
        why = f"after {signal.Signals(self._signal).name}" if self._signal else "after this"
        text = f"{self.work}: {self._describe(key, self._now())}, and did not stop {why} within {self.grace_s:g} s."
        _say("\n".join([text, *self._stacks([key] if key in self._activities else [])]))
        _end_now(f"{self.work} is ended here. {self.advice}", self._exit_code(), self._end)

    def _exit_without(self, threads: list[threading.Thread]) -> None:
        """End the process if a thread is still inside native code, whose libraries are about to be unloaded."""
        left = [thread.name for thread in threads if thread.is_alive()]
        if left:
            _end_now(f"Ended without waiting for the thread {', '.join(left)}.", self._exit_code(), self._end)

    def _exit_code(self) -> int:
        return 128 + self._signal if self._signal else EXIT_CODE


class _Guard:
    """The process that kills this one when no Python code can run in it, see `data.processes.hang_guard`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._wakeup = signal.set_wakeup_fd(self._stdin.fileno(), warn_on_full_buffer=False)
        faulthandler.register(hang_guard.DUMP_SIGNAL, sys.__stderr__ or 2, all_threads=True)

    @staticmethod
    def start(timeout_s: float, grace_s: float, advice: str) -> "_Guard | None":
        """Start a guard; None where no process can be started."""
        command = [sys.executable, "-I", "-S", str(Path(hang_guard.__file__)), str(os.getpid())]
        command += [str(timeout_s), str(grace_s), advice]
        try:
            return _Guard(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
                )
            )
        except OSError as error:
            _say(f"No watchdog process could be started, so that Ctrl+C may not end a stuck run: {error}")
            return None

    def tell_alive(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.write(self._stdin.fileno(), hang_guard.ALIVE)

    def read_signals(self) -> bytes:
        """Return the numbers of the signals that came since the last call."""
        with contextlib.suppress(OSError, ValueError):
            return os.read(self._stdout.fileno(), 4096)
        return b""

    def kill(self) -> None:
        """End the guard in the middle of the work."""
        self._process.kill()

    def stop(self) -> bytes:
        """End the guard; return the numbers of the signals that came since the last call of `read_signals`."""
        if self._is_main:
            signal.set_wakeup_fd(self._wakeup)
        faulthandler.unregister(hang_guard.DUMP_SIGNAL)
        self._stdin.close()
        received, deadline = b"", time.monotonic() + _LAST_WORDS_S
        while _is_readable(self._stdout, max(0.0, deadline - time.monotonic())):
            content = self.read_signals()
            received += content
            if not content:
                break
        self._process.kill()
        self._process.wait()
        self._stdout.close()
        return received


def _is_readable(pipe: IO[bytes], timeout_s: float) -> bool:
    """Wait for bytes or the end of a pipe. Unlike select(), poll() takes file descriptors of 1024 and more."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _end_now(text: str, code: int, end: Callable[[int], object]) -> None:
    """Delete the files that are being written, and end the process."""
    remove_open_parts()
    _say(text)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    end(code)


def _say(text: str) -> None:
    """Print to standard error, unless that blocks: the main thread may be stuck while it prints."""
    printer = threading.Thread(
        target=print, args=(text,), kwargs={"file": sys.stderr, "flush": True}, daemon=True
    )
    try:
        printer.start()
    except RuntimeError:  # Python is ending
        print(text, file=sys.stderr, flush=True)
    else:
        printer.join(2.0)
