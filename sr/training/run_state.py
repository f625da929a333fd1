"""The progress of a run as plain data: its metrics, which weights are the best, and its warnings.

It never affects the weights and reads no clock.
"""

import dataclasses
import math
from typing import Any

from data.errors import UserError
from sr.training.job import TrainingJob
from sr.training.settings import read_changeable

SCHEMA = 3
"""Of training.json."""
MAX_BELOW_BICUBIC_DB = 10.0
"""Weights further below bicubic are broken or untrained, and never kept as the best."""
NO_GAIN_EPOCHS = 10
"""Warn after this many epochs, if none beat bicubic."""
UNCHANGED_EPOCHS = 3
"""Warn after this many epochs in a row with exactly equal validation: the network is dead."""
PLATEAU_EPOCHS = 20
"""Warn this many epochs after the best one, or when patience ends the run, if that is earlier."""
EXPLOSION_FACTOR = 5.0
"""Warn if the loss is this many times the smallest loss of an epoch so far."""


@dataclasses.dataclass
class RunState:
    """The progress of a run apart from its tensors: plain data, saved in every checkpoint."""

    step: int = 0
    validation_pending: bool = False
    """The steps of an epoch are complete, but its validation is not: that comes next."""
    bicubic_psnr_db: float = 0.0
    best_epoch: int = 0
    """0: none yet."""
    best_step: int = 0
    best_psnr_db: float | None = None
    """PSNR of the best epoch."""
    best_loss: float | None = None
    """Validation loss of the best epoch."""
    loss_sums: list[float] = dataclasses.field(default_factory=list)
    """Sums over the steps of the current epoch and all ranks: the total loss, then each of its terms."""
    loss_steps: float = 0.0
    """Number of losses in each sum."""
    skipped_steps: int = 0
    """Steps that the fp16 loss scaler skipped."""
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One line per completed epoch."""
    changes: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Settings that changed when the run resumed."""
    warnings: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """{"step", "kind", "text"}; each kind once."""

    def add_losses(self, sums: list[float], steps: float) -> None:
        """Add losses to the current epoch: their sums, the total first, and their number."""
        before = self.loss_sums or [0.0] * len(sums)
        self.loss_sums = [old + new for old, new in zip(before, sums, strict=True)]
        self.loss_steps += steps

    def pop_mean_losses(self) -> list[float | None]:
        """Return the mean losses of the epoch and start the next one. None if no loss was finite."""
        # Rounded, so that the last digits do not show where the summation was interrupted.
        means = [round(total / self.loss_steps, 9) if self.loss_steps else None for total in self.loss_sums]
        self.loss_sums, self.loss_steps = [], 0.0
        return means

    def update_best(self, psnr_db: float, loss: float, monitor: str) -> bool:
        """Record the current epoch as the best one if it beats all before and its metrics are sound.

        Args:
            psnr_db, loss: of the validation; either may be infinite or NaN.
            monitor: "psnr" or "loss".

        Returns:
            Whether it is the best one.
        """
        sound = math.isfinite(psnr_db) and psnr_db > self.bicubic_psnr_db - MAX_BELOW_BICUBIC_DB
        if not sound or not math.isfinite(loss):
            return False
        if self.best_psnr_db is not None and self.best_loss is not None:
            better = psnr_db > self.best_psnr_db if monitor == "psnr" else loss < self.best_loss
            if not better:
                return False
        self.best_psnr_db, self.best_loss = psnr_db, loss
        self.best_epoch, self.best_step = len(self.history) + 1, self.step
        return True

    def end_epoch(
        self,
        loss: float | None,
        terms: dict[str, float | None],
        psnr_db: float,
        validation_loss: float,
        learning_rate: float,
    ) -> None:
        """Append the line of the current epoch to the history; call it after `update_best`."""
        epoch = len(self.history) + 1
        line = {
            "epoch": epoch,
            "step": self.step,
            "loss": loss,
            "losses": terms,
            "validation_loss": validation_loss if math.isfinite(validation_loss) else None,
            "psnr_db": psnr_db if math.isfinite(psnr_db) else None,
            "bicubic_psnr_db": self.bicubic_psnr_db,
            "best": self.best_epoch == epoch,
            "learning_rate": learning_rate,
            "skipped_steps": self.skipped_steps,
        }
        self.history.append(line)
        self.validation_pending = False

    def build_record(self, job: TrainingJob, stopped_by: str, weights_sha256: str) -> dict[str, Any]:
        """Return the content of training.json for a run that is over.

        Raises:
            UserError: no epoch produced weights worth keeping.
        """
        if not self.best_epoch:
            last = format_db(self.history[-1]["psnr_db"]) if self.history else "no epoch"
            message = (
                f"No epoch of this training ({len(self.history)} in all, {last} at the end) reached a validation PSNR "
                f"within {MAX_BELOW_BICUBIC_DB:g} dB of bicubic ({format_db(self.bicubic_psnr_db)})"
            )
            hint = "Train longer (the run resumes where it stopped), or with a lower learning rate"
            raise UserError(message, hint)
        return {
            "schema": SCHEMA,
            "preset": job.preset,
            "settings": read_changeable(job),
            "steps": self.step,
            "epochs": len(self.history),
            "monitor": job.monitor,
            "best_epoch": self.best_epoch,
            "best_step": self.best_step,
            "best_psnr_db": self.best_psnr_db,
            "best_loss": self.best_loss,
            "bicubic_psnr_db": self.bicubic_psnr_db,
            "stopped_by": stopped_by,
            "skipped_steps": self.skipped_steps,
            "changes": self.changes,
            "warnings": self.warnings,
            "weights_sha256": weights_sha256,
        }

    def add_warning(self, kind: str, text: str) -> bool:
        """Record a warning; return False if there is one of this kind already."""
        if any(warning["kind"] == kind for warning in self.warnings):
            return False
        self.warnings.append({"step": self.step, "kind": kind, "text": text})
        return True

    def describe_progress(self, epochs: int, loss: float) -> str:
        """Return a line that says how far the run is.

        Args:
            epochs: number of epochs of the run.
            loss: of the latest step.
        """
        note = f"epoch {min(len(self.history) + 1, epochs)}/{epochs} loss {loss:.4f}"
        if self.history:
            note += f" psnr {format_db(self.history[-1]['psnr_db'])}"
        if self.warnings:
            note += f" ({self.warnings[-1]['text']})"
        return note


def find_anomalies(history: list[dict[str, Any]], patience_epochs: int) -> dict[str, str]:
    """Find signs after an epoch that a run goes wrong.

    Args:
        history: lines with "loss" (or None), "psnr_db" (or None), "validation_loss" (or None), "bicubic_psnr_db" and
            "best".
        patience_epochs: epochs without an improvement after which the run ends.

    Returns:
        A text for each kind of anomaly; empty if there is none.
    """
    found, last = {}, history[-1]
    losses = [line["loss"] for line in history if line["loss"] is not None]
    if last["loss"] is None or last["psnr_db"] is None or last["validation_loss"] is None:
        found["not_finite"] = "the training loss or the validation is not finite"
    elif last["loss"] > EXPLOSION_FACTOR * min(losses):
        found["exploding"] = f"the loss is {last['loss']:.4g}, but was {min(losses):.4g} before"
    gained = any((line["psnr_db"] or 0.0) > line["bicubic_psnr_db"] for line in history)
    if len(history) >= NO_GAIN_EPOCHS and not gained:
        found["no_gain"] = f"none of the {len(history)} epochs beat bicubic"
    best = max((epoch for epoch, line in enumerate(history, 1) if line["best"]), default=0)
    if best and len(history) - best >= min(PLATEAU_EPOCHS, patience_epochs):
        found["plateau"] = f"none of the last {len(history) - best} epochs beat epoch {best}"
    latest = [(line["psnr_db"], line["validation_loss"]) for line in history[-UNCHANGED_EPOCHS:]]
    if len(latest) == UNCHANGED_EPOCHS and len(set(latest)) == 1:
        found["unchanged"] = (
            f"the last {UNCHANGED_EPOCHS} epochs changed nothing: the network is dead, or the learning rate is 0"
        )
    return found


def format_db(psnr_db: float | None) -> str:
    """Return a PSNR as text."""
    return "no PSNR" if psnr_db is None else f"{psnr_db:.3f} dB"
