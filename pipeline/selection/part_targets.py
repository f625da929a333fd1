"""The images that crops are compared with by parts: those of the benchmarks, and those that validation crops are of."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.records import Rejection
from pipeline.opencv_threads import single_threaded_opencv
from pipeline.parts.features import Features, StoredFeatures, describe_target, join_features, restore_features
from pipeline.quality_metrics import rgb_to_luma
from pipeline.selection.crop_table import CropTable
from pipeline.selection.hamming import Rows
from pipeline.selection.leakage import Benchmark

Boxes = npt.NDArray[np.float64]
"""Boxes x 4: left, top, right and bottom in pixels."""
BOX_COLUMNS = ("box_top", "box_left", "box_height", "box_width", "downscale_factor")


class Target(NamedTuple):
    """An image that no training crop may show a part of."""

    name: str
    """benchmark/image, or the id of the source image of validation crops."""
    source: int
    """Number of the source image, see `source_numbers`; -1 for a benchmark image."""
    rows: tuple[int, ...]
    """The validation crops that it is known from; empty for a benchmark image."""
    boxes: Boxes
    """What is known of the image: all of it, or the boxes of the validation crops in the source image."""
    features: Features


def source_numbers(crops: CropTable) -> Rows:
    """Return a number for each crop that stands for its source image; images of two datasets may have one id."""
    ids = crops.shared("source")
    return crops.datasets * len(ids.values) + ids.rows


def source_boxes(crops: CropTable) -> Boxes:
    """Return the boxes of all crops in their source images, in pixels of these before any downscaling."""
    top, left, height, width, factor = (crops.numbers(name) for name in BOX_COLUMNS)
    return np.column_stack((left, top, left + width, top + height)) * factor[:, None]


def describe_benchmarks(benchmarks: Iterable[Benchmark]) -> list[Target]:
    """Describe the images of benchmarks; those that can't be read are left out, as in `hash_benchmarks`.

    Args:
        benchmarks: the benchmarks.
    """
    targets = []
    with single_threaded_opencv():
        for name, source, entries in benchmarks:
            for entry, image in source.read(entries):
                if not isinstance(image, Rejection):
                    height, width = image.shape[:2]
                    boxes = np.array([[0, 0, width, height]], np.float64)
                    features = describe_target(rgb_to_luma(image))
                    targets.append(Target(f"{name}/{entry.id}", -1, (), boxes, features))
    return targets


def gather_validation(
    crops: CropTable,
    rows: Rows,
    side_px: int,
    features_of: Callable[[Rows], Iterable[tuple[int, StoredFeatures]]],
) -> list[Target]:
    """Put the features of validation crops together to images: what is known of each source image.

    Args:
        crops: all crops.
        rows: the crops that are for validation.
        side_px: their side.
        features_of: yields rows of crops with their stored features.
    """
    numbers, boxes, ids = source_numbers(crops), source_boxes(crops), crops.texts("source", rows)
    names = dict(zip(numbers[rows].tolist(), ids, strict=True))
    parts: dict[int, list[tuple[int, Features]]] = {}
    for row, stored in features_of(rows):
        features = restore_features(stored, side_px)
        scale = (boxes[row, 2] - boxes[row, 0]) / side_px
        points = features.points.copy()
        points[:, :2] = points[:, :2] * scale + boxes[row, :2]
        points[:, 2] += np.log2(scale)
        parts.setdefault(int(numbers[row]), []).append((row, Features(features.signs, points)))
    return [
        Target(
            names[number],
            number,
            tuple(row for row, _ in found),
            boxes[[row for row, _ in found]],
            join_features([features for _, features in found]),
        )
        for number, found in sorted(parts.items())
    ]


def share_inside(points: npt.NDArray[np.complex128], boxes: Boxes) -> float:
    """Return the fraction of points, x + iy, that lie in any of the boxes."""
    x, y = points.real[:, None], points.imag[:, None]
    inside = (x >= boxes[:, 0]) & (y >= boxes[:, 1]) & (x < boxes[:, 2]) & (y < boxes[:, 3])
    return float(inside.any(axis=1).mean())


def best_box(points: npt.NDArray[np.complex128], target: Target) -> int:
    """Return the validation crop of a target that holds the most of the points."""
    shares = [share_inside(points, target.boxes[place : place + 1]) for place in range(len(target.rows))]
    return target.rows[int(np.argmax(shares))]


def target_names(targets: Sequence[Target]) -> list[str]:
    """Return the names of targets."""
    return [one.name for one in targets]
