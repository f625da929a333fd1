"""Degrades LR images beyond bicubic downscaling: random blur, noise, JPEG and video codecs.

`parser` explains the text of the setting. Steps are applied in the order in which they happen to a real image: a lens
blurs, a sensor adds noise, files are compressed. As in `sr.pairs.sampler`, randomness depends on the pair's number
alone, and each step has its own generator, so the settings of one step do not change what the others do.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from data.hashing import generator
from sr.degradation.codec_artifacts import CODECS, Image, apply_codec
from sr.degradation.parser import DegradationStep

BLUR_RADIUS_SIGMAS = 4
"""Radius of the blur kernel, in sigmas."""
_JPEG_BLOCK_PX = 8


def blur_radius_px(steps: tuple[DegradationStep, ...]) -> int:
    """Return the radius of the strongest blur of these steps, in HR pixels; 0 if there is none."""
    return max(
        (int(np.ceil(BLUR_RADIUS_SIGMAS * step.maximum)) for step in steps if step.name == "blur"), default=0
    )


def draw_blur_sigma_px(steps: tuple[DegradationStep, ...], *number: int | str) -> float:
    """Draw the blur of one pair.

    Args:
        steps: the steps of the job.
        number: identifies the pair, the seed first.

    Returns:
        The sigma in HR pixels; 0 for no blur.
    """
    for step in steps:
        if step.name == "blur":
            happens, value, _ = _draw(step, number)
            return value if happens else 0.0
    return 0.0


def degrade_lr_image(lr_image: Image, steps: tuple[DegradationStep, ...], *number: int | str) -> Image:
    """Apply the steps that follow downscaling.

    Args:
        lr_image: uint8 HWC RGB.
        steps: the steps of the job; blur is skipped.
        number: identifies the pair, the seed first.

    Returns:
        uint8 HWC of the same size.
    """
    for step in steps:
        if step.name != "blur":
            happens, value, stream = _draw(step, number)
            if happens:
                lr_image = _ARTIFACTS[step.name](lr_image, value, stream)
    return lr_image


def _draw(step: DegradationStep, number: tuple[int | str, ...]) -> tuple[bool, float, Generator]:
    """Draw whether a step happens and its strength; return the generator for its remaining random numbers."""
    stream = generator("degrade", step.name, *number)
    happens, strength = stream.random(2).tolist()
    return happens < step.probability, step.minimum + (step.maximum - step.minimum) * strength, stream


def _add_noise(lr_image: Image, sigma: float, stream: Generator) -> Image:
    values = lr_image + sigma * stream.standard_normal(lr_image.shape, np.float32)
    noisy: Image = np.rint(values).clip(0, 255).astype(np.uint8)
    return noisy


def _apply_jpeg(lr_image: Image, quality: float, stream: Generator) -> Image:
    """Encode as JPEG (4:2:0) and decode; the grid of blocks starts anywhere, as in a patch of a large image."""
    down, right = stream.integers(_JPEG_BLOCK_PX, size=2).tolist()
    padded = cv2.copyMakeBorder(lr_image, down, 0, right, 0, cv2.BORDER_REFLECT)
    # OpenCV's channels are BGR: red and blue are swapped before encoding and after decoding.
    encoded = cv2.imencode(".jpg", padded[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise RuntimeError(f"OpenCV cannot decode the JPEG of {lr_image.shape} pixels that it encoded.")
    return decoded.astype(np.uint8, copy=False)[down:, right:]


def _apply_random_codec(lr_image: Image, crf: float, stream: Generator) -> Image:
    return apply_codec(lr_image, list(CODECS)[int(stream.integers(len(CODECS)))], round(crf), stream)


def _codec_step(codec: str) -> Callable[[Image, float, Generator], Image]:
    return lambda lr_image, crf, stream: apply_codec(lr_image, codec, round(crf), stream)


_ARTIFACTS: dict[str, Callable[[Image, float, Generator], Image]] = {
    "noise": _add_noise,
    "jpeg": _apply_jpeg,
    "codec": _apply_random_codec,
    **{codec: _codec_step(codec) for codec in CODECS},
}
