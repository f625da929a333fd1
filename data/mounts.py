"""Work on mounts that lack file locks or fsync, where that is safe, and name the mount where it is not.

Network and FUSE mounts may answer flock with ENOLCK (NFS version 3 without its lock daemon) or ENOSYS (Lustre without
`-o flock`), and fsync of a directory with EINVAL (CIFS). No error here says anything about the data.
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from data.errors import UserError

LACKS_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What flock raises where the file system has no locks. The operations used here are valid everywhere else."""
_LACKS_FSYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
"""What fsync raises where the file system has none; ENOSPC and EIO mean lost data, and are always raised."""


def sync(handle: int) -> None:
    """Flush an open file or directory to the disk, where its file system can do that.

    Raises:
        OSError: it can, but writing failed.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _LACKS_FSYNC:
            raise


def sync_directory(path: Path) -> None:
    """Flush a directory's list of names to the disk, where its file system can do that."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # files can be made in it, but not listed
        return
    try:
        sync(handle)
    finally:
        os.close(handle)


def refresh_names(path: Path) -> None:
    """Ask the file server anew which names a directory has; nothing if it does not exist.

    NFS answers from a memory of up to a minute whether a file is there, but looks again when the directory is opened.
    """
    with contextlib.suppress(OSError):
        os.listdir(path)


def lock_if_possible(handle: int) -> bool:
    """Wait for the lock of an open file; return False where its file system has no locks.

    For locks that only save work or space. Where two writers would damage each other's files, use `lock`.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in LACKS_LOCKS:
            raise
        return False
    return True


def lock(handle: int, path: Path) -> None:
    """Wait for the lock of an open file.

    Args:
        handle: its descriptor.
        path: where it is, for the message.

    Raises:
        UserError: its file system has no locks.
    """
    if not lock_if_possible(handle):
        raise no_locks_error(path)


def no_locks_error(path: Path) -> UserError:
    """Return the error for a file that must be locked and cannot be."""
    return UserError(
        f"{mount_of(path)}, the mount of {path}, has no file locks, which keep two runs out of one directory",
        "Mount it with locks (NFS version 4; Lustre: -o flock), or choose a directory on another one",
    )


def mount_of(path: Path) -> Path:
    """Return the mount point that a path is below."""
    folder = Path(os.path.abspath(path))
    with contextlib.suppress(OSError):
        folder = folder.resolve()
    while not os.path.ismount(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
