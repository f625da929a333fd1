"""Checks the settings of a training before anything heavy is loaded, and parses its loss.

Everything here is plain data, so a command line can be checked at once. `losses` computes the losses.
"""

import math
from typing import Any

from data.errors import UserError
from data.setting import check_values
from sr.pairs.settings import check_pair_settings
from sr.training.job import TrainingJob
from sr.training.schedule import parse_milestones

LOSS_NAMES = ("l1", "charbonnier", "mse", "frequency", "lpips")
"""The terms that a loss can have; `losses.LOSSES` computes them."""
CHANGEABLE_FIELDS = (
    "max_grad_norm",
    "compile",
    "learning_rate",
    "max_epochs",
    "max_hours",
    "max_steps",
    "patience_epochs",
    "learning_rate_min",
    "milestone_factor",
    "milestones",
    "schedule",
    "warmup_steps",
    "weight_decay",
)
"""Fields of a job that may change when a run resumes; they are not part of the name of its directory."""


def parse_loss(text: str) -> dict[str, float]:
    """Parse a loss: one name such as "l1", or a weighted sum such as "l1:1+frequency:0.05".

    Returns:
        The weight of each term, in the given order; a name alone has weight 1.

    Raises:
        UserError: a name is unknown or occurs twice, or a weight is not a positive number.

    Example:
        >>> parse_loss("l1+frequency:0.05")
        {'l1': 1.0, 'frequency': 0.05}
    """
    terms: dict[str, float] = {}
    for part in text.split("+"):
        name, colon, weight = (piece.strip() for piece in part.partition(":"))
        if name not in LOSS_NAMES:
            message = f"[training] loss contains {name!r}, which is not one of {', '.join(LOSS_NAMES)}"
            raise UserError(message, "Choose one of them, or a sum such as l1:1+frequency:0.05")
        if name in terms:
            raise UserError(f"[training] loss contains {name} twice: {text!r}", "Add the weights up")
        terms[name] = _parse_weight(weight) if colon else 1.0
    return terms


def _parse_weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0.0 < weight < math.inf:
        message = f"The weight of a term of [training] loss must be a positive number, not {text!r}"
        raise UserError(message, "Write it as in l1:1+frequency:0.05, or remove the term")
    return weight


def read_changeable(job: TrainingJob) -> dict[str, Any]:
    """Return the fields of a job that may change when its run resumes, with their values."""
    return {name: getattr(job, name) for name in CHANGEABLE_FIELDS}


def check_settings(job: TrainingJob, micro_batch_size: int = 0) -> None:
    """Check that each setting of a job has a valid value.

    Raises:
        UserError: one has not, or a micro-batch is larger than the batch.
    """
    check_values(job, "training")
    parse_loss(job.loss)
    parse_milestones(job.milestones)
    check_pair_settings(job)
    if micro_batch_size > job.batch_size:
        message = (
            f"[training] micro_batch_size is {micro_batch_size}, but batch_size, the pairs of an optimizer step over "
            f"all devices, is {job.batch_size}"
        )
        hint = "Raise batch_size; micro_batch_size only says how many of them a device takes at once"
        raise UserError(message, hint)
