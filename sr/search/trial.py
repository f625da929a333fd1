"""One trial of a search: time a candidate, train it briefly, and give it up once it is beaten."""

import dataclasses

from data.atomic_files import read_json, read_jsonl
from data.errors import UserError
from data.progress import Progress, silent
from sr.search.int8_speed import SpeedMeter
from sr.search.settings import Budget
from sr.search.study import CURVE, SPEED, Study, Turn
from sr.training.launch import train
from sr.training.run_files import HISTORY, RECORD

REFERENCE_MS, BICUBIC_DB = "reference_ms", "bicubic_psnr_db"
"""Facts that the whole study shares: the milliseconds of the reference when it began, and the PSNR of bicubic."""
_NO_DB = -1.0
"""Stands for a validation that was not finite."""


class PrunedError(Exception):
    """A candidate is given up. Its training ends with the exception that passes through it."""


def try_candidate(
    study: Study, turn: Turn, meter: SpeedMeter, budget: Budget, progress: Progress = silent
) -> None:
    """Time and train a candidate, and write to the study what came of it.

    Args:
        study: of the search.
        turn: the candidate.
        meter: times it.
        budget: how it is trained.
        progress: called with its optimizer steps.

    Raises:
        UserError: it cannot be trained; the study has the reason.
    """
    try:
        speed = meter.measure(
            turn.candidate.describe(), lambda measured: float(study.share(REFERENCE_MS, measured))
        )
        turn.note(SPEED, dataclasses.asdict(speed))
        watch = _Watch(study, turn, budget, progress)
        train(
            budget.job(turn.candidate, turn.directory),
            turn.directory,
            watch,
            budget.options,
            lambda line: None,
        )
        watch.read_curve()
    except PrunedError:
        study.prune(turn)
        return
    except UserError as error:
        study.fail(turn, str(error))
        raise
    study.complete(turn, read_json(turn.directory / RECORD)["best_psnr_db"], speed.ms)


class _Watch:
    """Follows the validations of a training, writes them to the study, and ends the training if it is beaten."""

    def __init__(self, study: Study, turn: Turn, budget: Budget, progress: Progress) -> None:
        self._study, self._turn, self._budget, self._progress = study, turn, budget, progress
        self._curve: list[list[float]] = []

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Look at the validations so far.

        Raises:
            PrunedError: the candidate is beaten.
        """
        is_over = not self.read_curve() or self._curve[-1][0] >= self._budget.steps
        margin_db = self._budget.prune_db
        if margin_db and not is_over and self._study.is_beaten(self._turn, margin_db):
            raise PrunedError
        self._progress(done, total, note)

    def read_curve(self) -> bool:
        """Read the validations; return whether there are new ones."""
        path = self._turn.directory / HISTORY
        lines = list(read_jsonl(path)) if path.is_file() else []
        curve = [[line["step"], _NO_DB if line["psnr_db"] is None else line["psnr_db"]] for line in lines]
        if len(curve) <= len(self._curve):
            return False
        if not self._curve:
            self._study.share(BICUBIC_DB, lines[0]["bicubic_psnr_db"])
        self._curve = curve
        self._turn.note(CURVE, curve)
        return True
