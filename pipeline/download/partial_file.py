"""A partially downloaded file: its bytes, the journal of the ranges that are present, and a running checksum.

All methods may be called from several threads; `lock` makes several steps one.
"""

import errno
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.download.journal import Journal

_HASH_BYTES = 1 << 22
_SYNC_BYTES = 1 << 26
"""Bytes written between two syncs: a power failure loses about this much."""


class PartialFile:
    """A partial file with its journal, both open.

    Args:
        path: the partial file; created if it does not exist.
        algorithm: algorithm of the running checksum, as hashlib names it.
    """

    def __init__(self, path: Path, algorithm: str) -> None:
        self.path, self.algorithm = path, algorithm
        self.journal = Journal(journal_path(path))
        self.lock = threading.RLock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._synced = 0
        self._digest, self._hashed = hashlib.new(algorithm), 0
        if self.journal.ranges and os.fstat(self._file).st_size < self.journal.ranges[-1][1]:
            self.clear()  # the file that the journal belongs to was removed

    def close(self) -> None:
        """Close both files. Their content stays; if there is none, both are removed."""
        os.close(self._file)
        self.journal.close()
        if not self.journal.done:
            self.path.unlink(missing_ok=True)
            self.journal.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Discard every byte."""
        with self.lock:
            self.restart({})
            self._digest, self._hashed, self._synced = hashlib.new(self.algorithm), 0, 0

    def restart(self, about: dict[str, Any]) -> None:
        """Empty the file, and describe in the journal what will be written to it."""
        with self.lock:
            self.journal.restart(about, [])
            os.ftruncate(self._file, 0)

    def describe(self, about: dict[str, Any]) -> None:
        """Change the journal's description of the file, and keep the bytes."""
        with self.lock:
            self.journal.restart(about, self.journal.ranges)

    def write(self, block: bytes, at: int) -> None:
        """Write a block at a position, and add it to the journal.

        Raises:
            UserError: the disk is full or fails.
        """
        if not block:
            return
        with self.lock:
            try:
                os.pwrite(self._file, block, at)
                self.journal.add(at, at + len(block))
            except OSError as error:
                raise self._write_error(error) from error

    def hash_some(self) -> bool:
        """Hash some of the bytes that are present without a gap; return whether there were any."""
        with self.lock:
            ready = min(self.journal.frontier - self._hashed, _HASH_BYTES)
        if ready <= 0:
            return False
        block = os.pread(self._file, ready, self._hashed)
        self._digest.update(block)
        self._hashed += len(block)
        return bool(block)

    def checksum(self) -> str:
        """Return the checksum of the bytes hashed so far, in hex digits."""
        return self._digest.hexdigest()

    def sync_some(self) -> None:
        """Sync the file if enough was written since the last time."""
        with self.lock:
            is_due = self.journal.done - self._synced >= _SYNC_BYTES
        if is_due:
            self.sync()

    def sync(self) -> None:
        """Sync the written bytes to the disk, where they survive a power failure. More may be written meanwhile.

        Raises:
            UserError: the disk is full or fails.
        """
        with self.lock:
            ranges, done = self.journal.ranges, self.journal.done
        try:
            os.fdatasync(self._file)
        except OSError as error:
            with self.lock:
                self.journal.keep_only_safe()
            raise self._write_error(error) from error
        with self.lock:
            self.journal.mark_safe(ranges)
        self._synced = done

    def _write_error(self, error: OSError) -> UserError:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cause = "the disk is full" if is_full else str(error)
        return UserError(
            f"Can't write to {self.path.parent}: {cause}",
            "Free some space and run again: the downloaded bytes are kept",
        )


def journal_path(partial: Path) -> Path:
    """Return the path of the journal of a partial file."""
    return partial.with_name(f"{partial.name}.journal")
