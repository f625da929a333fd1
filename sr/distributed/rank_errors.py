"""Passes errors from the ranks to the process that launched them: each rank that fails writes one file.

If one rank fails, the others fail because of it, soon after and at a later step. So the error of the earliest step is
the cause.
"""

from pathlib import Path

from data.atomic_files import read_json, write_json
from data.errors import UserError
from sr.distributed.run_files import ERRORS


class StepError(UserError):
    """An error at a known optimizer step."""

    def __init__(self, step: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.step = step


def write_error(run_dir: Path, rank: int, error: UserError) -> None:
    """Record the error that ended the training on this rank."""
    step = error.step if isinstance(error, StepError) else 0
    fields = {"message": error.message, "hint": error.hint}
    write_json(run_dir / ERRORS / f"{step:09d}-{rank}.json", fields)


def read_first_error(run_dir: Path) -> UserError | None:
    """Return the recorded error of the earliest step, from the lowest rank; None if there is none."""
    paths = sorted((run_dir / ERRORS).glob("*.json"))
    return UserError(**read_json(paths[0])) if paths else None


def clear_errors(run_dir: Path) -> None:
    """Delete the errors that an earlier session of the run recorded."""
    for path in (run_dir / ERRORS).glob("*.json"):
        path.unlink()
