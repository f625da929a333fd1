"""One file from one mirror: resumed, in parallel parts, and hashed while it is written.

Servers break off, stall, lie, ignore ranges and change files; what may pass is tried again, what can't is `Refused`.
Whether the bytes are the published ones is for the caller to say: nothing here gives a file its final name.
"""

import dataclasses
import errno
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from data.errors import UserError
from data.progress import Progress, silent
from pipeline.download.journal import Journal, Range
from pipeline.download.mirror import (
    Answer,
    Changed,
    Interrupted,
    Mirror,
    NoRanges,
    Refused,
    difference,
    read_block,
)

ATTEMPTS = 5
"""Tries of one mirror that bring nothing new before it is given up."""
LARGEST_PAUSE_S = 60.0
_LARGEST_RETRY_AFTER_S = 300.0
_RESTARTS = 3
"""How often a file may change on the server before it is given up."""
_BLOCK_BYTES = 1 << 16
"""Written and noted at once: a kill loses at most so much on each connection."""
_HASH_BYTES = 1 << 22
_SYNC_BYTES = 1 << 26
"""Written between two syncs: a power cut costs about so much."""
_TICK_S = 0.05


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """How to fetch; none of it changes what comes."""

    connections: int = 4
    """Parts that are fetched at once where the server allows ranges."""
    part_bytes: int = 32 << 20
    """Size of a part."""
    timeout_s: float = 60.0
    """A connection that is silent for so long counts as broken."""
    pause: Callable[[float], None] = time.sleep
    """Waits that many seconds between tries."""


class Transfer:
    """A partial file with its journal, open, to be filled from one mirror after another.

    Args:
        part: the partial file; made if it is missing.
        expected_bytes: the published size; 0 where it is not known.
        algorithm: of the checksum that is made on the way, as hashlib names it.
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
        self.part, self.expected_bytes, self.algorithm = part, expected_bytes, algorithm
        self.settings, self.progress = settings, progress
        self.file = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
        self.journal = Journal(journal_path(part))
        self._lock = threading.Lock()
        self._synced = 0
        self._digest, self._hashed = hashlib.new(algorithm), 0
        if self.journal.ranges and os.fstat(self.file).st_size < self.journal.ranges[-1][1]:
            self.clear()  # another file than the journal's, which was removed
        self.pieced = self.journal.done > 0
        """Whether what is there came by more than one try, run or mirror."""
        self._whole_only = False

    def close(self) -> None:
        """Close both files; they stay."""
        os.close(self.file)
        self.journal.close()

    def clear(self) -> None:
        """Forget every byte."""
        with self._lock:
            self.journal.begin({}, [])
            os.ftruncate(self.file, 0)
            self._digest, self._hashed, self._synced = hashlib.new(self.algorithm), 0, 0
            self.pieced = False

    def fetch(self, url: str, keep_foreign: bool) -> str:
        """Bring the whole file, trying again while that makes sense.

        Args:
            url: where.
            keep_foreign: whether bytes that came from another mirror are kept, as a checksum will tell.

        Returns:
            The checksum of what came.

        Raises:
            Refused: this mirror does not give it.
            UserError: the disk is full.
        """
        self._whole_only = False
        self._take_over(url, keep_foreign)
        mirror = Mirror(url, self.settings.timeout_s)
        tries, restarts, most = 0, 0, self.journal.done
        while True:
            try:
                self._round(mirror)
                return self._hash_to_end()
            except Interrupted as fault:
                # Where ranges are ignored each try begins at zero, so only what was never reached before is a gain.
                tries = 0 if self.journal.done > most else tries + 1
                most = max(most, self.journal.done)
                self.pieced = self.journal.done > 0
                if tries >= ATTEMPTS:
                    raise Refused(f"{fault}, {ATTEMPTS} times running") from None
                self._tell(f"waiting to try again: {fault}")
                self.settings.pause(backoff_s(tries, fault.retry_after_s))
            except NoRanges:
                self._whole_only = True
            except Changed as fault:
                restarts, most = restarts + 1, 0
                if restarts > _RESTARTS:
                    raise Refused(f"the file keeps changing on the server ({fault})") from None
                self.clear()

    def _take_over(self, url: str, keep_foreign: bool) -> None:
        """Decide about the bytes that another mirror has brought."""
        if not self.journal.about or self.journal.about["url"] == url:
            return
        if keep_foreign and self.journal.total:
            about = {"url": url, "total": self.journal.total, "etag": "", "modified": ""}
            self.journal.begin(about, self.journal.ranges)
        else:
            self.clear()

    def _round(self, mirror: Mirror) -> None:
        """Fetch all that is missing, each part once; whatever part fails is left for the next round."""
        if self._whole_only or not self.journal.total:
            self.clear()
            first = min(self.settings.part_bytes, self.expected_bytes or self.settings.part_bytes)
            self._side_by_side(mirror, [None if self._whole_only else (0, first)])
        missing = self.journal.missing(self.settings.part_bytes)
        if missing and not self._whole_only:
            self._side_by_side(mirror, list(missing))
        left = self.journal.total - self.journal.done
        if left:
            raise Interrupted(f"ended with {left} of {self.journal.total} bytes missing")

    def _side_by_side(self, mirror: Mirror, parts: list[Range | None]) -> None:
        """Fetch parts on several connections, hashing meanwhile; raise what went wrong, the gravest first."""
        stop, waiting, faults = threading.Event(), parts[::-1], []
        number = min(self.settings.connections, len(parts))
        workers = [
            threading.Thread(target=self._work, args=(mirror, waiting, stop, faults), daemon=True)
            for _ in range(number)
        ]
        for worker in workers:
            worker.start()
        alive = workers
        try:
            while alive and not stop.is_set():
                if not self._hash_some():
                    alive[0].join(_TICK_S)
                self._sync_some()
                self._tell()
                alive = [worker for worker in workers if worker.is_alive()]
        finally:
            # A worker may wait on its socket for a while yet; it will write nothing more.
            with self._lock:
                stop.set()
        self._tell()
        if faults:
            raise min(faults, key=lambda fault: isinstance(fault, Interrupted))

    def _work(
        self, mirror: Mirror, waiting: list[Range | None], stop: threading.Event, faults: list[BaseException]
    ) -> None:
        """Fetch parts while there are some; a broken connection ends this worker, anything graver ends all."""
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
        """Fetch one part, or the whole file for None, and write it down block by block."""
        with mirror.ask(part, self.journal.about) as (reply, answer):
            with self._lock:
                if stop.is_set():
                    return
                self._agree(answer)
            at, end = answer.start, answer.end
            while end is None or at < end:
                size = _BLOCK_BYTES if end is None else min(_BLOCK_BYTES, end - at)
                block, fault = read_block(reply, size)
                with self._lock:
                    if stop.is_set():
                        return
                    self._write(block, at)
                    at += len(block)
                    if fault:
                        raise fault
                    if len(block) < size:
                        self._ended(at, end)
                        return

    def _agree(self, answer: Answer) -> None:
        """Begin with what the first answer says the file is; hold every later one against it."""
        begun, total = self.journal.about, answer.about["total"]
        if begun:
            changed = difference(begun, answer.about)
            if changed:
                raise Changed(changed)
            if not answer.ranged:
                raise NoRanges
            if answer.about["etag"] + answer.about["modified"] and not begun["etag"] + begun["modified"]:
                self.journal.begin(answer.about, self.journal.ranges)
            return
        if self.expected_bytes and total and total != self.expected_bytes:
            raise Refused(f"it has {total} bytes there; {self.expected_bytes} were published")
        check_room(self.part.parent, total or self.expected_bytes, self.part.stem)
        os.ftruncate(self.file, 0)
        self.journal.begin(answer.about, [])

    def _ended(self, at: int, end: int | None) -> None:
        """Take the end of a body whose length was not announced, or say that one came too early."""
        whole = end or self.expected_bytes
        if whole and at != whole:
            raise Interrupted(f"ended after {at} of {whole} bytes")
        self.journal.begin({**self.journal.about, "total": at}, self.journal.ranges)

    def _write(self, block: bytes, at: int) -> None:
        if not block:
            return
        try:
            os.pwrite(self.file, block, at)
            self.journal.note(at, at + len(block))
        except OSError as error:
            raise self._no_room(error) from error

    def _no_room(self, error: OSError) -> UserError:
        found = "none" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
        remedy = "make room and run again: what was fetched is kept"
        return UserError("room to write to", found, str(self.part.parent), remedy)

    def _hash_some(self) -> bool:
        """Hash a little of what is there without a gap; return whether there was any."""
        with self._lock:
            ready = min(self.journal.frontier - self._hashed, _HASH_BYTES)
        if ready <= 0:
            return False
        block = os.pread(self.file, ready, self._hashed)
        self._digest.update(block)
        self._hashed += len(block)
        return bool(block)

    def _sync_some(self) -> None:
        with self._lock:
            due = self.journal.done - self._synced >= _SYNC_BYTES
        if due:
            self.sync()

    def sync(self) -> None:
        """Bring what was written to the disk itself, where it outlasts a power cut; more may come meanwhile.

        Raises:
            UserError: the disk is full or fails.
        """
        with self._lock:
            ranges, done = self.journal.ranges, self.journal.done
        try:
            os.fdatasync(self.file)
        except OSError as error:
            with self._lock:
                self.journal.distrust()
            raise self._no_room(error) from error
        with self._lock:
            self.journal.mark_safe(ranges)
        self._synced = done

    def _hash_to_end(self) -> str:
        while self._hash_some():
            self._tell("verifying")
        return self._digest.hexdigest()

    def _tell(self, note: str = "") -> None:
        with self._lock:
            done, total = self.journal.done, self.journal.total or self.expected_bytes
        self.progress(done, max(total, done), note)


def journal_path(part: Path) -> Path:
    """Return where the journal of a partial file stands."""
    return part.with_name(f"{part.name}.journal")


def backoff_s(tries: int, retry_after_s: float = 0.0) -> float:
    """Return how long to wait before another try: doubled each time, with jitter, so that many clients spread out.

    Args:
        tries: tries that brought nothing so far.
        retry_after_s: what the server asked for; kept to, within reason.
    """
    longest = min(2.0**tries, LARGEST_PAUSE_S)
    jittered = longest * (0.5 + secrets.randbelow(1000) / 2000)
    return max(jittered, min(retry_after_s, _LARGEST_RETRY_AFTER_S))


def check_room(folder: Path, needed_bytes: int, name: str) -> None:
    """Refuse a download that the disk has no room for.

    Raises:
        UserError: fewer bytes are free than are needed.
    """
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if needed_bytes > free:
        expected, found = f"{needed_bytes} bytes free for {name}", f"{free}"
        raise UserError(expected, found, str(folder), "free some space or move [store] root")
