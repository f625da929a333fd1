"""Fetch one file from one mirror: resume, fetch several parts at once, and hash the file while it is written.

Servers break off, stall, send wrong lengths, ignore ranges and change files. Faults that may pass are retried; others
raise `Refused`. The caller decides whether the bytes are the published ones: nothing here gives a file its final name.
"""

import dataclasses
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from data.disk_space import require_free_space
from data.progress import Progress, silent
from pipeline.download.first_bytes import HEAD_BYTES, find_fault
from pipeline.download.journal import Range
from pipeline.download.mirror import (
    Answer,
    Changed,
    Interrupted,
    Mirror,
    NoRanges,
    Refused,
    describe_change,
    read_block,
)
from pipeline.download.partial_file import PartialFile

ATTEMPTS = 5
"""A mirror is abandoned after this many attempts in a row that bring nothing new."""
LARGEST_PAUSE_S = 60.0
_LARGEST_RETRY_AFTER_S = 300.0
_MAX_CHANGES = 3
"""After so many changes on the server the file is requested whole, since one reply is of one version."""
_BLOCK_BYTES = 1 << 16
"""Bytes that are written and added to the journal at once: a kill loses at most this much on each connection."""
_TICK_S = 0.05


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """How to fetch. None of it changes the result."""

    connections: int = 4
    """Number of parts to fetch at once, if the server supports ranges."""
    part_bytes: int = 32 << 20
    """Size of a part."""
    timeout_s: float = 60.0
    """A connection that is silent for this long counts as broken."""
    pause: Callable[[float], None] = time.sleep
    """Waits for this many seconds between two attempts."""


class Transfer:
    """Fill a partial file from one mirror after another.

    Args:
        part: the partial file; created if it does not exist.
        expected_bytes: the published size; 0 if unknown.
        algorithm: algorithm of the checksum to compute, as hashlib names it.
        settings: how to fetch.
        progress: called with the bytes of this file.
    """

    def __init__(
        self,
        part: Path,
        expected_bytes: int,
        algorithm: str,
        settings: TransferSettings,
        progress: Progress = silent,
    ) -> None:
        self.partial = PartialFile(part, algorithm)
        self.expected_bytes = expected_bytes
        self.settings, self.progress = settings, progress
        self.is_pieced = self.partial.journal.done > 0
        """Whether the bytes come from more than one attempt, run or mirror."""
        self._ignores_ranges = self._checksum_decides = False

    @property
    def size_bytes(self) -> int:
        """Size of the whole file; 0 while unknown."""
        return self.partial.journal.total

    def close(self) -> None:
        """Close the files. Their content stays; if there is none, the files are removed."""
        self.partial.close()

    def sync(self) -> None:
        """Sync the file to the disk.

        Raises:
            UserError: the disk is full or fails.
        """
        self.partial.sync()

    def fetch(self, url: str, checksum_decides: bool) -> str:
        """Fetch the whole file, with retries while they make sense.

        Args:
            url: URL of the file.
            checksum_decides: whether a checksum is published. Then bytes from several mirrors, or from servers of one
                mirror that name different versions, are put together if the sizes agree.

        Returns:
            The checksum of the file.

        Raises:
            Refused: this mirror does not serve the file.
            UserError: the disk is full.
        """
        self._ignores_ranges, self._checksum_decides = False, checksum_decides
        mirror = Mirror(url, self.settings.timeout_s, asks_version=not checksum_decides)
        self._take_over(mirror.identity)
        journal = self.partial.journal
        attempts, changes, most = 0, 0, journal.done
        while True:
            try:
                self._fetch_missing(mirror)
                return self._hash_to_end()
            except Interrupted as fault:
                # If ranges are ignored, each attempt begins at zero, so only bytes never reached before are progress.
                attempts = 0 if journal.done > most else attempts + 1
                most = max(most, journal.done)
                self.is_pieced = journal.done > 0
                if attempts >= ATTEMPTS:
                    raise Refused(f"{fault}, {ATTEMPTS} times in a row") from None
                self._report(f"waiting to try again: {fault}")
                self.settings.pause(backoff_s(attempts, fault.retry_after_s))
            except NoRanges:
                self._ignores_ranges = True
            except Changed:
                changes, most = changes + 1, 0
                self._ignores_ranges = changes >= _MAX_CHANGES
                self._clear()

    def _clear(self) -> None:
        self.partial.clear()
        self.is_pieced = False

    def _take_over(self, url: str) -> None:
        """Keep or discard the bytes that came from another mirror than the one that this URL identifies."""
        journal = self.partial.journal
        if not journal.about or journal.about["url"] == url:
            return
        if self._checksum_decides and journal.total:
            self.partial.describe({"url": url, "total": journal.total, "etag": "", "modified": ""})
        else:
            self._clear()

    def _fetch_missing(self, mirror: Mirror) -> None:
        """Fetch all missing bytes, each part once. Parts that fail are left for the next attempt."""
        journal = self.partial.journal
        if self._ignores_ranges or not journal.total:
            self._clear()
            first = min(self.settings.part_bytes, self.expected_bytes or self.settings.part_bytes)
            self._fetch_parts(mirror, [None if self._ignores_ranges else (0, first)])
        missing = journal.missing(self.settings.part_bytes)
        if missing and not self._ignores_ranges:
            self._fetch_parts(mirror, [*missing])
        left = journal.total - journal.done
        if left:
            raise Interrupted(f"ended with {left} of {journal.total} bytes missing")

    def _fetch_parts(self, mirror: Mirror, parts: list[Range | None]) -> None:
        """Fetch parts on several connections, and hash meanwhile. Raise the most serious fault."""
        stop, waiting = threading.Event(), parts[::-1]
        faults: list[BaseException] = []
        workers = [
            threading.Thread(target=self._work, args=(mirror, waiting, stop, faults), daemon=True)
            for _ in range(min(self.settings.connections, len(parts)))
        ]
        for worker in workers:
            worker.start()
        alive = workers
        try:
            while alive and not stop.is_set():
                if not self.partial.hash_some():
                    alive[0].join(_TICK_S)
                self.partial.sync_some()
                self._report()
                alive = [worker for worker in workers if worker.is_alive()]
        finally:
            # A worker may still wait for its socket for a while, but it will write nothing more.
            with self.partial.lock:
                stop.set()
        self._report()
        if faults:
            raise min(faults, key=lambda fault: isinstance(fault, Interrupted))

    def _work(
        self, mirror: Mirror, waiting: list[Range | None], stop: threading.Event, faults: list[BaseException]
    ) -> None:
        """Fetch parts until none is left. A broken connection ends this worker; a more serious fault ends all."""
        while not stop.is_set():
            try:
                part = waiting.pop()
            except IndexError:
                return
            try:
                self._fetch_part(mirror, part, stop)
            except Interrupted as fault:
                faults.append(fault)
                return
            except BaseException as fault:
                faults.append(fault)
                stop.set()

    def _fetch_part(self, mirror: Mirror, part: Range | None, stop: threading.Event) -> None:
        """Fetch one part, or the whole file for None, and write it block by block."""
        with mirror.request(part, self.partial.journal.about) as (reply, answer):
            at, end, is_checked = answer.start, answer.end, False
            while end is None or at < end:
                size = _BLOCK_BYTES if end is None else min(_BLOCK_BYTES, end - at)
                block, fault = read_block(reply, size)
                with self.partial.lock:
                    if stop.is_set():
                        return
                    if not is_checked:
                        self._check_head(answer, block, fault)
                        self._check_answer(answer)
                        is_checked = True
                    self.partial.write(block, at)
                    at += len(block)
                    if fault:
                        raise fault
                    if len(block) < size:
                        self._end_body(at, end)
                        return

    def _check_head(self, answer: Answer, block: bytes, fault: Exception | None) -> None:
        """Refuse a body that begins like another file; raise Interrupted or the fault if too few bytes came."""
        if answer.start:
            return
        if len(block) < HEAD_BYTES and (fault or len(block) < (answer.end or 0)):
            raise fault or Interrupted(f"ended after {len(block)} of {answer.end} bytes")
        found = find_fault(
            self.partial.path.stem, block[:HEAD_BYTES], answer.fault, checksum_decides=self._checksum_decides
        )
        if found:
            raise Refused(f"it sends {found} instead of the file")

    def _check_answer(self, answer: Answer) -> None:
        """Start the journal with the first answer's description of the file; compare later answers with it."""
        before, total = self.partial.journal.about, answer.about["total"]
        if before:
            change = describe_change(before, answer.about)
            if change and not (self._checksum_decides and total == before["total"]):
                raise Changed(change)
            self.is_pieced = self.is_pieced or bool(change)
            if not answer.ranged:
                raise NoRanges
            if answer.about["etag"] + answer.about["modified"] and not before["etag"] + before["modified"]:
                self.partial.describe(answer.about)
            return
        if self.expected_bytes and total and total != self.expected_bytes:
            raise Refused(
                f"the file has {total} bytes there, but the published one has {self.expected_bytes}"
            )
        needed_bytes = total or self.expected_bytes
        require_free_space(
            self.partial.path.parent, needed_bytes, f"The download of {self.partial.path.stem}"
        )
        self.partial.restart(answer.about)

    def _end_body(self, at: int, end: int | None) -> None:
        """Accept the end of a body of unknown length, or raise Interrupted if it ended too early."""
        whole = end or self.expected_bytes
        if whole and at != whole:
            raise Interrupted(f"ended after {at} of {whole} bytes")
        self.partial.describe({**self.partial.journal.about, "total": at})

    def _hash_to_end(self) -> str:
        while self.partial.hash_some():
            self._report("verifying")
        return self.partial.checksum()

    def _report(self, note: str = "") -> None:
        """Report the progress."""
        with self.partial.lock:
            done, total = self.partial.journal.done, self.size_bytes or self.expected_bytes
        self.progress(done, max(total, done), note)


def backoff_s(attempts: int, retry_after_s: float = 0.0) -> float:
    """Return how long to wait before a retry: doubled each time, with jitter, so that many clients spread out.

    Args:
        attempts: number of attempts so far that brought nothing.
        retry_after_s: what the server asked for; respected up to a limit.
    """
    longest = min(2.0**attempts, LARGEST_PAUSE_S)
    jittered = longest * (0.5 + secrets.randbelow(1000) / 2000)
    return max(jittered, min(retry_after_s, _LARGEST_RETRY_AFTER_S))
