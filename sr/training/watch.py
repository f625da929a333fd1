"""What a long run keeps an eye on: that its losses are finite, and whether it shall save or stop."""

import math
import signal
import time

import torch
from torch import Tensor

from data.errors import UserError
from sr.training.loader import Batch

LOOK_EVERY_STEPS = 20
"""Reading a loss waits for the device, so losses are read together."""
PATIENCE_STEPS = 50
"""Steps in a row that fp16's loss scaler may skip before the run is given up."""
ASK_EVERY_STEPS = 10
"""Several ranks agree on what to do by an exchange, which is not free."""


class LossWatch:
    """Collects the losses of an epoch, and stops the run at the first that is not finite."""

    def __init__(self, patient: bool) -> None:
        """Begin.

        Args:
            patient: bear `PATIENCE_STEPS` losses in a row that are not finite: the scaler skips such steps.
                They stay out of the sum.
        """
        self.latest = math.nan
        self._patience = PATIENCE_STEPS if patient else 0
        self._waiting: list[tuple[int, Tensor, str]] = []
        self._bad_in_a_row = 0
        self._total, self._steps = 0.0, 0

    def add(self, step: int, loss: Tensor, batches: list[Batch]) -> None:
        """Take a step's loss, a scalar on the device, and what it was made of.

        Raises:
            UserError: a loss that was looked at is not finite.
        """
        self._waiting.append((step, loss, " ".join(key for batch in batches for key in batch.keys)))
        if loss.device.type == "cpu" or len(self._waiting) >= LOOK_EVERY_STEPS:
            self._look()

    def collect(self) -> tuple[float, int]:
        """Return the sum and the number of the losses since the last call."""
        self._look()
        total, steps = self._total, self._steps
        self._total, self._steps = 0.0, 0
        return total, steps

    def _look(self) -> None:
        if not self._waiting:
            return
        losses = torch.stack([loss for _, loss, _ in self._waiting]).tolist()
        for (step, _, keys), loss in zip(self._waiting, losses, strict=True):
            self._steps += 1
            self.latest = loss
            if math.isfinite(loss):
                self._bad_in_a_row = 0
                self._total += loss
                continue
            self._bad_in_a_row += 1
            if self._bad_in_a_row > self._patience:
                where = f"the loss of step {step}, of these pictures: {keys}"
                remedy = (
                    "look at them, or train with a lower learning rate, with fp32, or from the state before"
                )
                raise UserError("a finite loss", str(loss), where, remedy)
        self._waiting.clear()


class StopVote:
    """Lets all ranks save, or save and stop, after the same step."""

    def __init__(self, ranks: int, rank: int, device: torch.device, save_every_s: float) -> None:
        """Listen to SIGTERM and SIGINT from now on.

        Args:
            ranks: how many must agree.
            rank: this one; rank 0's clock counts.
            device: where the exchange happens.
            save_every_s: seconds between saves; 0 for one after each step.
        """
        self._ranks, self._rank, self._device, self._save_every_s = ranks, rank, device, save_every_s
        self._stop = False
        self.saved()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, *_: object) -> None:
        self._stop = True

    def saved(self) -> None:
        """Begin a new interval."""
        self._saved_at = time.monotonic()

    def ask(self, step: int) -> tuple[bool, bool]:
        """Whether to stop, and whether to save, after `step`; the same on every rank."""
        due = self._rank == 0 and time.monotonic() - self._saved_at >= self._save_every_s
        if self._ranks == 1:
            return self._stop, due
        if step % ASK_EVERY_STEPS and self._save_every_s:
            return False, False
        votes = torch.tensor([self._stop, due], dtype=torch.int32, device=self._device)
        torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
        stop, save = votes.tolist()
        return bool(stop), bool(save)
