"""What the text of a degradation says, read without the libraries that carry it out (`degradation`).

A degradation is text: `bicubic`, then any of the steps of STEPS, with commas between them. A step may carry
its range and its probability: `bicubic,blur:0.4-1.5,jpeg:30-90@0.5`. However they are listed, steps are done
in the order of STEPS.
"""

import dataclasses
import re

from data.errors import UserError

PLAIN = "bicubic"


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that may befall an LR image."""

    name: str
    least: float
    most: float
    probability: float


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("blur", 0.2, 1.5, 0.5),  # sigma of a Gaussian before the reduction, in high pixels
        Step("noise", 0.0, 8.0, 0.5),  # sigma of a Gaussian on the LR image, in levels
        Step("jpeg", 40, 95, 0.5),  # quality
        Step("codec", 20, 38, 0.5),  # CRF of H.264, HEVC or AV1, one of them at random
        Step("h264", 18, 34, 0.5),  # CRF
        Step("hevc", 20, 36, 0.5),  # CRF
        Step("av1", 25, 50, 0.5),  # CRF
    )
}
"""By name, with the range and the probability that hold where none is written."""
_WRITTEN = re.compile(r"(\w+)(?::([\d.]+)(?:-([\d.]+))?)?(?:@([\d.]+))?")
_LIMITS = {"blur": (0, 10), "noise": (0, 100), "jpeg": (1, 100)} | dict.fromkeys(
    ("codec", "h264", "hevc"), (0, 51)
)


def parse_degradation(text: str) -> tuple[Step, ...]:
    """Read a degradation.

    Returns:
        Its steps in the order in which they are done; none for plain bicubic.

    Raises:
        UserError: it does not begin with bicubic, or a step is unknown, named twice or out of its limits.
    """
    first, *written = [word.strip() for word in text.split(",")]
    if first != PLAIN:
        raise _refusal(f"a degradation that begins with {PLAIN}", text)
    steps: dict[str, Step] = {}
    for word in written:
        step = _step(word, text)
        if step.name in steps:
            raise _refusal("each step once", text)
        steps[step.name] = step
    return tuple(steps[name] for name in STEPS if name in steps)


def _step(word: str, text: str) -> Step:
    parts = _WRITTEN.fullmatch(word)
    if not parts or parts[1] not in STEPS:
        raise _refusal(f"steps of {', '.join(STEPS)}, as blur:0.4-1.5@0.5", text)
    usual, (lowest, highest) = STEPS[parts[1]], _LIMITS.get(parts[1], (0, 63))
    try:
        least = float(parts[2] or usual.least)
        most = float(parts[3] or (parts[2] or usual.most))
        probability = float(parts[4] or usual.probability)
    except ValueError:
        raise _refusal("numbers", text) from None
    if not lowest <= least <= most <= highest or not 0 <= probability <= 1:
        expected = f"a range within {lowest}-{highest} and a probability of 0 to 1 for {parts[1]}"
        raise _refusal(expected, text)
    return Step(parts[1], least, most, probability)


def _refusal(expected: str, text: str) -> UserError:
    return UserError(expected, repr(text), "the training settings", "change degradation")
