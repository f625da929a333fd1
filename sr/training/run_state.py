"""Where a run stands, as plain data: what was judged, which weights are the best, what is odd about it all.

It decides nothing about the weights, and reads no clock.
"""

import dataclasses
import math
from typing import Any

from data.errors import UserError
from data.records import TrainingJob
from sr.training.settings import changeable

SCHEMA = 2
"""Of training.json."""
FAR_BELOW_DB = 10.0
"""Weights that lose so much against bicubic are broken, or not yet trained: never the best."""
FRUITLESS_EPOCHS = 10
"""Epochs without one above bicubic after which that is told."""
UNCHANGED_EPOCHS = 3
"""Epochs in a row that were judged exactly alike after which the network is told to be dead."""
PLATEAU_EPOCHS = 20
"""Epochs after the best one after which that is told, or after patience where it is shorter."""
EXPLODED = 5.0
"""Times the smallest loss of an epoch so far."""


@dataclasses.dataclass
class Standing:
    """Where a run stands, apart from its tensors: plain data, saved with every state."""

    step: int = 0
    unjudged: bool = False
    """The steps of an epoch are done, and its validation is not: that comes next."""
    bicubic_psnr_db: float = 0.0
    best_epoch: int = 0
    """0: none yet."""
    best_step: int = 0
    best_psnr_db: float | None = None
    """Of the best epoch, as the next."""
    best_loss: float | None = None
    loss_sums: list[float] = dataclasses.field(default_factory=list)
    """Of the steps of the running epoch, over all ranks: the whole loss, then each of its terms."""
    loss_steps: float = 0.0
    """How many losses are in each sum."""
    skipped_steps: int = 0
    """Steps that fp16's loss scaler left out."""
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One line for each epoch that is over."""
    changes: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Settings that were changed on the way."""
    warnings: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """{"step", "kind", "text"}: what a person should look at; each kind once."""

    def add_losses(self, sums: list[float], steps: float) -> None:
        """Add losses to the running epoch: their sums, the whole one first, and their number."""
        before = self.loss_sums or [0.0] * len(sums)
        self.loss_sums = [old + new for old, new in zip(before, sums, strict=True)]
        self.loss_steps += steps

    def take_losses(self) -> list[float | None]:
        """Return the epoch's mean losses, and begin the next one. None where no loss was finite."""
        # Rounded, since where the sum was interrupted must not show in its last digits.
        means = [round(total / self.loss_steps, 9) if self.loss_steps else None for total in self.loss_sums]
        self.loss_sums, self.loss_steps = [], 0.0
        return means

    def take_best(self, psnr_db: float, loss: float, monitor: str) -> bool:
        """Take down the epoch that ends as the best one, if it is better than all before, and sound.

        Args:
            psnr_db, loss: of the validation; either may be infinite or not a number.
            watch: "psnr" or "loss".

        Returns:
            Whether it is.
        """
        sound = math.isfinite(psnr_db) and psnr_db > self.bicubic_psnr_db - FAR_BELOW_DB
        if not sound or not math.isfinite(loss):
            return False
        if self.best_psnr_db is not None and self.best_loss is not None:
            better = psnr_db > self.best_psnr_db if monitor == "psnr" else loss < self.best_loss
            if not better:
                return False
        self.best_psnr_db, self.best_loss = psnr_db, loss
        self.best_epoch, self.best_step = len(self.history) + 1, self.step
        return True

    def close_epoch(
        self,
        loss: float | None,
        terms: dict[str, float | None],
        psnr_db: float,
        validation_loss: float,
        learning_rate: float,
    ) -> None:
        """Add the line of the epoch that ends, after `take_best`."""
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
        self.unjudged = False

    def record(self, job: TrainingJob, stopped_by: str, weights_sha256: str) -> dict[str, Any]:
        """Return training.json of the run, which is over.

        Raises:
            UserError: no epoch gave weights worth keeping.
        """
        if not self.best_epoch:
            expected = (
                f"a validation PSNR within {FAR_BELOW_DB:g} dB of bicubic ({in_db(self.bicubic_psnr_db)})"
            )
            last = in_db(self.history[-1]["psnr_db"]) if self.history else "no epoch"
            got = f"none in {len(self.history)} epochs ({last} at the end)"
            remedy = "train longer (the run goes on from where it is), or with a lower learning rate"
            raise UserError(expected, got, "this training", remedy)
        return {
            "schema": SCHEMA,
            "preset": job.preset,
            "settings": changeable(job),
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

    def warn(self, kind: str, text: str) -> bool:
        """Note what a person should look at; return whether this kind is new."""
        if any(one["kind"] == kind for one in self.warnings):
            return False
        self.warnings.append({"step": self.step, "kind": kind, "text": text})
        return True


def oddities(history: list[dict[str, Any]], patience_epochs: int) -> dict[str, str]:
    """What is odd about a run after its latest epoch: kind → text; empty while all is well.

    Args:
        history: lines with "loss" (or None), "psnr_db" (or None), "validation_loss" (or None), "bicubic_psnr_db" and
            "best".
        patience_epochs: epochs without a better one after which the run ends.
    """
    found, last = {}, history[-1]
    losses = [line["loss"] for line in history if line["loss"] is not None]
    if last["loss"] is None or last["psnr_db"] is None or last["validation_loss"] is None:
        found["not_finite"] = "a loss or the validation is not a finite number"
    elif last["loss"] > EXPLODED * min(losses):
        found["exploding"] = f"the loss is {last['loss']:.4g} where it was {min(losses):.4g} before"
    gained = any((line["psnr_db"] or 0.0) > line["bicubic_psnr_db"] for line in history)
    if len(history) >= FRUITLESS_EPOCHS and not gained:
        found["no_gain"] = f"no epoch of {len(history)} was better than bicubic"
    best = max((epoch for epoch, line in enumerate(history, 1) if line["best"]), default=0)
    if best and len(history) - best >= min(PLATEAU_EPOCHS, patience_epochs):
        found["plateau"] = f"no epoch of the last {len(history) - best} was better than epoch {best}"
    judged = [(line["psnr_db"], line["validation_loss"]) for line in history[-UNCHANGED_EPOCHS:]]
    if len(judged) == UNCHANGED_EPOCHS and len(set(judged)) == 1:
        found["unchanged"] = (
            f"the last {UNCHANGED_EPOCHS} epochs changed nothing: the network is dead, or learns at no rate"
        )
    return found


def in_db(psnr_db: float | None) -> str:
    """Return a PSNR as a person reads it."""
    return "no PSNR" if psnr_db is None else f"{psnr_db:.3f} dB"
