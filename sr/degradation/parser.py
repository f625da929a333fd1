"""Parses the text of a degradation, without the libraries that carry it out (see `degrade`).

A degradation is text: `bicubic`, then any of the steps in STEPS, separated by commas. A step may be followed by its
range and its probability: `bicubic,blur:0.4-1.5,jpeg:30-90@0.5`. Steps are always applied in the order of STEPS.
"""

import dataclasses
import re

from data.errors import UserError

PLAIN = "bicubic"


@dataclasses.dataclass(frozen=True)
class DegradationStep:
    """One random degradation of an LR image."""

    name: str
    minimum: float
    maximum: float
    """The strength is drawn uniformly from this range; its unit depends on the step."""
    probability: float


STEPS: dict[str, DegradationStep] = {
    step.name: step
    for step in (
        DegradationStep("blur", 0.2, 1.5, 0.5),  # sigma of a Gaussian before downscaling, in HR pixels
        DegradationStep("noise", 0.0, 8.0, 0.5),  # sigma of a Gaussian on the LR image, in levels
        DegradationStep("jpeg", 40, 95, 0.5),  # quality
        DegradationStep("codec", 20, 38, 0.5),  # CRF of H.264, HEVC or AV1, one of them at random
        DegradationStep("h264", 18, 34, 0.5),  # CRF
        DegradationStep("hevc", 20, 36, 0.5),  # CRF
        DegradationStep("av1", 25, 50, 0.5),  # CRF
    )
}
"""The steps by name, with their default ranges and probabilities."""
_PATTERN = re.compile(r"(\w+)(?::([\d.]+)(?:-([\d.]+))?)?(?:@([\d.]+))?")
_LIMITS = {"blur": (0, 10), "noise": (0, 100), "jpeg": (1, 100), "av1": (0, 63)} | dict.fromkeys(
    ("codec", "h264", "hevc"), (0, 51)
)


def parse_degradation(text: str) -> tuple[DegradationStep, ...]:
    """Parse a degradation.

    Returns:
        Its steps in the order in which they are applied; empty for plain bicubic.

    Raises:
        UserError: it does not begin with bicubic, or a step is unknown, repeated or out of its limits.

    Example:
        >>> parse_degradation("bicubic,jpeg:30-90@0.25")
        (DegradationStep(name='jpeg', minimum=30.0, maximum=90.0, probability=0.25),)
    """
    first, *words = [word.strip() for word in text.split(",")]
    if first != PLAIN:
        raise _invalid(text, f"it must begin with {PLAIN}")
    steps: dict[str, DegradationStep] = {}
    for word in words:
        step = _parse_step(word, text)
        if step.name in steps:
            raise _invalid(text, f"{step.name} is there twice, but each step may occur once")
        steps[step.name] = step
    return tuple(steps[name] for name in STEPS if name in steps)


def _parse_step(word: str, text: str) -> DegradationStep:
    parts = _PATTERN.fullmatch(word)
    if not parts or parts[1] not in STEPS:
        raise _invalid(text, f"{word!r} is not one of the steps {', '.join(STEPS)}, as in blur:0.4-1.5@0.5")
    name, default = parts[1], STEPS[parts[1]]
    try:
        minimum = float(parts[2] or default.minimum)
        maximum = float(parts[3] or (parts[2] or default.maximum))
        probability = float(parts[4] or default.probability)
    except ValueError:
        raise _invalid(text, f"a number in {word!r} cannot be read") from None
    lowest, highest = _LIMITS[name]
    if not lowest <= minimum <= maximum <= highest or not 0 <= probability <= 1:
        raise _invalid(text, f"{name} takes a range within {lowest}-{highest} and a probability from 0 to 1")
    return DegradationStep(name, minimum, maximum, probability)


def _invalid(text: str, problem: str) -> UserError:
    return UserError(f"The degradation {text!r} is not valid: {problem}", "Change [training] degradation")
