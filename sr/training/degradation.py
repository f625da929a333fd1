"""What is done to LR images besides the bicubic reduction: blur, noise, JPEG and video codecs, by chance.

What the text of a setting means is `degradation_text`. Steps are done in the order of its STEPS, as they befall a
image: a lens blurs, a sensor is noisy, files are compressed. Chance is drawn by number as in `pairs`, each step's
from a generator of its own, so that one step's settings do not change what the others do.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from data.hashing import generator
from sr.training.codec_artifacts import CODECS, through_codec
from sr.training.degradation_parser import Step

BLUR_REACH_SIGMAS = 4
_JPEG_BLOCK_PX = 8


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


def degrade_low(lr_image: np.ndarray, steps: tuple[Step, ...], *number: int | str) -> np.ndarray:
    """Do to an LR image what is done after the reduction.

    Args:
        lr_image: uint8 HWC RGB.
        steps: those of the job; blur is passed over.
        number: which pair it is, seed first.

    Returns:
        uint8 HWC of the same size.
    """
    for step in steps:
        if step.name != "blur":
            happens, value, chance = _drawn(step, number)
            if happens:
                lr_image = _ARTIFACTS[step.name](lr_image, value, chance)
    return lr_image


def _drawn(step: Step, number: tuple[int | str, ...]) -> tuple[bool, float, Generator]:
    """Whether a step happens, how strongly, and the generator for the rest of its chance."""
    chance = generator("degrade", step.name, *number)
    happens, strength = chance.random(2).tolist()
    return happens < step.probability, step.least + (step.most - step.least) * strength, chance


def _noise(lr_image: np.ndarray, sigma: float, chance: Generator) -> np.ndarray:
    values = lr_image + sigma * chance.standard_normal(lr_image.shape, np.float32)
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _jpeg(lr_image: np.ndarray, quality: float, chance: Generator) -> np.ndarray:
    """Encode as JPEG (4:2:0) and decode; the grid of blocks begins anywhere, as in a patch of a large image."""
    down, right = chance.integers(_JPEG_BLOCK_PX, size=2).tolist()
    padded = cv2.copyMakeBorder(lr_image, down, 0, right, 0, cv2.BORDER_REFLECT)
    # OpenCV's channels are BGR: red and blue change places on the way in and on the way out.
    written = cv2.imencode(".jpg", padded[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    return cv2.imdecode(written, cv2.IMREAD_COLOR_RGB)[down:, right:]


def _codec(lr_image: np.ndarray, crf: float, chance: Generator) -> np.ndarray:
    return through_codec(lr_image, list(CODECS)[int(chance.integers(len(CODECS)))], round(crf), chance)


def _by(codec: str) -> Callable[[np.ndarray, float, Generator], np.ndarray]:
    return lambda lr_image, crf, chance: through_codec(lr_image, codec, round(crf), chance)


_ARTIFACTS: dict[str, Callable[[np.ndarray, float, Generator], np.ndarray]] = {
    "noise": _noise,
    "jpeg": _jpeg,
    "codec": _codec,
    **{codec: _by(codec) for codec in CODECS},
}
