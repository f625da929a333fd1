"""How long a run lasts and how fast it learns: pure functions of job and step, so nothing needs saving."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from data.errors import UserError
from data.records import TrainingJob


@dataclass(frozen=True)
class Plan:
    """The length of a run, in optimizer steps."""

    steps_per_epoch: int
    total_steps: int
    """The last epoch may be cut short by it."""

    @property
    def epochs(self) -> int:
        """Epochs in all, a cut one counted."""
        return -(-self.total_steps // self.steps_per_epoch)

    def epoch_end(self, epoch: int) -> int:
        """The step after which epoch `epoch` (from 0) is over."""
        return min((epoch + 1) * self.steps_per_epoch, self.total_steps)


def plan_run(job: TrainingJob, training_pairs: int) -> Plan:
    """Work out the length of a run.

    Args:
        job: its settings.
        training_pairs: pairs that one pass over the training split gives.
    """
    per_step = job.micro_batch_size * job.gradient_accumulation_steps
    steps_per_epoch = job.steps_per_epoch or max(1, math.ceil(training_pairs / per_step))
    total = job.max_epochs * steps_per_epoch
    return Plan(steps_per_epoch, min(total, job.max_steps) if job.max_steps else total)


def _constant(_done: float) -> float:
    return 1.0


def _cosine(done: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * done))


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": _constant, "cosine": _cosine}
"""Name → factor on the learning rate, of the share of the steps after warm-up that are done, 0 to 1."""


def learning_rate_at(job: TrainingJob, step: int, total_steps: int) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0: a linear warm-up, then the schedule."""
    if step < job.warmup_steps:
        return job.learning_rate * (step + 1) / job.warmup_steps
    after_warmup = max(1, total_steps - job.warmup_steps)
    return job.learning_rate * SCHEDULES[job.schedule](min(1.0, (step - job.warmup_steps) / after_warmup))


@functools.cache
def parse_stages(text: str) -> tuple[tuple[int, float], ...]:
    """Read `patch_stages`: sides of patches in pixels, each with its share of the steps, as "64:0.5,128:0.3".

    Raises:
        UserError: it does not read so, or the shares leave nothing for patch_px.
    """
    stages = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        side, _, share = word.partition(":")
        try:
            stages.append((int(side), float(share)))
        except ValueError:
            stages.append((0, 0.0))
    if any(not 0 < share < 1 for _, share in stages) or sum(share for _, share in stages) >= 1:
        expected = (
            "sides and shares as 64:0.5,128:0.3, with shares of less than 1 together: patch_px has the rest"
        )
        raise UserError(expected, repr(text), "the training settings", "change patch_stages")
    return tuple(stages)


def patch_px_at(job: TrainingJob, step: int, total_steps: int) -> int:
    """The side of the high patches at optimizer step `step`, counted from 0: each stage in turn, then patch_px."""
    share = 0.0
    for side_px, its_share in parse_stages(job.patch_stages):
        share += its_share
        if step < round(share * total_steps):
            return side_px
    return job.patch_px
