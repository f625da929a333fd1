"""The length of a run, its learning rate and its patch size: pure functions of the job and the step.

Nothing here has to be saved in a checkpoint.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from data.errors import UserError
from sr.training.job import TrainingJob


@dataclass(frozen=True)
class Plan:
    """The length of a run, in optimizer steps."""

    steps_per_epoch: int
    total_steps: int
    """May cut the last epoch short."""

    @property
    def epochs(self) -> int:
        """The number of epochs, including one that is cut short."""
        return -(-self.total_steps // self.steps_per_epoch)

    def epoch_end(self, epoch: int) -> int:
        """Return the step that ends an epoch, counted from 0."""
        return min((epoch + 1) * self.steps_per_epoch, self.total_steps)


def plan_run(job: TrainingJob, training_pairs: int) -> Plan:
    """Compute the length of a run.

    Args:
        job: its settings.
        training_pairs: number of pairs in one pass over the training split.
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
"""Each maps the completed share of the steps after warm-up, 0 to 1, to a factor on the learning rate."""


def learning_rate_at(job: TrainingJob, step: int, total_steps: int) -> float:
    """Return the learning rate of an optimizer step, counted from 0: a linear warm-up, then the schedule."""
    if step < job.warmup_steps:
        return job.learning_rate * (step + 1) / job.warmup_steps
    after_warmup = max(1, total_steps - job.warmup_steps)
    return job.learning_rate * SCHEDULES[job.schedule](min(1.0, (step - job.warmup_steps) / after_warmup))


@functools.cache
def parse_stages(text: str) -> tuple[tuple[int, float], ...]:
    """Parse `patch_stages`: patch sides in pixels, each with its share of the steps, such as "64:0.5,128:0.3".

    Raises:
        UserError: the text cannot be parsed, or the shares leave no steps for patch_px.
    """
    stages = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        side, _, share = word.partition(":")
        try:
            stages.append((int(side), float(share)))
        except ValueError:
            stages.append((0, 0.0))
    if any(not 0 < share < 1 for _, share in stages) or sum(share for _, share in stages) >= 1:
        message = (
            f"[training] patch_stages is {text!r}, but must be sides with shares that add up to less than 1, as in "
            "64:0.5,128:0.3; patch_px takes the rest"
        )
        raise UserError(message, "Change patch_stages")
    return tuple(stages)


def patch_px_at(job: TrainingJob, step: int, total_steps: int) -> int:
    """Return the side of the HR patches at an optimizer step, counted from 0: each stage in turn, then patch_px."""
    end = 0.0
    for side_px, share in parse_stages(job.patch_stages):
        end += share
        if step < round(end * total_steps):
            return side_px
    return job.patch_px
