"""Explain what can happen to the store while a run goes on: it is full, read-only or gone.

Other errors of the operating system pass unchanged: they may be bugs of this program. Nothing here repairs anything.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from data.errors import UserError
from data.exhaustion import explain_exhaustion
from data.held_folders import is_gone
from tasks.runtime.store import store

_ANOTHER_ROOT = "or choose another directory with --store-root DIR"
_MAKE_ROOM = f"Make room there {_ANOTHER_ROOT}, and run again"
_MAKE_WRITABLE = f"Make it writable (mount -o remount,rw) {_ANOTHER_ROOT}"
_CHECK_DISK = "Check the disk (dmesg shows its errors), and run again"
_HINTS = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EROFS: _MAKE_WRITABLE,
    errno.EACCES: _MAKE_WRITABLE,
    errno.EPERM: _MAKE_WRITABLE,
    errno.EIO: _CHECK_DISK,
    errno.ESTALE: _CHECK_DISK,
}
"""What to do, by error number. A write that fails with one of these does not say which file it was."""
_OF_ANY_FILE = (errno.EIO, errno.ESTALE)
"""Reading a source can fail so too, and without a file name it does not show where."""


@contextlib.contextmanager
def explain_store_errors() -> Iterator[None]:
    """Turn errors of the operating system about the store, and a lack of memory, into a UserError while the block runs.

    Raises:
        UserError: the store can't be written or read, or memory ran out. All tasks word it alike: it is printed once.
    """
    try:
        yield
    except UserError as error:
        root = Path(store().root)
        if is_gone(root):  # what is missing is not the file that the error names
            raise lost_file_error(root) from error
        raise
    except MemoryError as error:
        raise explain_exhaustion(error, "the task was running") from error
    except OSError as error:
        explained = _explain(error)
        if explained is None:
            raise
        raise explained from error


def lost_file_error(path: Path) -> UserError:
    """Return the error for a file of the store that existed when the run began and is gone."""
    root = Path(store().root)
    if not root.is_dir() or not any(root.iterdir()):
        return UserError(
            f"The store {root} ([store] root) was there when the run began and is gone",
            "Bring it back (mount it, or undo its move), and run again: finished results are kept",
        )
    return UserError(f"{path} was there when the run began and is gone", "Run again: it will be made again")


def _explain(error: OSError) -> UserError | None:
    """Return what an error says of the store; None where it is not about the store."""
    root = Path(store().root)
    path = error.filename if isinstance(error.filename, str) else None
    if path is not None and not _is_below(path, root):
        return None
    if path is None and error.errno in _OF_ANY_FILE:
        return UserError(
            f"{error.strerror}; the system does not say for which file, of the store {root} or of the source",
            _CHECK_DISK,
        )
    if error.errno in _HINTS:
        return UserError(
            f"The store {root} ([store] root) cannot be used: {error.strerror}", _HINTS[error.errno]
        )
    if path is None:
        return None
    if error.errno == errno.ENOENT:
        return lost_file_error(Path(path))
    hint = "Choose another directory with --store-root DIR"
    return UserError(f"The store {root} ([store] root) cannot be used: {error}", hint)


def _is_below(path: str, folder: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
