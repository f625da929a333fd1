"""What is done to low pictures besides the bicubic reduction: blur, noise, JPEG and film codecs, by chance.

A degradation is text: `bicubic`, then any of the steps of STEPS, with commas between them. A step may carry
its range and its probability: `bicubic,blur:0.4-1.5,jpeg:30-90@0.5`. However they are listed, steps are done
in the order of STEPS, as they befall a picture: a lens blurs, a sensor is noisy, files are compressed.
Chance is drawn by number as in `pairs`, each step's from a generator of its own, so that one step's settings
do not change what the others do.
"""

import dataclasses
import re
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from data.digests import generator
from data.errors import UserError
from sr.training.film_artefacts import CODECS, through_codec

PLAIN = "bicubic"
BLUR_REACH_SIGMAS = 4
_JPEG_BLOCK_PX = 8


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that may befall a low picture."""

    name: str
    least: float
    most: float
    probability: float


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("blur", 0.2, 1.5, 0.5),  # sigma of a Gaussian before the reduction, in high pixels
        Step("noise", 0.0, 8.0, 0.5),  # sigma of a Gaussian on the low picture, in levels
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


def blur_reach_px(steps: tuple[Step, ...]) -> int:
    """How far, in high pixels, the strongest blur of these steps looks."""
    return max(
        (int(np.ceil(BLUR_REACH_SIGMAS * step.most)) for step in steps if step.name == "blur"), default=0
    )


def blur_sigma_px(steps: tuple[Step, ...], *number: int | str) -> float:
    """The blur of one pair, in high pixels; 0 for none. `number` says which pair, seed first."""
    for step in steps:
        if step.name == "blur":
            happens, value, _ = _drawn(step, number)
            return value if happens else 0.0
    return 0.0


def degrade_low(low: np.ndarray, steps: tuple[Step, ...], *number: int | str) -> np.ndarray:
    """Do to a low picture what is done after the reduction.

    Args:
        low: uint8 HWC RGB.
        steps: those of the job; blur is passed over.
        number: which pair it is, seed first.

    Returns:
        uint8 HWC of the same size.
    """
    for step in steps:
        if step.name != "blur":
            happens, value, chance = _drawn(step, number)
            if happens:
                low = _ARTEFACTS[step.name](low, value, chance)
    return low


def _drawn(step: Step, number: tuple[int | str, ...]) -> tuple[bool, float, Generator]:
    """Whether a step happens, how strongly, and the generator for the rest of its chance."""
    chance = generator("degrade", step.name, *number)
    happens, strength = chance.random(2).tolist()
    return happens < step.probability, step.least + (step.most - step.least) * strength, chance


def _noise(low: np.ndarray, sigma: float, chance: Generator) -> np.ndarray:
    values = low + sigma * chance.standard_normal(low.shape, np.float32)
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _jpeg(low: np.ndarray, quality: float, chance: Generator) -> np.ndarray:
    """Encode as JPEG (4:2:0) and decode; the grid of blocks begins anywhere, as in a patch of a large picture."""
    down, right = chance.integers(_JPEG_BLOCK_PX, size=2).tolist()
    padded = cv2.copyMakeBorder(low, down, 0, right, 0, cv2.BORDER_REFLECT)
    # OpenCV's channels are BGR: red and blue change places on the way in and on the way out.
    written = cv2.imencode(".jpg", padded[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    return cv2.imdecode(written, cv2.IMREAD_COLOR_RGB)[down:, right:]


def _codec(low: np.ndarray, crf: float, chance: Generator) -> np.ndarray:
    return through_codec(low, list(CODECS)[int(chance.integers(len(CODECS)))], round(crf), chance)


def _by(codec: str) -> Callable[[np.ndarray, float, Generator], np.ndarray]:
    return lambda low, crf, chance: through_codec(low, codec, round(crf), chance)


_ARTEFACTS: dict[str, Callable[[np.ndarray, float, Generator], np.ndarray]] = {
    "noise": _noise,
    "jpeg": _jpeg,
    "codec": _codec,
    **{codec: _by(codec) for codec in CODECS},
}
