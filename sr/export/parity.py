"""Whether two forms of one network make the same image: test images, and how far the results lie apart.

Pure numpy; knows no framework. The images are made, not read, so that every export is checked in the same
way.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from data.hashing import generator

SHAPES = ((1, 48, 64), (2, 32, 32), (1, 70, 38), (3, 24, 56))
"""Batch, height and width of the test images; heights and widths are rounded up to the network's
multiple."""

Run = Callable[[np.ndarray], np.ndarray]
"""uint8 NHWC, of RGB or of luma, to the same, larger."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far two results lie apart, over all images."""

    images: int
    max_level_difference: int
    """0 to 255."""
    differing_share: float
    """Of all values (pixels times channels), 0 to 1."""
    psnr_db: float | None
    """Of one against the other; None where they are equal."""


def image_batches(size_multiple: int, channels: int = 3, seed: int = 0) -> list[np.ndarray]:
    """Batches of drawn images with smooth shading, hard edges, fine texture, black and white.

    Args:
        size_multiple: that heights and widths must have.
        channels: 3, or 1 for the first of them alone.

    Returns:
        uint8 NHWC, of the shapes in SHAPES; equal for equal arguments.
    """
    rng = generator("parity", seed)
    batches = []
    for count, height, width in SHAPES:
        height, width = (-(-size // size_multiple) * size_multiple for size in (height, width))
        batches.append(np.stack([_draw(rng, height, width)[..., :channels] for _ in range(count)]))
    return batches


def image_of(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """One drawn image of a size, as a batch: uint8 NHWC."""
    return _draw(generator("parity of a size", seed), height, width)[None, ..., :channels]


def _draw(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float64)
    slope = rng.uniform(-1, 1, (2, 3)) * 96 / max(height, width)
    image = 128 + (y - height / 2)[..., None] * slope[0] + (x - width / 2)[..., None] * slope[1]
    for _ in range(24):
        radius = 2 / rng.uniform(0.1, 1.0)  # a few large discs, many small ones
        inside = np.hypot(y - rng.uniform(0, height), x - rng.uniform(0, width)) < radius
        image[inside] = rng.uniform(-20, 275, 3)
    image += rng.normal(0, 3, image.shape)
    return image.clip(0, 255).round().astype(np.uint8)


def measure(first: Run, second: Run, batches: Sequence[np.ndarray]) -> Parity:
    """Run both on every batch and compare.

    Raises:
        ValueError: results are of different shapes.
    """
    largest, differing, squared, values = 0, 0, 0.0, 0
    for batch in batches:
        one, other = first(batch), second(batch)
        if one.shape != other.shape:
            raise ValueError(
                f"Expected results of one shape, got {one.shape} and {other.shape} for {batch.shape}."
            )
        difference = np.abs(one.astype(np.int64) - other.astype(np.int64))
        largest = max(largest, int(difference.max()))
        differing += int(np.count_nonzero(difference))
        squared += float(np.square(difference).sum())
        values += difference.size
    psnr_db = round(float(10 * np.log10(255.0**2 * values / squared)), 4) if squared else None
    return Parity(sum(len(batch) for batch in batches), largest, round(differing / values, 8), psnr_db)
