"""The journal of a study: a file of lines that several processes and hosts append to, whatever kills them.

Optuna's own locks are links and files that a killed process leaves behind: the others then wait for half a minute, and
a process that was only paused loses its lock to them. The locks here are the system's, which end with the process;
mounts without them are refused, as for every training.
"""

import fcntl
import os
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from data.mounts import LACKS_LOCKS, lock, no_locks_error


def open_journal(path: Path) -> JournalStorage:
    """Open a journal, or begin one.

    Raises:
        UserError: its mount has no file locks.
    """
    journal_lock = JournalLock(path)
    journal_lock.acquire()
    journal_lock.release()
    return JournalStorage(JournalFileBackend(str(path), journal_lock))


class JournalLock(JournalFileOpenLock):
    """The lock of a journal, in place of Optuna's own.

    The process that gets it also removes a line that a full disk or a power cut has left unfinished.
    """

    def __init__(self, journal: Path) -> None:
        """Prepare the lock beside a journal."""
        super().__init__(str(journal))
        self._journal = journal
        self._held = -1

    def acquire(self) -> bool:
        """Wait for the lock; return True.

        Raises:
            UserError: the mount has no file locks.
        """
        path = self._journal.with_suffix(".lock")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            lock(handle, path)
            drop_unfinished_line(self._journal)
        except BaseException:
            os.close(handle)
            raise
        self._held = handle
        return True

    def release(self) -> None:
        """Release the lock."""
        os.close(self._held)


def drop_unfinished_line(journal: Path) -> None:
    """Remove what follows the last end of a line: the next line would be appended to it, and no reader read on."""
    if not journal.is_file():
        return
    with open(journal, "rb+") as file:
        content = file.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            file.truncate(end)


def try_lock(path: Path) -> int | None:
    """Lock a file without waiting.

    Returns:
        A descriptor that holds the lock until it is closed, or the process ends; None if another process holds it.

    Raises:
        UserError: the mount has no file locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError as error:
        os.close(handle)
        raise no_locks_error(path) if error.errno in LACKS_LOCKS else error from error
    return handle
