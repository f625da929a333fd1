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
