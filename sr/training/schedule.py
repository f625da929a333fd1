"""The length of a run, its learning rate and its patch size: pure functions of the job and the step.

Nothing here has to be saved in a checkpoint.
"""

import functools
import math
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
    steps_per_epoch = job.steps_per_epoch or max(1, math.ceil(training_pairs / job.batch_size))
    total = job.max_epochs * steps_per_epoch
    return Plan(steps_per_epoch, min(total, job.max_steps) if job.max_steps else total)


SCHEDULES = ("constant", "cosine", "multistep")
"""How the learning rate goes on after the warm-up; see `learning_rate_at`."""


def learning_rate_at(job: TrainingJob, step: int, total_steps: int) -> float:
    """Return the learning rate of an optimizer step, counted from 0.

    After a linear warm-up it is constant; or it falls along a half cosine to `learning_rate_min` at the last step; or
    it is multiplied by `milestone_factor` at each of `milestones`, shares of all steps.
    """
    if step < job.warmup_steps:
        return job.learning_rate * (step + 1) / job.warmup_steps
    if job.schedule == "cosine":
        done = min(1.0, (step - job.warmup_steps) / max(1, total_steps - job.warmup_steps))
        lowest = min(job.learning_rate_min, job.learning_rate)
        return lowest + (job.learning_rate - lowest) * 0.5 * (1.0 + math.cos(math.pi * done))
    if job.schedule == "multistep":
        passed = sum(step >= round(share * total_steps) for share in parse_milestones(job.milestones))
        return max(job.learning_rate * job.milestone_factor**passed, job.learning_rate_min)
    return job.learning_rate


@functools.cache
def parse_milestones(text: str) -> tuple[float, ...]:
    """Parse `milestones`: rising shares of the steps, such as "0.5,0.8,0.9".

    Raises:
        UserError: the text is anything else.
    """
    try:
        shares = tuple(float(word) for word in text.split(","))
    except ValueError:
        shares = ()
    if not shares or any(not 0 < share < 1 for share in shares) or list(shares) != sorted(set(shares)):
        message = (
            f"[training] milestones is {text!r}, but must be rising shares of the steps, such as 0.5,0.8,0.9"
        )
        raise UserError(message, "Change milestones")
    return shares


def ema_decay_at(job: TrainingJob, step: int) -> float:
    """Return the decay of the EMA after an optimizer step, counted from 0.

    It rises to `ema_decay`, so that the average soon forgets the untrained weights.

    Source: the ramp (1 + n) / (10 + n) of TensorFlow's ExponentialMovingAverage.
    """
    return min(job.ema_decay, (1.0 + step) / (10.0 + step))


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


def patch_sizes_px(job: TrainingJob) -> list[int]:
    """Return the different sides of the HR patches of a job, in the order in which they come."""
    return list(dict.fromkeys([*(side_px for side_px, _ in parse_stages(job.patch_stages)), job.patch_px]))
