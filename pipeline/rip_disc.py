"""Rip a disc with MakeMKV's command-line program, and believe only what it says it has saved.

Runs `makemkvcon -r --progress=-same mkv disc:N all DIR`: one .mkv for each title. MakeMKV decides which titles are
long enough (its setting, two minutes unless changed). Nothing here reads discs or breaks protections itself.
"""

import collections
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from data.atomic_files import atomic_directory, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.records import SCHEMA

PROGRAM = "makemkvcon"
VIDEOS = "videos"
RECORD = "disc.json"
_LAST_WORDS = 4
"""Messages that a failure is told with."""
_SAVED, _SOME_FAILED = 5036, 5037
"""MakeMKV's numbers of "Copy complete. %1 titles saved." and of the same with ", %2 failed."."""
_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,]+)')


def rip_disc(disc: int, out_dir: Path, supervised: list[str], progress: Progress = silent) -> None:
    """Save all titles of a disc as videos/*.mkv and, last, disc.json.

    Args:
        disc: the drive's number, as MakeMKV counts them.
        out_dir: where it goes; videos/ appears when all is saved.
        supervised: a command that takes the path of a lock and another command, which it runs, and ends when its own
            standard input is closed.
        progress: called with the percentage of what MakeMKV is doing, and its name.

    Raises:
        UserError: MakeMKV is not installed, it failed, or it could not save every title.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        remedy = "install MakeMKV (makemkv.com; Debian, Fedora and Flathub have packages) or give a video that is a file"
        raise UserError(f"the program {PROGRAM}", "none on PATH", "RipDisc", remedy)
    with atomic_directory(out_dir / VIDEOS) as directory:
        command = [program, "-r", "--progress=-same", "mkv", f"disc:{disc}", "all", str(directory)]
        lock = directory / ".lock"
        process = subprocess.Popen(
            [*supervised, str(lock), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            log = _follow(disc, (line.decode(errors="replace") for line in process.stdout), progress)
        finally:
            # Closing its input ends the program, however this was left.
            process.stdin.close()
            status = process.wait()
            lock.unlink(missing_ok=True)
        videos = sorted(directory.glob("*.mkv"))
        _check(disc, status, log, len(videos))
        listing = [{"name": video.name, "bytes": video.stat().st_size} for video in videos]
    write_json(out_dir / RECORD, {"schema": SCHEMA, "videos": listing, "disc": log.disc})


class Log:
    """What MakeMKV said."""

    def __init__(self) -> None:
        self.messages: collections.deque[str] = collections.deque(maxlen=_LAST_WORDS)
        self.saved = 0
        """Titles, by its own count."""
        self.failed = 0
        self.disc = ""
        """The disc's name."""


def _follow(disc: int, lines: Iterable[str], progress: Progress) -> Log:
    """Read robot mode to its end: lines of a kind, a colon, and fields with commas between them."""
    log, doing = Log(), ""
    for line in lines:
        kind, _, rest = line.strip().partition(":")
        fields = robot_fields(rest)
        if kind == "MSG" and len(fields) > 3:
            _note(log, fields)
        elif kind == "DRV" and fields[:1] == [str(disc)] and len(fields) > 5:
            log.disc = fields[5]
        elif kind == "PRGC" and len(fields) > 2:
            doing = fields[2]
        elif kind == "PRGV" and len(fields) > 2 and all(field.isdecimal() for field in fields[:3]):
            progress(100 * int(fields[1]) // max(1, int(fields[2])), 100, doing)
    return log


def _note(log: Log, fields: list[str]) -> None:
    """Keep a message: its number, two of no use here, the text, its pattern and what was filled in."""
    log.messages.append(fields[3])
    if fields[0] in (str(_SAVED), str(_SOME_FAILED)):
        counts = [int(field) for field in fields[5:] if field.isdecimal()]
        log.saved, log.failed = [*counts, 0, 0][:2]


def robot_fields(text: str) -> list[str]:
    """Split the fields of a line of robot mode: numbers, and quoted texts with backslashes before quotes."""
    return [
        re.sub(r"\\(.)", r"\1", quoted) if quoted or not bare else bare
        for quoted, bare in _FIELD.findall(text)
    ]


def _check(disc: int, status: int, log: Log, videos: int) -> None:
    """Refuse a rip that is not whole: MakeMKV may exit with 0 when titles failed."""
    if status == 0 and videos and log.saved == videos and not log.failed:
        return
    words = " | ".join(log.messages) or "no message"
    found = f"{videos} videos, {log.saved} saved and {log.failed} failed by its count, exit status {status} ({words})"
    remedy = "clean the disc, see that its key is known to MakeMKV, and run again"
    raise UserError("all titles saved by MakeMKV", found, f"disc:{disc}", remedy)
