"""The faults that the suite over every task inflicts, and what a task has to do under each."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from task_runs import TaskRun

_CLONE_NEWNS = 0x20000
_DISK_MB = 512
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""The library of Debian's libfaketime; None where it is not installed."""
_JUMPS = ("+400d", "-400d")


class Place:
    """Where one worker of the suite runs tasks: a disk of its own, at the same path as that of the others.

    Args:
        scratch: folder of the suite.
        number: of the worker.
    """

    def __init__(self, scratch: Path, number: int) -> None:
        self.inputs, self.disk = scratch / "inputs", scratch / "disk"
        self.store, self.away = self.disk / "store", self.disk / "away"
        self.own = scratch / f"worker-{number}"
        self.temporary, self.kept = self.own / "tmp", self.own / "kept"
        for folder in (self.disk, self.temporary, self.kept):
            folder.mkdir(parents=True, exist_ok=True)

    def leave_others(self) -> None:
        """Give this process, from now on, mounts that no other sees, and a folder under the disk of its own."""
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        mount("--make-rprivate", "/")
        self._unmount_all(self.kept, 0)
        self._unmount_all(self.disk, 0)
        mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(self.disk))

    def new_disk(self, content: Path | None = None) -> None:
        """Mount an empty disk, and copy a folder's content onto it."""
        self._unmount_all(self.kept, 0)
        self._unmount_all(self.disk, 1)
        mount("-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(self.disk))
        mount("--bind", str(self.disk), str(self.kept))
        shutil.rmtree(self.temporary)
        self.temporary.mkdir()
        if content:
            shutil.copytree(content, self.disk, symlinks=True, dirs_exist_ok=True)

    @staticmethod
    def _unmount_all(path: Path, but: int) -> None:
        """Unmount everything at a path but the lowest mounts."""
        while _count_mounts(path) > but:
            subprocess.run(["umount", "--lazy", str(path)], check=True)

    def environment(self) -> dict[str, str]:
        """Return the variables of a run."""
        root = str(Path(__file__).parents[2])
        return os.environ | {
            "LUIGI_CONFIG_PATH": str(self.inputs / "luigi.cfg"),
            "PATH": f"{self.inputs / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": root,
            "SR_COMPILED_MODELS": "off",
            "TMPDIR": str(self.temporary),
        }


@dataclass(frozen=True)
class Fault:
    """What happens to a task.

    Args:
        name: in the table.
        inflict: makes it happen while an access waits, or when the task begins; False: not possible at this access.
        at: kinds of accesses at which it comes (`at_moment.Access`); empty: from the start.
        heal: undoes it.
        code: the exit code of a task that it stops; None: any but 0.
        words: an expression that the task's output must match where its exit code is not 0.
        may_leave_parts: whether a task can't, or need not, remove what it was writing.
        anew: None, or the words in front of the command of a new program.
        variables: for the task's environment; {place} is a file that the fault writes.
    """

    name: str
    inflict: Callable[[TaskRun, Place], bool]
    at: str = "rwm"
    heal: Callable[[Place], None] = lambda place: None
    code: int | None = None
    words: str = ""
    may_leave_parts: bool = False
    anew: tuple[str, ...] | None = None
    variables: Callable[[Place], dict[str, str]] = lambda place: {}

    def is_between(self) -> bool:
        """Return whether it may also come between two accesses."""
        return self.code is not None and self.code != 0

    def missing_words(self, output: str) -> str:
        """Return the words that the output lacks."""
        return "" if re.search(self.words, output) else self.words


def mount(*arguments: str) -> None:
    """Mount a file system."""
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def _count_mounts(path: Path) -> int:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sum(line.split()[4] == str(path) for line in lines)


def _signal(number: int, to_all: bool = False) -> Callable[[TaskRun, Place], bool]:
    def inflict(run: TaskRun, place: Place) -> bool:
        run.send(number, to_all)
        return True

    return inflict


def _fill(run: TaskRun, place: Place) -> bool:
    """Take all the room that is left on the disk."""
    with open(place.disk / "ballast", "wb") as file:
        size, offset = 1 << 26, 0
        while size >= 4096:
            try:
                os.posix_fallocate(file.fileno(), offset, size)
                offset += size
            except OSError:
                size //= 2
    return True


def _empty(place: Place) -> None:
    (place.disk / "ballast").unlink(missing_ok=True)


def _make_read_only(run: TaskRun, place: Place) -> bool:
    """Remount the disk; the kernel refuses while a file is open for writing, so that is for the next access."""
    return not subprocess.run(["mount", "-o", "remount,ro", str(place.disk)], capture_output=True).returncode


def _make_writable(place: Place) -> None:
    mount("-o", "remount,rw", str(place.disk))


def _unmount(run: TaskRun, place: Place) -> bool:
    subprocess.run(["umount", "--lazy", str(place.disk)], check=True)
    return True


def _mount_again(place: Place) -> None:
    if _count_mounts(place.disk) < 2:
        for path in place.disk.iterdir():
            shutil.rmtree(path)
        mount("--bind", str(place.kept), str(place.disk))


def _move_away(run: TaskRun, place: Place) -> bool:
    if place.store.exists():
        place.store.rename(place.away)
    return True


def _move_back(place: Place) -> None:
    if place.away.exists():
        if place.store.exists():
            shutil.rmtree(place.store)
        place.away.rename(place.store)


def _clock_file(place: Place) -> Path:
    return place.own / "clock"


def _clock_variables(place: Place) -> dict[str, str]:
    """Return what makes libfaketime read the time of day from a file, and leave all other clocks as they are."""
    _clock_file(place).write_text("+0")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(_clock_file(place)),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }


def _jump(to: str) -> Callable[[TaskRun, Place], bool]:
    def inflict(run: TaskRun, place: Place) -> bool:
        _clock_file(place).write_text(to)
        return True

    return inflict


def _nothing(run: TaskRun, place: Place) -> bool:
    return True


_GONE = "is gone|does not exist|No such file|not found|were removed"
FEW_FILES = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
NO_SHM = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro,size=4k tmpfs /dev/shm && exec "$@"', "sh")
TWO = "two at once"
FAULTS = (
    Fault("kill -9", _signal(signal.SIGKILL), code=-9, may_leave_parts=True),
    Fault("SIGTERM", _signal(signal.SIGTERM), code=143, words="Interrupted", may_leave_parts=True),
    Fault("Ctrl+C", _signal(signal.SIGINT, to_all=True), code=130, words="Interrupted", may_leave_parts=True),
    Fault("full disk", _fill, "wm", _empty, words="No space left"),
    Fault(
        "read-only",
        _make_read_only,
        "wm",
        _make_writable,
        None,
        "Read-only",
        may_leave_parts=True,
    ),
    Fault("unmounted", _unmount, "rwm", _mount_again, None, _GONE, may_leave_parts=True),
    Fault("moved away", _move_away, "rwm", _move_back, None, _GONE, may_leave_parts=True),
    *(Fault(f"clock {to}", _jump(to), code=0, anew=(), variables=_clock_variables) for to in _JUMPS),
    Fault(TWO, _nothing, "", words="Another training is running"),
    Fault("64 files", _nothing, "", words="open files", anew=FEW_FILES),
    Fault("no /dev/shm", _nothing, "", words="/dev/shm", anew=NO_SHM),
)


def second_store(place: Place) -> list[str]:
    """Return the files that were made where the store had been."""
    with contextlib.suppress(FileNotFoundError):
        return [str(path.relative_to(place.disk)) for path in place.store.rglob("*") if path.is_file()]
    return []
