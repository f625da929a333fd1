"""Start processes that end when this one ends, and wait for all of them."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LOOK_EVERY_S = 0.2


@dataclass
class ProcessGroup:
    """Processes, each with a pipe to its standard input that only this process holds open."""

    grace_s: float
    """Time for the others to end by themselves, and to say why, after the first has failed."""
    failed: Callable[[int, int], object]
    """Called with the number and the exit status of each process that fails by itself."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Start one more."""
        self.processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, env=environment))

    def wait(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Wait until all have ended, or one has failed and the others were ended.

        Args:
            stop: whether to end all now.

        Returns:
            The exit status of the first that failed; 0 if none did.
        """
        status, deadline, seen = 0, float("inf"), set[int]()
        while len(seen) < len(self.processes) and time.monotonic() < deadline and not stop():
            for number, process in enumerate(self.processes):
                code = process.poll()
                if code is None or number in seen:
                    continue
                seen.add(number)
                if code:
                    self.failed(number, code)
                    status = status or code
                    deadline = min(deadline, time.monotonic() + self.grace_s)
            time.sleep(LOOK_EVERY_S)
        self.close()
        return status

    def close(self) -> None:
        """End all: close their pipes, and wait."""
        for process in self.processes:
            with contextlib.suppress(OSError):
                if process.stdin:
                    process.stdin.close()
        for process in self.processes:
            process.wait()
