"""Share one sheet among all task processes of a run: how far each stage is, and what the terminal shows.

Luigi runs each task in its own process, and all of them write to one terminal. So every line goes through `Board`,
under one lock. The sheet is in a private temporary directory that is named by the run's main process. It is never part
of the store, and losing it costs nothing but bars. So does a temporary directory without locks: the sheet is then
shared without one, so a process may overwrite what another has just stored, and plain lines replace the bars.
"""

import contextlib
import fcntl
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from data.errors import UserError


@dataclass
class State:
    """How far one task is, or the sum of several ended tasks of one stage."""

    label: str
    """The stage, e.g. "PackShard"."""
    name: str
    """What it works on, e.g. "Sample"."""
    unit: str
    """What is counted, in the plural, e.g. "crops"."""
    started: float
    """Seconds of the system-wide monotonic clock, as are all times here."""
    group_total: int = 0
    """Units of all tasks of this stage and name together; 0: this task is the only one."""
    done: int = 0
    initial: int = 0
    """Units that were done when it began; they do not count towards the speed of a resumed stage."""
    total: int = 0
    """Units in total; 0: not known."""
    note: str = ""
    ended: float | None = None
    pid: int = 0
    """The process that does the work; 0 once it has ended."""
    is_shared: bool = False
    """Whether other hosts make parts of the same thing: this host's parts do not add up to `group_total`."""


@dataclass
class Sheet:
    """What is stored between two writes to the terminal."""

    states: dict[str, State] = field(default_factory=dict)
    height: int = 0
    """Lines of bars above the cursor."""
    drawn_at: float = 0.0
    """When the bars were last drawn."""
    last_line_at: dict[str, float] = field(default_factory=dict)
    """Without a terminal: when each stage last printed a line."""
    printed: list[str] = field(default_factory=list)
    """Digests of the causes that messages were printed about."""


class Screen:
    """Where messages and bars go: standard error, with live bars on a terminal and plain lines elsewhere."""

    def __init__(self, stream: TextIO, live: bool) -> None:
        self.stream, self.live = stream, live

    @classmethod
    def of_stderr(cls) -> "Screen":
        """Return the screen of this process; it discards everything where there is no standard error."""
        stream = sys.__stderr__ or open(os.devnull, "w")  # noqa: SIM115  (for as long as the process lives)
        return cls(stream, stream.isatty() and os.environ.get("TERM", "dumb") != "dumb")

    def width(self) -> int:
        """Return how many characters fit on a line; 80 where the terminal does not say."""
        with contextlib.suppress(OSError):
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        return 80

    def write(self, sheet: Sheet, lines: list[str], bars: list[str]) -> None:
        """Replace the bars on the terminal by `lines`, which stay, and new `bars` below them."""
        erase = f"\x1b[{sheet.height}A\r\x1b[J" if sheet.height else ""
        text = "".join(f"{line}\n" for line in [*lines, *bars])
        if erase or text:
            self.stream.write(erase + text)
            self.stream.flush()
        sheet.height = len(bars)


class Board:
    """The run's sheet, which one process at a time can read and write."""

    def __init__(self, directory: Path, screen: Screen) -> None:
        self.directory, self.screen = directory, screen
        self._holder_thread: int | None = None
        self._fallback = Sheet()
        """Used where the sheet on disk can't be read or written, as in a full or deleted temporary directory."""

    @contextlib.contextmanager
    def locked(self) -> Iterator[Sheet]:
        """Give the sheet to this process alone, and save what the block changes in it.

        The lock is released explicitly: a process that was forked in the meantime shares it and would keep it.
        """
        lock = self._lock()
        try:
            self._holder_thread = threading.get_ident()
            sheet = self._load()
            yield sheet
            self._save(sheet)
        finally:
            self._holder_thread = None
            if lock is not None:
                fcntl.flock(lock, fcntl.LOCK_UN)
                os.close(lock)

    def print_once(self, text: str, cause: str) -> None:
        """Print a message above the bars, unless this run has already printed one about the same cause.

        Args:
            text: one or more lines, without a line break at the end.
            cause: what the message is about; any text.
        """
        digest = hashlib.sha256(cause.encode(errors="backslashreplace")).hexdigest()
        with self.locked() as sheet:
            if digest not in sheet.printed:
                self.screen.write(sheet, text.splitlines(), [])
                sheet.printed.append(digest)

    def pass_through(self, text: str, stream: TextIO) -> None:
        """Write `text` to another stream of the same terminal, in the place of the bars.

        While this thread has the lock, the interpreter itself may print (from a destructor): that must not wait.
        """
        inside = self._holder_thread == threading.get_ident()
        with contextlib.nullcontext(Sheet()) if inside else self.locked() as sheet:
            self.screen.write(sheet, [], [])
            stream.write(text)
            stream.flush()

    def _lock(self) -> int | None:
        """Return the descriptor of the lock once it is acquired; None where it can't be made."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            os.close(lock)
            self.screen = Screen(self.screen.stream, live=False)
            return None
        return lock

    def _load(self) -> Sheet:
        try:
            content = json.loads((self.directory / "sheet.json").read_bytes())
            content["states"] = {key: State(**state) for key, state in content["states"].items()}
            return Sheet(**content)
        except (OSError, ValueError, TypeError, KeyError):  # not there, or damaged by a full disk
            return self._fallback

    def _save(self, sheet: Sheet) -> None:
        part = self.directory / f"sheet.{os.getpid()}.{threading.get_ident()}.part"
        whole = self.directory / "sheet.json"
        try:
            part.write_text(json.dumps(asdict(sheet)))
            os.replace(part, whole)
            self._fallback = Sheet()
        except OSError:
            self._fallback = sheet
            # With an older sheet, bars that are gone would be erased, and with them the messages printed since.
            for stale in (part, whole):
                with contextlib.suppress(OSError):
                    stale.unlink()


def run_board() -> Board:
    """Return the board of the run that this process belongs to."""
    return Board(run_directory(), Screen.of_stderr())


def run_directory() -> Path:
    """Return the directory of the run that this process belongs to, whether main process or task."""
    parent = multiprocessing.parent_process()
    pid = os.getpid() if parent is None or parent.pid is None else parent.pid
    return runs_directory() / f"{pid}-{_start_time(pid)}"


def remove_stale_runs() -> None:
    """Make the directory of all runs, and remove what killed runs left in it.

    Raises:
        UserError: another user owns it.
        OSError: it can't be made or read.
    """
    runs = runs_directory()
    runs.mkdir(mode=0o700, exist_ok=True)
    if runs.stat().st_uid != os.getuid():
        raise UserError(f"{runs} belongs to another user", "Remove it, or set TMPDIR to another directory")
    for directory in runs.iterdir():
        named = re.fullmatch(r"([0-9]+)-([0-9]+)", directory.name)
        if named and _start_time(int(named[1])) != named[2]:
            shutil.rmtree(directory, ignore_errors=True)


def runs_directory() -> Path:
    """Return a directory of this host alone: of the processes of another, in one TMPDIR, nothing is known here.

    Hosts differ by their names, and containers with one name by their process ids' namespaces.
    """
    host = [socket.gethostname(), str(Path("/proc/self/ns/pid").readlink())]
    digest = hashlib.sha256("/".join(host).encode(errors="surrogateescape")).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"super-resolution-{os.getuid()}-{digest}"


def _start_time(pid: int) -> str:
    """Return when a process began, in the kernel's ticks: together with the pid it identifies the process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    return stat.rpartition(")")[2].split()[19]
