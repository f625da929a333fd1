"""Rip a disc with MakeMKV's command-line program, and trust only what it reports as saved.

Runs `makemkvcon -r --progress=-same mkv disc:N all DIR`, which writes one .mkv for each title. MakeMKV decides which
titles are long enough (a setting of its own, two minutes by default). Nothing here reads discs or breaks protections.
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
_SHOWN_MESSAGES = 4
"""Number of messages that an error shows."""
_SAVED, _SOME_FAILED = 5036, 5037
"""MakeMKV's numbers of "Copy complete. %1 titles saved." and of the same with ", %2 failed."."""
_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,]+)')


class Log:
    """The output of MakeMKV."""

    def __init__(self) -> None:
        self.messages: collections.deque[str] = collections.deque(maxlen=_SHOWN_MESSAGES)
        """The last messages."""
        self.saved = 0
        """Number of titles saved, as MakeMKV counts them."""
        self.failed = 0
        """Number of titles that could not be saved."""
        self.disc = ""
        """Name of the disc."""


def rip_disc(disc: int, out_dir: Path, supervised: list[str], progress: Progress = silent) -> None:
    """Save all titles of a disc as videos/*.mkv and, last, write disc.json.

    Args:
        disc: number of the drive, as MakeMKV counts them.
        out_dir: output directory; videos/ appears when all titles are saved.
        supervised: a command that takes the path of a lock file and another command, runs that command, and ends when
            its standard input is closed.
        progress: called with the percentage of MakeMKV's current step, and the name of the step.

    Raises:
        UserError: MakeMKV is not installed, it failed, or it could not save every title.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise UserError(
            f"RipDisc needs the program {PROGRAM}, but it is not on PATH",
            "Install MakeMKV (makemkv.com; Debian, Fedora and Flathub have packages) or use a video file instead",
        )
    with atomic_directory(out_dir / VIDEOS) as directory:
        command = [program, "-r", "--progress=-same", "mkv", f"disc:{disc}", "all", str(directory)]
        log, status = _run(disc, supervised, directory / ".lock", command, progress)
        videos = sorted(directory.glob("*.mkv"))
        _check(disc, status, log, len(videos))
        rows = [{"name": video.name, "bytes": video.stat().st_size} for video in videos]
    write_json(out_dir / RECORD, {"schema": SCHEMA, "videos": rows, "disc": log.disc})


def _run(
    disc: int, supervised: list[str], lock: Path, command: list[str], progress: Progress
) -> tuple[Log, int]:
    """Run MakeMKV to its end; return its output and exit status."""
    process = subprocess.Popen(
        [*supervised, str(lock), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin and process.stdout
    try:
        log = _follow(disc, (line.decode(errors="replace") for line in process.stdout), progress)
    finally:
        # Closing its input ends the program, whatever happened before.
        process.stdin.close()
        status = process.wait()
        lock.unlink(missing_ok=True)
    return log, status


def _follow(disc: int, lines: Iterable[str], progress: Progress) -> Log:
    """Read MakeMKV's robot mode to its end. A line is a message type, a colon, and fields separated by commas."""
    log, step = Log(), ""
    for line in lines:
        kind, _, rest = line.strip().partition(":")
        fields = parse_robot_fields(rest)
        if kind == "MSG" and len(fields) > 3:
            _keep_message(log, fields)
        elif kind == "DRV" and fields[:1] == [str(disc)] and len(fields) > 5:
            log.disc = fields[5]
        elif kind == "PRGC" and len(fields) > 2:
            step = fields[2]
        elif kind == "PRGV" and len(fields) > 2 and all(field.isdecimal() for field in fields[:3]):
            progress(100 * int(fields[1]) // max(1, int(fields[2])), 100, step)
    return log


def _keep_message(log: Log, fields: list[str]) -> None:
    """Keep a message. Its fields: number, two unused ones, text, format of the text, and arguments of the format."""
    log.messages.append(fields[3])
    if fields[0] in (str(_SAVED), str(_SOME_FAILED)):
        counts = [int(field) for field in fields[5:] if field.isdecimal()]
        log.saved, log.failed = [*counts, 0, 0][:2]


def parse_robot_fields(text: str) -> list[str]:
    """Split a line of robot mode into fields: numbers, and quoted strings with escaping backslashes."""
    return [
        re.sub(r"\\(.)", r"\1", quoted) if quoted or not bare else bare
        for quoted, bare in _FIELD.findall(text)
    ]


def _check(disc: int, status: int, log: Log, videos: int) -> None:
    """Refuse an incomplete rip. MakeMKV can exit with 0 although titles failed."""
    if status == 0 and videos and log.saved == videos and not log.failed:
        return
    messages = " | ".join(log.messages) or "no message"
    raise UserError(
        f"MakeMKV did not save all titles of disc:{disc}: {videos} videos were written, and it reports {log.saved} "
        f"saved and {log.failed} failed, with exit status {status} ({messages})",
        "Clean the disc, check that MakeMKV knows its key, and run again",
    )
