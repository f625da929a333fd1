"""The one sheet that all task processes of a run share: how far each stage is, and what the terminal shows.

Luigi runs each task in a process of its own, and they all write to one terminal. So everything that is
written there goes through `Board`, under one lock, whoever writes it. The sheet lives in a private temporary
directory that is named by the run's main process; it is never part of the store, and losing it loses nothing
but bars.
"""

import contextlib
import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from data.errors import UserError


@dataclass
class State:
    """How far one task is, or the sum of several tasks of one stage that have ended."""

    label: str
    """The stage, e.g. "PackShard"."""
    name: str
    """What it works on, e.g. "Sample"."""
    unit: str
    """What is counted, in the plural, e.g. "crops"."""
    started: float
    """Seconds of the system-wide monotonic clock, as are all times here."""
    whole: int = 0
    """Units in all tasks of this stage and name together; 0: this task is alone."""
    done: int = 0
    first: int = 0
    """Units that were done when it began: a resumed stage does not count them into its speed."""
    total: int = 0
    """Units in all; 0: not known."""
    note: str = ""
    ended: float | None = None
    pid: int = 0
    """The process at work; 0 once it has ended."""


@dataclass
class Sheet:
    """What is kept between two writes to the terminal."""

    states: dict[str, State] = field(default_factory=dict)
    height: int = 0
    """Lines of bars that stand above the cursor."""
    drawn: float = 0.0
    """When the bars were last drawn."""
    said: dict[str, float] = field(default_factory=dict)
    """Without a terminal: when each stage last had a line."""
    told: list[str] = field(default_factory=list)
    """Digests of the causes that messages were written about."""


class Screen:
    """Where messages and bars go: the standard error, live on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO, live: bool) -> None:
        self.stream, self.live = stream, live

    @classmethod
    def standard(cls, stream: TextIO) -> "Screen":
        """Return the screen of this process, with `stream` as its standard error."""
        return cls(stream, stream.isatty() and os.environ.get("TERM", "dumb") != "dumb")

    def width(self) -> int:
        """Return the characters that fit on a line; 80 where the terminal does not tell."""
        with contextlib.suppress(OSError):
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        return 80

    def write(self, sheet: Sheet, lines: list[str], bars: list[str]) -> None:
        """Replace the bars that stand there by `lines`, which stay, and new `bars` below them."""
        erase = f"\x1b[{sheet.height}A\r\x1b[J" if sheet.height else ""
        text = "".join(f"{line}\n" for line in [*lines, *bars])
        if erase or text:
            self.stream.write(erase + text)
            self.stream.flush()
        sheet.height = len(bars)


class Board:
    """The run's sheet, readable and writable by one process at a time."""

    def __init__(self, directory: Path, screen: Screen) -> None:
        self.directory, self.screen = directory, screen
        self._holder: int | None = None
        self._spare = Sheet()
        """What is used where the one on disk can't be read or written: a full or vanished temporary directory."""

    @contextlib.contextmanager
    def held(self) -> Iterator[Sheet]:
        """Give the sheet to this process alone; what the block changes in it is kept.

        The lock is let go explicitly: a process that was forked meanwhile shares it and would hold it on.
        """
        lock = self._lock()
        try:
            self._holder = threading.get_ident()
            sheet = self._load()
            yield sheet
            self._save(sheet)
        finally:
            self._holder = None
            if lock is not None:
                fcntl.flock(lock, fcntl.LOCK_UN)
                os.close(lock)

    def say(self, text: str, cause: str) -> None:
        """Write a message that stays, above the bars, unless this run has told of the same cause already.

        Args:
            text: one or more lines, without the last line's end.
            cause: what the message is about; any text.
        """
        digest = hashlib.sha256(cause.encode()).hexdigest()
        with self.held() as sheet:
            if digest not in sheet.told:
                self.screen.write(sheet, text.splitlines(), [])
                sheet.told.append(digest)

    def pass_through(self, text: str, stream: TextIO) -> None:
        """Write `text` to another stream of the same terminal, where the bars stood.

        What the interpreter itself prints while this thread holds the sheet must not wait for it.
        """
        inside = self._holder == threading.get_ident()
        with contextlib.nullcontext(Sheet()) if inside else self.held() as sheet:
            self.screen.write(sheet, [], [])
            stream.write(text)
            stream.flush()

    def _lock(self) -> int | None:
        """Return the descriptor of the lock, once it is held; None where there can be none."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def _load(self) -> Sheet:
        try:
            content = json.loads((self.directory / "sheet.json").read_bytes())
        except OSError:
            return self._spare
        content["states"] = {key: State(**state) for key, state in content["states"].items()}
        return Sheet(**content)

    def _save(self, sheet: Sheet) -> None:
        part, whole = self.directory / "sheet.part", self.directory / "sheet.json"
        try:
            part.write_text(json.dumps(asdict(sheet)))
            os.replace(part, whole)
            self._spare = Sheet()
        except OSError:
            self._spare = sheet
            # An older sheet would have bars erased that are not there any more, and with them what was said since.
            for stale in (part, whole):
                with contextlib.suppress(OSError):
                    stale.unlink()


def run_directory() -> Path:
    """Return the directory of the run that this process, the main one or a task's, belongs to."""
    parent = multiprocessing.parent_process()
    pid = os.getpid() if parent is None else parent.pid
    return _runs() / f"{pid}-{_birth(pid)}"


def sweep() -> None:
    """Make the directory of all runs, and remove what those left in it that were killed.

    Raises:
        UserError: someone else owns it.
        OSError: it can't be made or read.
    """
    runs = _runs()
    runs.mkdir(mode=0o700, exist_ok=True)
    if runs.stat().st_uid != os.getuid():
        raise UserError("a directory of your own", "another user's", str(runs), "remove it or set TMPDIR")
    for directory in runs.iterdir():
        pid, _, birth = directory.name.partition("-")
        if _birth(int(pid)) != birth:
            shutil.rmtree(directory, ignore_errors=True)


def _runs() -> Path:
    return Path(tempfile.gettempdir()) / f"super-resolution-{os.getuid()}"


def _birth(pid: int) -> str:
    """Return when a process began, in the kernel's ticks: with the pid it names one process for good."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    return stat.rpartition(")")[2].split()[19]
