"""Passes errors from the ranks to the process that started them: each rank that fails writes one file.

If one rank fails, the others fail because of it, soon after and at a later step. So the error of the earliest step is
the cause. A rank whose host has no store prints its error instead, as a line that the starting process knows.
"""

import contextlib
import json
import socket
import sys
from pathlib import Path

from data.atomic_files import read_json, write_json
from data.errors import UserError
from sr.distributed.run_files import ERRORS, SESSION

_MARK = "rank-error: "


class StepError(UserError):
    """An error at a known optimizer step."""

    def __init__(self, step: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.step = step


def on_this_host(error: UserError) -> UserError:
    """Return an error that names this host."""
    return UserError(f"On host {socket.gethostname()}: {error.message}", error.hint)


def write_error(run_dir: Path, rank: int, error: UserError) -> None:
    """Record the error that ended the training on this rank; print it where there is no store to write to."""
    step = error.step if isinstance(error, StepError) else 0
    fields = {"message": error.message, "hint": error.hint}
    if (run_dir / SESSION).parent.is_dir():
        with contextlib.suppress(OSError):
            write_json(run_dir / ERRORS / f"{step:09d}-{rank}.json", fields)
            return
    print(_MARK + json.dumps(fields), file=sys.stderr, flush=True)


def read_first_error(run_dir: Path, printed: str = "") -> UserError | None:
    """Return the recorded error of the earliest step, from the lowest rank; None if there is none.

    Args:
        run_dir: the run's directory.
        printed: what ranks have printed; an error in it is the cause, as the rank had not even joined.
    """
    for line in printed.splitlines():
        with contextlib.suppress(ValueError):
            if _MARK in line:
                return UserError(**json.loads(line.partition(_MARK)[2]))
    paths = sorted((run_dir / ERRORS).glob("*.json"))
    return UserError(**read_json(paths[0])) if paths else None


def clear_errors(run_dir: Path) -> None:
    """Delete the errors that an earlier session of the run recorded."""
    (run_dir / ERRORS).mkdir(exist_ok=True)
    for path in (run_dir / ERRORS).glob("*.json"):
        path.unlink()
