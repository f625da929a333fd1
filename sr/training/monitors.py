"""What a long run keeps an eye on: that its losses are finite, and whether it shall save, stop or end."""

import math
import signal
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from sr.training.loader import Batch
from sr.training.rank_errors import StepError

LOOK_EVERY_STEPS = 20
"""Reading a loss waits for the device, so losses are read together."""
PATIENCE_STEPS = 50
"""Steps in a row that fp16's loss scaler may skip before the run is given up."""
ASK_EVERY_STEPS = 10
"""Several ranks agree on what to do by an exchange, which is not free …"""
SLOW_STEP_S = 1.0
"""… but costs nothing beside steps that take longer: then they ask each time."""


class LossWatch:
    """Collects the losses of an epoch, and stops the run at the first that is not finite."""

    def __init__(self, figures: int, patient: bool) -> None:
        """Begin.

        Args:
            figures: how many losses each step has: the whole one and its terms.
            patient: bear `PATIENCE_STEPS` losses in a row that are not finite: the scaler skips such steps.
                They stay out of the sums.
        """
        self.latest = math.nan
        self._patience = PATIENCE_STEPS if patient else 0
        self._waiting: list[tuple[int, Tensor, str]] = []
        self._bad_in_a_row = 0
        self._sums, self._steps = [0.0] * figures, 0

    def add(self, step: int, losses: Tensor, batches: list[Batch]) -> None:
        """Take a step's losses, [figures] on the device with the whole one first, and what they were made of.

        Raises:
            StepError: a loss that was looked at is not finite.
        """
        self._waiting.append((step, losses, " ".join(key for batch in batches for key in batch.keys)))
        if losses.device.type == "cpu" or len(self._waiting) >= LOOK_EVERY_STEPS:
            self._look()

    def collect(self) -> tuple[list[float], int]:
        """Return the sums since the last call, and the number of finite losses in each."""
        self._look()
        sums, steps = self._sums, self._steps
        self._sums, self._steps = [0.0] * len(sums), 0
        return sums, steps

    def _look(self) -> None:
        if not self._waiting:
            return
        figures = torch.stack([losses for _, losses, _ in self._waiting]).tolist()  # [steps][figures]
        for (step, _, keys), (loss, *terms) in zip(self._waiting, figures, strict=True):
            self.latest = loss
            if math.isfinite(loss):
                self._bad_in_a_row = 0
                self._steps += 1
                self._sums = [total + one for total, one in zip(self._sums, [loss, *terms], strict=True)]
                continue
            self._bad_in_a_row += 1
            if self._bad_in_a_row > self._patience:
                where = f"the loss of step {step}, of these images: {keys}"
                remedy = (
                    "look at them, or train with a lower learning rate, with fp32, or from the state before"
                )
                raise StepError(step, "a finite loss", str(loss), where, remedy)
        self._waiting.clear()


@dataclass(frozen=True)
class Verdict:
    """What all ranks do after a step."""

    stop: bool = False
    """Save and leave: a signal came."""
    save: bool = False
    late: bool = False
    """The hours of training are over."""


class StopVote:
    """Lets all ranks save, save and stop, or end the run, after the same step."""

    def __init__(
        self,
        world_size: int,
        rank: int,
        device: torch.device,
        save_every_s: float,
        save_every_steps: int = 0,
        seconds_left: float = math.inf,
    ) -> None:
        """Listen to SIGTERM and SIGINT from now on.

        Args:
            ranks: how many must agree.
            rank: this one; rank 0's clock counts.
            device: where the exchange happens.
            save_every_s: seconds between saves; 0 for one after each step.
            save_every_steps: steps between saves, beside the clock; 0 for none.
            seconds_left: from now to the end of the run.
        """
        self._ranks, self._rank, self._device = world_size, rank, device
        self._save_every_s, self._save_every_steps = save_every_s, save_every_steps
        self._end = time.monotonic() + seconds_left
        self.asked_to_stop = False
        """Whether a signal came: to this rank, and maybe not yet to others."""
        self._ask_every_steps, self._asked = 1, (time.monotonic(), math.inf)
        self.saved()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, *_: object) -> None:
        self.asked_to_stop = True

    def saved(self) -> None:
        """Begin a new interval."""
        self._saved_at = time.monotonic()

    def ask(self, step: int) -> Verdict:
        """What to do after `step`; the same on every rank."""
        now = time.monotonic()
        due = self._rank == 0 and now - self._saved_at >= self._save_every_s
        late = self._rank == 0 and now >= self._end
        counted = bool(self._save_every_steps) and step % self._save_every_steps == 0
        if self._ranks == 1:
            return Verdict(self.asked_to_stop, due or counted, late)
        if step % self._ask_every_steps and self._save_every_s:
            return Verdict(save=counted)
        asked_at, asked_step = self._asked
        slow = self._rank == 0 and now - asked_at > SLOW_STEP_S * (step - asked_step)
        self._asked = now, step
        votes = torch.tensor([self.asked_to_stop, due, late, slow], dtype=torch.int32, device=self._device)
        torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
        stop, due, late, slow = map(bool, votes.tolist())
        self._ask_every_steps = 1 if slow else ASK_EVERY_STEPS
        return Verdict(stop, due or counted, late)
