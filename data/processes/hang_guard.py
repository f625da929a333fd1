"""Kill a process in which no Python code can run any more: hang_guard.py PID TIMEOUT_S GRACE_S ADVICE.

Native code that waits while it holds Python's lock stops every Python thread, the handlers of Ctrl+C and SIGTERM
included. Only another process can end that. This one is started by `data.processes.watchdog`, with pipes for standard
input and output, and uses the standard library alone, so that it starts within milliseconds.

- On standard input, a byte of 0 says that Python code runs. Any other byte is the number of a signal, as written by
  Python's wakeup descriptor, which needs no lock; it is passed on to standard output. The end of the input ends the
  guard.
- If no byte of 0 comes for TIMEOUT_S, or for GRACE_S after SIGINT or SIGTERM, the guard has the process print its
  threads' Python stacks (DUMP_SIGNAL) and kills it.
"""

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

ALIVE = b"\0"
DUMP_SIGNAL = signal.SIGUSR2
TICK_S = 1.0
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
_BUSY_SHARE = 0.1
"""A process that uses more than this share of one core is computing."""
_BUSY_WEIGHT = 0.1
"""How much a second of computing counts: a slow step may be mistaken for a hang, and a loop may never end."""
_LONGEST_TICKS = 5
"""Ticks that one measurement may count for: a stopped process or a sleeping computer is not stuck."""
_DUMP_S = 1.0
_STOPPED = "TtXZ"
"""States of a process that is stopped, traced or dead."""


class StallClock:
    """Measures for how long a process has got nowhere. Time in which it computes counts for a tenth.

    Args:
        now: the time, seconds.
        cpu_s: processor time of the process so far, all threads together.
    """

    def __init__(self, now: float, cpu_s: float) -> None:
        self.stalled_s = 0.0
        self._now, self._cpu_s = now, cpu_s

    def moved(self) -> None:
        """Start again: something was finished."""
        self.stalled_s = 0.0

    def tick(self, now: float, cpu_s: float, tick_s: float = TICK_S) -> float:
        """Add the time since the last call, which is made about every `tick_s`; return the seconds without progress."""
        passed, computed = now - self._now, cpu_s - self._cpu_s
        self._now, self._cpu_s = now, cpu_s
        weight = _BUSY_WEIGHT if computed > _BUSY_SHARE * passed else 1.0
        self.stalled_s += weight * min(passed, _LONGEST_TICKS * tick_s)
        return self.stalled_s


def guard(process: int, timeout_s: float, grace_s: float, advice: str) -> None:
    """Wait until the process needs no guard, or kill it when no Python code has run in it for too long."""
    state, cpu_s = read_state(process)
    clock, interrupted_at = StallClock(time.monotonic(), cpu_s), 0.0
    tick_s = min(TICK_S, timeout_s / 4, grace_s / 4)
    while True:
        is_readable = bool(select.select([0], [], [], tick_s)[0])
        content = os.read(0, 4096) if is_readable else b""
        if is_readable and not content:
            return
        if signals := content.replace(ALIVE, b""):
            os.write(1, signals)
        if any(number in signals for number in INTERRUPTS):
            clock.moved()
            interrupted_at = time.monotonic()
        if ALIVE in content:
            clock.moved()
            interrupted_at = 0.0
        state, cpu_s = read_state(process)
        stalled_s = clock.tick(time.monotonic(), cpu_s, tick_s)
        if state in _STOPPED:
            clock.moved()
        elif stalled_s > timeout_s or (interrupted_at and time.monotonic() - interrupted_at > grace_s):
            _kill(process, stalled_s, advice)
            return


def read_state(process: int) -> tuple[str, float]:
    """Return the state of a process in one letter, and its processor time in seconds; Linux only."""
    try:
        # pid (name) state …; the name may contain spaces and brackets.
        fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "X", 0.0
    return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kill(process: int, stalled_s: float, advice: str) -> None:
    message = (
        f"Process {process} is stuck: no Python code has run in it for {stalled_s:.0f} s, because native code holds"
        f" Python's lock. It is killed. {advice} Its threads, the innermost call first:"
    )
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, DUMP_SIGNAL)
        time.sleep(_DUMP_S)  # the dump is written by a signal handler, which reports no end
        os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)  # it ends with its process
    guard(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
