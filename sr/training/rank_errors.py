"""How a rank tells what ended the training, and how who started it learns of that: one file for each rank.

Where one rank fails, others fail by it, soon after and at a later step: the first step's failure counts.
"""

from pathlib import Path

from data.atomic_files import read_json, write_json
from data.errors import UserError
from sr.training.run_files import ERRORS


class StepError(UserError):
    """What went wrong at a step of the training."""

    def __init__(self, step: int, message: str, hint: str = "", *old: str) -> None:
        super().__init__(message, hint, *old)
        self.step = step


def tell(run_dir: Path, rank: int, error: UserError) -> None:
    """Write down what ended the training for this rank."""
    step = error.step if isinstance(error, StepError) else 0
    fields = {"message": error.message, "hint": error.hint}
    write_json(run_dir / ERRORS / f"{step:09d}-{rank}.json", fields)


def first_told(run_dir: Path) -> UserError | None:
    """Return what was told of the earliest step, by the lowest rank; None where nothing was."""
    told = sorted((run_dir / ERRORS).glob("*.json"))
    return UserError(**read_json(told[0])) if told else None


def forget(run_dir: Path) -> None:
    """Remove what an earlier piece of the run told."""
    for path in (run_dir / ERRORS).glob("*.json"):
        path.unlink()
