"""What a run's settings mean before anything heavy is loaded: their ranges, a loss's terms, what may change on the way.

Plain data and functions of it, so that a command line can be checked at once; the losses themselves are in
`losses`.
"""

import math
from collections.abc import Callable
from typing import Any

from data.errors import UserError
from data.records import TrainingJob
from sr.training.degradation_parser import parse_degradation
from sr.training.readers import READERS
from sr.training.schedule import SCHEDULES, parse_stages

LOSS_NAMES = ("l1", "charbonnier", "mse", "frequency", "lpips")
"""The terms that a loss can have; `losses.LOSSES` computes them."""
PRECISIONS = ("fp32", "bf16", "fp16")
"""What convolutions may be computed in."""
WATCHED = ("psnr", "loss")
"""What of the validation decides which weights are the best, and when patience is over."""
MAY_CHANGE = (
    "max_grad_norm",
    "compile",
    "learning_rate",
    "max_epochs",
    "max_hours",
    "max_steps",
    "patience_epochs",
    "schedule",
    "warmup_steps",
    "weight_decay",
)
"""Fields of a job that may differ when a run is taken up: they are no part of its directory's name."""

CHOICES = {
    "monitor": WATCHED,
    "precision": PRECISIONS,
    "schedule": tuple(SCHEDULES),
    "loader": READERS,
}
"""Fields of a job that name something, and what they can name."""
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "patch_px micro_batch_size patches_per_image gradient_accumulation_steps max_epochs patience_epochs": (
        "a number of at least 1",
        lambda value: value >= 1,
    ),
    "warmup_steps max_steps steps_per_epoch": ("a number of at least 0", lambda value: value >= 0),
    "learning_rate weight_decay max_grad_norm max_hours brightness_min brightness_max": (
        "a finite number of at least 0",
        lambda value: 0 <= value < math.inf,
    ),
    "beta1 beta2 ema_decay": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
    "flip_probability rotate_probability brightness_probability": (
        "a probability of 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
}
"""Fields of a job → what they must be."""

_WHERE = "[training] loss"


def loss_terms(text: str) -> dict[str, float]:
    """Read a loss: "l1", or a weighted sum such as "l1:1+frequency:0.05".

    Returns:
        Weight by name, in the order given; a name alone has the weight 1.

    Raises:
        UserError: a name is unknown or stands twice, or a weight is no positive number.
    """
    terms: dict[str, float] = {}
    for part in text.split("+"):
        name, colon, weight = (piece.strip() for piece in part.partition(":"))
        if name not in LOSS_NAMES:
            remedy = "choose one of these, or a sum such as l1:1+frequency:0.05"
            raise UserError(f"a loss ({', '.join(LOSS_NAMES)})", repr(name), _WHERE, remedy)
        if name in terms:
            raise UserError("each loss once", f"{name} twice in {text!r}", _WHERE, "add the weights up")
        terms[name] = _weight(weight) if colon else 1.0
    return terms


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0.0 < weight < math.inf:
        remedy = "write it as in l1:1+frequency:0.05, or leave the term out"
        raise UserError("a positive number as a loss's weight", repr(text), _WHERE, remedy)
    return weight


def changeable(job: TrainingJob) -> dict[str, Any]:
    """Return the settings of a job under which the run of its directory may be taken up anew."""
    return {name: getattr(job, name) for name in MAY_CHANGE}


def check_settings(job: TrainingJob) -> None:
    """Make sure that a job can be meant: what is chosen by name is there, numbers are in their ranges, text reads.

    Raises:
        UserError: it cannot.
    """
    for name, known in CHOICES.items():
        if getattr(job, name) not in known:
            expected = f"one of {', '.join(known)}"
            raise UserError(expected, repr(getattr(job, name)), f"[training] {name}", "choose one of these")
    loss_terms(job.loss)
    parse_degradation(job.degradation)
    parse_stages(job.patch_stages)
    for names, (expected, is_right) in _RANGES.items():
        for name in names.split():
            # A number that is none is in no range.
            if not is_right(getattr(job, name)):
                raise UserError(expected, str(getattr(job, name)), f"[training] {name}", f"change {name}")
    if job.micro_batch_size % job.patches_per_image:
        expected = "a micro batch that is a multiple of the patches per image"
        got = f"{job.micro_batch_size} and {job.patches_per_image}"
        raise UserError(expected, got, "[training]", "change micro_batch_size or patches_per_image")
    if job.brightness_min > job.brightness_max:
        got = f"{job.brightness_min} and {job.brightness_max}"
        raise UserError("a least brightness below the greatest", got, "[training]", "change brightness_min")
