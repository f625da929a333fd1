"""Checks the settings of a training before anything heavy is loaded: ranges, choices, and the terms of a loss.

Everything here is plain data, so a command line can be checked at once. `losses` computes the losses.
"""

import math
from collections.abc import Callable
from typing import Any

from data.errors import UserError
from sr.degradation.parser import parse_degradation
from sr.training.job import TrainingJob
from sr.training.schedule import SCHEDULES, parse_milestones, parse_stages

LOSS_NAMES = ("l1", "charbonnier", "mse", "frequency", "lpips")
"""The terms that a loss can have; `losses.LOSSES` computes them."""
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
"""What convolutions may be computed in."""
MONITOR_METRICS = ("psnr", "loss")
"""The validation metrics that can select the best weights and end a run by patience."""
AUTO = "auto"
DECODERS = (AUTO, "dali", "opencv")
"""What can decode crops; auto: DALI where it is installed."""
CACHE_PLACES = (AUTO, "memory", "disk", "off")
"""Where decoded crops can be kept; auto: the first of the others that has room."""
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

CHOICES = {
    "monitor": MONITOR_METRICS,
    "precision": PRECISIONS,
    "schedule": SCHEDULES,
}
"""Fields of a job that take one of several names."""
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "patch_px batch_size patches_per_image max_epochs patience_epochs": (
        "a number of at least 1",
        lambda value: value >= 1,
    ),
    "warmup_steps max_steps steps_per_epoch": ("a number of at least 0", lambda value: value >= 0),
    "learning_rate learning_rate_min weight_decay max_grad_norm max_hours brightness_min brightness_max": (
        "a finite number of at least 0",
        lambda value: 0 <= value < math.inf,
    ),
    "milestone_factor": ("a number above 0 and at most 1", lambda value: 0 < value <= 1),
    "beta1 beta2 ema_decay": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
    "flip_probability rotate_probability brightness_probability": (
        "a probability from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
}
"""Fields of a job, with what each must be. A NaN is in no range."""


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


def check_settings(job: TrainingJob) -> None:
    """Check that each setting of a job has a valid value.

    Raises:
        UserError: one has not.
    """
    for name, known in CHOICES.items():
        value = getattr(job, name)
        if value not in known:
            raise UserError(f"[training] {name} must be one of {', '.join(known)}, not {value!r}")
    parse_loss(job.loss)
    parse_degradation(job.degradation)
    parse_stages(job.patch_stages)
    parse_milestones(job.milestones)
    for names, (expected, is_valid) in _RANGES.items():
        for name in names.split():
            value = getattr(job, name)
            if not is_valid(value):
                raise UserError(f"[training] {name} must be {expected}, not {value}")
    if job.batch_size % job.patches_per_image:
        message = (
            f"[training] batch_size must be a multiple of the patches per image, but it is {job.batch_size} and "
            f"patches_per_image is {job.patches_per_image}"
        )
        raise UserError(message, "Change batch_size or patches_per_image")
    if job.brightness_min > job.brightness_max:
        message = (
            f"[training] brightness_min ({job.brightness_min}) is above brightness_max ({job.brightness_max})"
        )
        raise UserError(message, "Lower brightness_min, or raise brightness_max")


def check_micro_batch(job: TrainingJob, micro_batch_size: int) -> None:
    """Check that a micro-batch is a part of the batch.

    Raises:
        UserError: it is not.
    """
    if micro_batch_size > job.batch_size:
        message = (
            f"[training] micro_batch_size is {micro_batch_size}, but batch_size, the pairs of an optimizer step over "
            f"all devices, is {job.batch_size}"
        )
        raise UserError(
            message, "Raise batch_size; micro_batch_size only says how many of them a device takes at once"
        )
