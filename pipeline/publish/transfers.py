"""Do many transfers at once, count their bytes, and stop all of them when one fails."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from data.progress import Progress

Item = TypeVar("Item")


class Counter:
    """Counts the bytes of all transfers together.

    Args:
        progress: called with the bytes.
        total: all bytes, including those that are there already.
        done: bytes that are there already.
    """

    def __init__(self, progress: Progress, total: int, done: int) -> None:
        self._progress, self._total, self._done, self._lock = progress, total, done, threading.Lock()
        progress(done, total)

    def add(self, count: int) -> None:
        """Add bytes; a negative number takes back what turned out to be useless."""
        with self._lock:
            self._done += count
            self._progress(self._done, max(self._total, self._done))

    def note(self, text: str) -> None:
        """Show a few words."""
        with self._lock:
            self._progress(self._done, max(self._total, self._done), text)


class Stopped(Exception):
    """Another transfer failed, so this one ends."""


class Transfers(Generic[Item]):
    """Runs one function for many items, several at once.

    Args:
        connections: how many at once.
    """

    def __init__(self, connections: int) -> None:
        self._connections, self._stop = connections, threading.Event()

    def check(self) -> None:
        """Raise Stopped if another transfer has failed; long transfers call it now and then."""
        if self._stop.is_set():
            raise Stopped

    def run(self, items: Sequence[Item], transfer: Callable[[Item], None]) -> None:
        """Call `transfer` for all items; raise the first error, after all others have ended."""
        pool = ThreadPoolExecutor(self._connections, "transfer")
        try:
            futures = [pool.submit(self._transfer, transfer, item) for item in items]
            wait(futures, return_when=FIRST_EXCEPTION)
            self._stop.set()
            errors = [one.exception() for one in futures if one.done() and not one.cancelled()]
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        for error in errors:
            if error is not None and not isinstance(error, Stopped):
                raise error

    def _transfer(self, transfer: Callable[[Item], None], item: Item) -> None:
        self.check()
        transfer(item)
