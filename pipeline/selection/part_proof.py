"""Decide which matches prove that a crop shows a part of a target, and which other crops of its image do as well."""

import collections
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from data.imaging.decode import decode
from data.shards import ShardPaths
from pipeline.parts.match import ENOUGH_INLIERS
from pipeline.quality_metrics import rgb_to_luma
from pipeline.selection.crop_table import CropTable
from pipeline.selection.part_matches import Found
from pipeline.selection.part_targets import (
    Boxes,
    Target,
    best_box,
    share_inside,
    source_boxes,
    source_numbers,
)

Luma = npt.NDArray[np.uint8]
_MIN_CORRELATION = 0.6
_COMPARED_PX = 96
"""Side of the aligned images that are correlated."""
_MIN_COMPARED = 0.05
"""Fraction of the crop that both images must show."""
_MIN_SHARE = 0.1
"""A crop goes out if this much of it lies in a target that another crop of its image shows."""
_GRID = 8


class PartLeak(NamedTuple):
    """A crop that shows a part of a target."""

    row: int
    target: int
    inliers: int
    """Of the match that proves it."""
    by: int
    """Row of the crop with that match: itself, or another crop of its source image."""
    like: int
    """Row of the validation crop that shows the most of the same; -1 for a benchmark."""


def prove_matches(
    found: Sequence[Found],
    crops: CropTable,
    targets: Sequence[Target],
    read_crop: Callable[[int], Luma],
    read_benchmark: Callable[[int], Luma],
) -> list[Found]:
    """Return the matches that prove something.

    Enough inliers do. Fewer do if another crop of the same source image matches the same target, or if the crop and
    the target look alike once they are laid over each other.

    Args:
        found: the matches.
        crops, targets: what they are between.
        read_crop: returns the luma of the crop of a row.
        read_benchmark: returns the luma of a target that is a benchmark image.
    """
    sources = source_numbers(crops)
    boxes = source_boxes(crops)
    matching = collections.Counter((int(sources[one.row]), one.target) for one in found)
    proven = []
    for one in found:
        if one.inliers < ENOUGH_INLIERS and matching[int(sources[one.row]), one.target] < 2:
            target, points = targets[one.target], _grid(_COMPARED_PX, one.similarity.side_px)
            mapped = one.similarity.apply(points)
            if target.rows:
                row = best_box(mapped, target)
                mapped = _into_crop(mapped, boxes[row], one.similarity.side_px)
                image = read_crop(row)
            else:
                image = read_benchmark(one.target)
            if correlate(read_crop(one.row), image, mapped) < _MIN_CORRELATION:
                continue
        proven.append(one)
    return proven


def correlate(crop: Luma, image: Luma, points: npt.NDArray[np.complex128]) -> float:
    """Return how alike a crop and an image are, from -1 to 1; 0 if they share next to nothing.

    Args:
        crop: luma.
        image: luma.
        points: where in the image each pixel of the crop at `_COMPARED_PX` squared is, x + iy, row by row.
    """
    ours = cv2.resize(crop, (_COMPARED_PX, _COMPARED_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
    places = points.reshape(_COMPARED_PX, _COMPARED_PX)
    step = float(np.abs(np.diff(places, axis=1)).mean())
    height, width = image.shape
    inside = (places.real >= 0) & (places.imag >= 0) & (places.real < width) & (places.imag < height)
    size = (max(1, round(width / max(1, step))), max(1, round(height / max(1, step))))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    x = (places.real * (size[0] / width) - 0.5).astype(np.float32)
    y = (places.imag * (size[1] / height) - 0.5).astype(np.float32)
    theirs = cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
    if inside.mean() < _MIN_COMPARED:
        return 0.0
    one, two = ours[inside] - ours[inside].mean(), theirs[inside] - theirs[inside].mean()
    norm = np.sqrt(np.square(one).sum() * np.square(two).sum())
    return float((one * two).sum() / norm) if norm else 0.0


def spread_matches(proven: Sequence[Found], crops: CropTable, targets: Sequence[Target]) -> list[PartLeak]:
    """Return all crops that show a part of a target: those that match, and those that lie in the same place.

    Each crop is listed once for benchmarks and once for validation, by the match with the most inliers.

    Args:
        proven: as `prove_matches` returns them.
        crops, targets: what they are between.
    """
    sources, boxes = source_numbers(crops), source_boxes(crops)
    best: dict[tuple[int, bool], tuple[tuple[bool, int, int], PartLeak]] = {}

    def keep(row: int, one: Found) -> None:
        target, place = targets[one.target], (row, bool(targets[one.target].rows))
        rank = (row == one.row, one.inliers, -one.target)
        if place in best and rank <= best[place][0]:
            return
        mapped = _map_box(boxes[row], boxes[one.row], one)
        if row == one.row or share_inside(mapped, target.boxes) >= _MIN_SHARE:
            like = best_box(mapped, target) if target.rows else -1
            best[place] = rank, PartLeak(row, one.target, one.inliers, one.row, like)

    for one in proven:
        keep(one.row, one)
    # Crops that match by themselves need no other's match, however many an image has.
    matching = {kind: np.array([row for row, known in best if known == kind]) for kind in (False, True)}
    numbers = np.unique(sources[[one.row for one in proven]])
    for kind in (False, True):
        rest = np.setdiff1d(np.flatnonzero(np.isin(sources, numbers)), matching[kind])
        rows_of: dict[int, list[int]] = collections.defaultdict(list)
        for row in rest.tolist():
            rows_of[int(sources[row])].append(row)
        for one in proven:
            for row in rows_of[int(sources[one.row])] if bool(targets[one.target].rows) == kind else ():
                keep(row, one)
    return [best[place][1] for place in sorted(best)]


def _map_box(box: Boxes, matching: Boxes, one: Found) -> npt.NDArray[np.complex128]:
    """Return where points spread over a crop are in the target, by the match of another crop of its source image."""
    points = _grid(_GRID, 1) * (box[2] - box[0]) + complex(*box[:2])
    return one.similarity.apply(_into_crop(points, matching, one.similarity.side_px))


def read_crop_pixels(crops: CropTable, directories: Sequence[Path], row: int) -> Luma:
    """Return the luma of the crop of a row; the table must have its place in the shard."""
    place = np.array([row])
    (shard,) = crops.texts("shard", place)
    offset, size = (int(crops.numbers(name)[row]) for name in ("offset", "bytes"))
    with open(ShardPaths(directories[crops.datasets[row]], shard).tar, "rb") as tar:
        tar.seek(offset)
        return rgb_to_luma(decode(tar.read(size)))


def _grid(count: int, side: float) -> npt.NDArray[np.complex128]:
    """Return the centers of count x count cells of a square, row by row."""
    centers = (np.arange(count) + 0.5) * (side / count)
    return (centers[None, :] + 1j * centers[:, None]).ravel()


def _into_crop(points: npt.NDArray[np.complex128], box: Boxes, side_px: int) -> npt.NDArray[np.complex128]:
    """Return where points of the source image are in a crop of it, in pixels of the crop."""
    inside: npt.NDArray[np.complex128] = (points - complex(*box[:2])) * (side_px / (box[2] - box[0]))
    return inside
