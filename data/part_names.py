"""Name partial files after their writer, so that the next writer can tell without a lock which ones are orphans.

File locks may be missing, or hold within one host only, and nothing says which. A name can't fail: it has the host, the
process and when that began. On its own host a writer is asked for directly. What another host left is removed when
it was not written to for a day, by the file system's own clock.
"""

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
from pathlib import Path

from data.hashing import sha256_bytes

_PREFIX, _PART = ".srf-", ".part"
_WRITER = re.compile(r"\.srf-[0-9a-f]{16}-([0-9a-f]{8})-([0-9]+)-([0-9]+)-[0-9a-f]{8}\.part")
FOREIGN_AGE_S = 24 * 3600
"""No live writer leaves a file alone for so long. One that was frozen for a day finds its file gone and starts anew."""
_PROC = Path("/proc")


def part_prefix(path: Path) -> str:
    """Return how the names of partial files of `path` begin: short whatever its name, and like no other file's name."""
    return f"{_PREFIX}{sha256_bytes(os.fsencode(path.name))[:16]}-"


def new_part(path: Path) -> Path:
    """Return the path of a new partial file of `path`, which names this process as its writer."""
    pid = os.getpid()
    writer = f"{_this_host()}-{pid}-{_start_time(pid) or 0}"
    return path.with_name(f"{part_prefix(path)}{writer}-{secrets.token_hex(4)}{_PART}")


def remove_orphans(path: Path, own: Path) -> None:
    """Remove the partial files and directories of `path` whose writers are dead.

    Args:
        path: the final path.
        own: a partial file that this process has just made there; its time is the file system's.
    """
    for part in path.parent.glob(f"{part_prefix(path)}*{_PART}"):
        with contextlib.suppress(OSError):  # another writer has removed it meanwhile
            if part != own and _is_orphan(part, own):
                if part.is_dir():
                    shutil.rmtree(part)
                else:
                    part.unlink()


def _is_orphan(part: Path, own: Path) -> bool:
    writer = _WRITER.fullmatch(part.name)
    if writer and writer[1] == _this_host():
        return not _is_running(int(writer[2]), writer[3])
    last_written = max(one.lstat().st_mtime for one in (part, *part.rglob("*")))
    return own.lstat().st_mtime - last_written > FOREIGN_AGE_S


def _is_running(pid: int, started: str) -> bool:
    """Return whether a process of this host runs that began at this time; where it can't be seen, that it does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    except OverflowError:  # no process has such a number
        return False
    found = _start_time(pid)
    return found is None or found == started


def _start_time(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; "ended" for a zombie; None where that can't be read."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "ended" if fields[0] in "ZX" else fields[19]


@functools.cache
def _this_host() -> str:
    """Return 8 hex digits for the processes that can see each other: one boot of one host, one container."""
    parts = [os.uname().nodename]
    try:
        parts.append((_PROC / "sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink(_PROC / "self/ns/pid"))  # noqa: PTH115  # its target is no path
    except OSError:  # then this process knows no other
        parts.append(secrets.token_hex(8))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
