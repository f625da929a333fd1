"""What a run's settings mean before anything heavy is loaded: the terms of a loss, and what may change on the way.

Plain data and functions of it, so that a command line can be checked at once; the losses themselves are in
`losses`.
"""

import math
from typing import Any

from data.errors import UserError
from data.records import TrainingJob

LOSS_NAMES = ("l1", "charbonnier", "mse", "frequency", "lpips")
"""The terms that a loss can have; `losses.LOSSES` computes them."""
WATCHED = ("psnr", "loss")
"""What of the validation decides which weights are the best, and when patience is over."""
MAY_CHANGE = (
    "clip_norm",
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
    """Make sure that what is chosen by name is there, before anything is begun.

    Raises:
        UserError: it is not.
    """
    loss_terms(job.loss)
    if job.watch not in WATCHED:
        expected = f"what to watch ({', '.join(WATCHED)})"
        raise UserError(expected, repr(job.watch), "[training] watch", "choose one of these")
