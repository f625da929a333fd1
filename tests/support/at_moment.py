"""Stop a program at one of its accesses to files below a folder, until the fault that a suite inflicts there is made.

The suite makes a folder for a `Watch` and starts the program with `Watch.environment`. In the program, and in every
Python program that it starts, `listen` notes each opening, renaming, linking and making of a folder below the watched
folder. The access of the chosen number waits, before it is carried out, until the suite has seen it and let it go on.
"""

import contextlib
import os
import select
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER, _BELOW = "AT_MOMENT_FOLDER", "AT_MOMENT_BELOW"
_RECORD_BYTES = 16
"""Of one access in the list: its kind, its time in milliseconds, a line feed."""
_KINDS = {"open": "r", "os.rename": "m", "os.link": "m", "os.mkdir": "w", "os.remove": "w", "os.rmdir": "w"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_LONGEST_WAIT_S = 120.0
NEVER = 10**9


@dataclass(frozen=True)
class Access:
    """One access to a file.

    Args:
        kind: r for reading, w for writing, m for moving into place.
        at_s: seconds of the monotonic clock.
    """

    kind: str
    at_s: float


class Watch:
    """What the suite knows of a program's accesses.

    Args:
        folder: an empty folder of this watch alone, outside the watched one.
        below: the watched folder.
        number: of the access that waits, from 1.
    """

    def __init__(self, folder: Path, below: Path, number: int = NEVER) -> None:
        self.folder, self.below = folder, below
        self.set_number(number)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the program; PYTHONPATH is for the programs that it starts."""
        here = Path(__file__).parent
        paths = [str(here / "at_start"), str(here), os.environ.get("PYTHONPATH", "")]
        return {
            _FOLDER: str(self.folder),
            _BELOW: str(self.below),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def set_number(self, number: int) -> None:
        """Choose the access that waits."""
        (self.folder / "number.part").write_text(str(number))
        (self.folder / "number.part").replace(self.folder / "number")

    def is_waiting(self) -> bool:
        """Return whether the access of the chosen number waits."""
        return (self.folder / "waiting").exists() and not (self.folder / "gone-on").exists()

    def go_on(self) -> None:
        """Let the access go on, and no other wait."""
        (self.folder / "gone-on").touch()

    def wait_at_next(self) -> None:
        """Let the access go on, and have the next one wait."""
        self.set_number(len(self.accesses()) + 1)
        (self.folder / "waiting").unlink()

    def accesses(self) -> list[Access]:
        """Return the accesses so far."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / "accesses").read_text().splitlines()
            return [Access(line[0], int(line[1:]) / 1000) for line in lines]
        return []


def listen(environment: Mapping[str, str] = os.environ) -> None:
    """Note this process's accesses, and wait at the chosen one; do nothing without the variables of a `Watch`."""
    if _FOLDER not in environment:
        return
    folder, below = environment[_FOLDER], environment[_BELOW]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if (kind := _KINDS.get(event)) and _is_below(arguments[0], below):
            is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
            _note(folder, "w" if is_write else kind)

    sys.addaudithook(hook)


def _is_below(path: object, below: str) -> bool:
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    elif isinstance(path, os.PathLike):
        path = str(path)
    return isinstance(path, str) and (path == below or path.startswith(below + "/"))


def _note(folder: str, kind: str) -> None:
    """Add an access to the list. If it is the chosen one, wait; a process that gets no file handle goes on."""
    with contextlib.suppress(OSError):
        record = f"{kind}{int(_now_s() * 1000):0{_RECORD_BYTES - 2}d}\n".encode()
        handle = os.open(f"{folder}/accesses", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, record)
            count = os.fstat(handle).st_size // _RECORD_BYTES
        finally:
            os.close(handle)
        with open(f"{folder}/number") as file:
            number = int(file.read())
        if count >= number and not os.path.exists(f"{folder}/gone-on"):  # noqa: PTH110  # it must be cheap
            _wait(folder)


def _wait(folder: str) -> None:
    """Say that an access waits, unless another one does, and wait until the suite has seen it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(f"{folder}/waiting", flags, 0o600))
    for _ in range(int(_LONGEST_WAIT_S / 0.005)):
        if os.path.exists(f"{folder}/gone-on") or not os.path.exists(f"{folder}/waiting"):  # noqa: PTH110
            return
        select.select([], [], [], 0.005)


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)
