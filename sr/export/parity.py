"""Compare two runs of one network, e.g. in torch and in OpenVINO, on generated test images.

Pure numpy; independent of any framework. The images are generated, so that every export is checked in the same way.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from data.hashing import generator
from sr.evaluation.metrics import psnr_of_error

SHAPES = ((1, 48, 64), (2, 32, 32), (1, 70, 38), (3, 24, 56))
"""Batch size, height and width of the test images; sizes are rounded up to the network's multiple."""

ImageBatch = npt.NDArray[np.uint8]
"""uint8 NHWC, RGB or luma."""
Runner = Callable[[ImageBatch], ImageBatch]
"""Runs a network on a batch; the result has the same layout and is larger by the scale."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far two results differ, over all test images."""

    images: int
    max_level_difference: int
    """0 to 255."""
    differing_share: float
    """Share of values (pixels times channels) that differ, 0 to 1."""
    psnr_db: float | None
    """PSNR of one result against the other; None if they are equal."""


def make_test_batches(size_multiple: int, channels: int = 3, seed: int = 0) -> list[ImageBatch]:
    """Generate batches of images with smooth shading, hard edges, fine texture, black and white.

    Args:
        size_multiple: heights and widths are rounded up to a multiple of it.
        channels: 3 for RGB; 1 for the first channel only.
        seed: of the random generator.

    Returns:
        uint8 NHWC, with the shapes in SHAPES; equal for equal arguments.
    """
    rng = generator("parity", seed)
    batches = []
    for count, height, width in SHAPES:
        height, width = (-(-size // size_multiple) * size_multiple for size in (height, width))
        batches.append(np.stack([_draw(rng, height, width)[..., :channels] for _ in range(count)]))
    return batches


def make_test_image(height: int, width: int, channels: int = 3, seed: int = 0) -> ImageBatch:
    """Generate one image of a given size, as a batch: uint8 NHWC."""
    return _draw(generator("parity of a size", seed), height, width)[None, ..., :channels]


def _draw(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width].astype(np.float64)
    slope = rng.uniform(-1, 1, (2, 3)) * 96 / max(height, width)
    image = 128 + (y - height / 2)[..., None] * slope[0] + (x - width / 2)[..., None] * slope[1]
    for _ in range(24):
        radius = 2 / rng.uniform(0.1, 1.0)  # a few large discs, many small ones
        inside = np.hypot(y - rng.uniform(0, height), x - rng.uniform(0, width)) < radius
        image[inside] = rng.uniform(-20, 275, 3)
    image += rng.normal(0, 3, image.shape)
    levels: npt.NDArray[np.uint8] = image.clip(0, 255).round().astype(np.uint8)
    return levels


def compare_outputs(first: Runner, second: Runner, batches: Sequence[ImageBatch]) -> Parity:
    """Run both on every batch and compare the results.

    Raises:
        ValueError: the results have different shapes.
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
    psnr_db = round(psnr_of_error(squared / values), 4) if squared else None
    return Parity(sum(len(batch) for batch in batches), largest, round(differing / values, 8), psnr_db)
