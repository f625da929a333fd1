"""Decides which patch each pair of a step shows, and how it is augmented: a pure function of settings, step and row.

A row is a pair's number in the batch of a step, over all devices. So a run resumes with the number of its step, and any
number of ranks and any micro-batch size see the same pairs. Nothing here reads an image.
"""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.hashing import generator
from sr.pairs.settings import PairSettings

Numbers = npt.NDArray[np.int64]
Fractions = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """The random choices for the pairs of some rows of one step. Each array has one value per pair."""

    rows: Numbers
    """Numbers in the batch of the step."""
    crops: Numbers
    """Numbers of crops in the split."""
    tops: Fractions
    """Vertical positions of the patches, from 0 (top of the crop) to below 1 (bottom)."""
    lefts: Fractions
    """Horizontal positions of the patches, from 0 (left) to below 1 (right)."""
    quarter_turns: Numbers
    """Counterclockwise, 0 to 3."""
    flipped: npt.NDArray[np.bool_]
    """Mirrored left to right, after rotating."""
    brightness: npt.NDArray[np.float32]
    """Factors on the levels."""


def draw_samples(settings: PairSettings, crops: int, step: int, rows: slice = slice(None)) -> Samples:
    """Draw the choices of a step.

    Args:
        settings: seed, batch size, patches per image and probabilities.
        crops: number of crops in the split.
        step: optimizer step, counted from 0.
        rows: which rows of the batch to return.
    """
    numbers = generator("augment", settings.seed, step).random((settings.batch_size, 7))[rows]
    tops, lefts, rotates, turns, flips, brightens, brightness = numbers.T
    factors = settings.brightness_min + (settings.brightness_max - settings.brightness_min) * brightness
    return Samples(
        np.arange(settings.batch_size)[rows],
        _draw_crops(settings, crops, step)[rows],
        tops,
        lefts,
        np.where(rotates < settings.rotate_probability, 1 + (3 * turns).astype(np.int64), 0),
        flips < settings.flip_probability,
        np.where(brightens < settings.brightness_probability, factors, 1.0).astype(np.float32),
    )


def _draw_crops(settings: PairSettings, crops: int, step: int) -> Numbers:
    """Return the crop of each row: every pass over the split takes each crop once, in an order of its own.

    Neighboring rows share a crop if several patches are cut from each.
    """
    images = settings.batch_size // settings.patches_per_image
    passes, places = np.divmod(np.arange(step * images, (step + 1) * images), crops)
    drawn = np.empty(images, np.int64)
    for number in np.unique(passes).tolist():
        within = passes == number
        drawn[within] = _order(settings.seed, number, crops)[places[within]]
    return np.repeat(drawn, settings.patches_per_image)


@functools.lru_cache(maxsize=2)
def _order(seed: int, number: int, crops: int) -> Numbers:
    """Return the order of the crops in a pass."""
    return generator("order", seed, number).permutation(crops)
