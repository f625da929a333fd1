"""What befalls the store while a run goes on (it is full, read-only, gone), in words that a person can act on.

Other errors of the operating system pass as they are: they may be faults of this program. Nothing here mends anything.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from data.errors import UserError
from tasks.config import store

_ROOM = "make room there, or give another directory with --store-root DIR, and run again"
_WRITABLE = "make it writable (mount -o remount,rw), or give another directory with --store-root DIR"
_BROKEN = "look at the disk (dmesg says what it met), and run again"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: _WRITABLE,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EIO: _BROKEN,
    errno.ESTALE: _BROKEN,
}
"""What to do, by what the operating system said; a write that fails so names no file."""
_GONE = "bring it back (mount it, or undo its move), and run again: what was finished is kept"


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Word what the operating system says of the store while the block runs so that a person can mend it.

    Raises:
        UserError: the store can't be written or read; it is worded alike for all tasks, so that it is told once.
    """
    try:
        yield
    except OSError as error:
        found = _as_user_error(error)
        if found is None:
            raise
        raise found from error


def _as_user_error(error: OSError) -> UserError | None:
    root, named = Path(store().root), isinstance(error.filename, str)
    if named and not _is_below(error.filename, root):
        return None
    if error.errno in _REMEDIES:
        said, remedy = error.strerror, _REMEDIES[error.errno]
        return UserError("a directory that can be written", said, f"[store] root ({root})", remedy)
    if not named:
        return None
    if error.errno != errno.ENOENT:
        remedy = "give another directory with --store-root DIR"
        return UserError("a directory that can be written", str(error), f"[store] root ({root})", remedy)
    return lost(Path(error.filename))


def lost(path: Path) -> UserError:
    """Return the error for a file of the store that was there when the run began, and is no more."""
    root = Path(store().root)
    if not root.is_dir() or not any(root.iterdir()):
        expected = "the directory that was there when the run began"
        return UserError(expected, "nothing", f"[store] root ({root})", _GONE)
    return UserError("a file that was there before", "nothing", str(path), "run again: it is made anew")


def _is_below(path: str, folder: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
