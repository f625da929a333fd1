"""Watches a run: checks that its losses are finite, and decides when to save, to stop and to end."""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sr.distributed.rank_errors import StepError
from sr.distributed.ranks import Rank

CHECK_EVERY_STEPS = 20
"""Reading a loss waits for the device, so losses are read together."""
MAX_SKIPPED_STEPS = 50
"""Steps in a row that the fp16 loss scaler may skip before the run is given up."""
VOTE_EVERY_STEPS = 10
"""Several ranks agree on what to do by an exchange, which takes time …"""
SLOW_STEP_S = 1.0
"""… but is negligible beside steps that take longer: then they vote after each step."""


class LossMonitor:
    """Sums up the losses of an epoch, and stops the run at the first loss that is not finite."""

    def __init__(self, num_losses: int, skips_steps: bool, describe: Callable[[int], str]) -> None:
        """Start an epoch.

        Args:
            num_losses: number of losses of each step: the total and its terms.
            skips_steps: tolerate `MAX_SKIPPED_STEPS` losses in a row that are not finite, because the loss scaler
                skips such steps. They are left out of the sums.
            describe: says where the images of a step are, for errors.
        """
        self._describe = describe
        self.latest = math.nan
        self._max_skipped = MAX_SKIPPED_STEPS if skips_steps else 0
        self._unread: list[tuple[int, Tensor]] = []
        self._skipped_in_a_row = 0
        self._sums, self._steps = [0.0] * num_losses, 0

    def add(self, step: int, losses: Tensor) -> None:
        """Add the losses of a step, counted from 1: [num_losses] on the device, the total first.

        Raises:
            StepError: a loss of this step or an earlier one is not finite.
        """
        self._unread.append((step, losses))
        if losses.device.type == "cpu" or len(self._unread) >= CHECK_EVERY_STEPS:
            self._read()

    def collect(self) -> tuple[list[float], int]:
        """Return the sums since the last call, and the number of finite losses in each.

        Raises:
            StepError: a loss is not finite.
        """
        self._read()
        sums, steps = self._sums, self._steps
        self._sums, self._steps = [0.0] * len(sums), 0
        return sums, steps

    def _read(self) -> None:
        if not self._unread:
            return
        rows = torch.stack([losses for _, losses in self._unread]).tolist()  # [steps][num_losses]
        for (step, _), row in zip(self._unread, rows, strict=True):
            self.latest = row[0]
            if math.isfinite(self.latest):
                self._skipped_in_a_row = 0
                self._steps += 1
                self._sums = [total + loss for total, loss in zip(self._sums, row, strict=True)]
                continue
            self._skipped_in_a_row += 1
            if self._skipped_in_a_row > self._max_skipped:
                images = self._describe(step - 1)
                message = f"The loss of step {step} is {self.latest}, not finite; its images are {images}"
                hint = "Look at them, or train with a lower learning rate or with fp32; the run resumes before this"
                raise StepError(step, message, hint)
        self._unread.clear()


@dataclass(frozen=True)
class Decision:
    """What all ranks do after a step."""

    stop: bool = False
    """Save and exit, because a signal arrived."""
    save: bool = False
    """Save a checkpoint."""
    out_of_time: bool = False
    """End the run, because its hours of training are over."""


class StopVote:
    """Makes all ranks save, stop or end the run after the same step."""

    def __init__(
        self, rank: Rank, save_every_s: float, save_every_steps: int = 0, seconds_left: float = math.inf
    ) -> None:
        """Handle SIGTERM and SIGINT from now on.

        Args:
            rank: this process; the clock of rank 0 decides.
            save_every_s: seconds between checkpoints; 0: one after each step.
            save_every_steps: steps between checkpoints, in addition to the clock; 0: none.
            seconds_left: from now to the end of the run.
        """
        self._rank = rank
        self._save_every_s, self._save_every_steps = save_every_s, save_every_steps
        self._end = time.monotonic() + seconds_left
        self.stop_requested = False
        """Whether this rank has received a signal; others may not have."""
        self._vote_every_steps, self._last_vote = 1, (time.monotonic(), math.inf)
        self.mark_saved()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle_signal)

    def _handle_signal(self, *_: object) -> None:
        self.stop_requested = True

    def mark_saved(self) -> None:
        """Start a new interval between checkpoints."""
        self._saved_at = time.monotonic()

    def decide(self, step: int) -> Decision:
        """Return what to do after `step`; the same on every rank."""
        now = time.monotonic()
        due = self._rank.number == 0 and now - self._saved_at >= self._save_every_s
        out_of_time = self._rank.number == 0 and now >= self._end
        counted = bool(self._save_every_steps) and step % self._save_every_steps == 0
        if self._rank.world_size == 1:
            return Decision(self.stop_requested, due or counted, out_of_time)
        if step % self._vote_every_steps and self._save_every_s:
            return Decision(save=counted)
        voted_at, voted_step = self._last_vote
        slow = self._rank.number == 0 and now - voted_at > SLOW_STEP_S * (step - voted_step)
        self._last_vote = now, step
        own = [self.stop_requested, due, out_of_time, slow]
        stop, due, out_of_time, slow = map(bool, self._rank.maximum(list(map(float, own))))
        self._vote_every_steps = 1 if slow else VOTE_EVERY_STEPS
        return Decision(stop, due or counted, out_of_time)
