"""Find which crops show a part of which images: `match_crops`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.parts.features import Features
from pipeline.parts.geometry import Pairs, Similarity, fit_similarity
from pipeline.parts.lookup import FeatureIndex, Matches

FEWEST_INLIERS = 6
"""Fewer prove nothing."""
ENOUGH_INLIERS = 8
"""So many prove that a crop shows a part of an image; fewer need more proof."""


class PartMatch(NamedTuple):
    """A crop that shows a part of an image."""

    crop: int
    """Number of the crop."""
    target: int
    """Number of the image in the index."""
    inliers: int
    """Matching features whose places agree."""
    similarity: Similarity
    """Maps pixels of the crop to pixels of the image."""


def match_crops(crops: Sequence[Features], side_px: int, index: FeatureIndex) -> list[PartMatch]:
    """Return all matches with at least `FEWEST_INLIERS`, by crop, then by image.

    Args:
        crops: features of square crops.
        side_px: their side.
        index: of the images.
    """
    counts = [len(one.signs) for one in crops]
    if not len(index) or not sum(counts):
        return []
    signs = np.vstack([one.signs for one in crops])
    points = np.vstack([one.points for one in crops])
    crop_of = np.repeat(np.arange(len(crops)), counts)
    found = index.find(signs)
    # One group for each crop, image and orientation.
    group = (crop_of[found.queries] * (int(index.target[-1]) + 1) + index.target[found.features]) * 2
    group += found.mirrored
    order = np.argsort(group, kind="stable")
    _, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    best: dict[tuple[int, int], PartMatch] = {}
    for start, size in zip(starts[sizes >= FEWEST_INLIERS], sizes[sizes >= FEWEST_INLIERS], strict=True):
        rows = order[start : start + size]
        if len(np.unique(found.queries[rows])) < FEWEST_INLIERS:
            continue
        match = _match_group(found.take(rows), points, crop_of, side_px, index)
        if match and match.inliers > getattr(best.get((match.crop, match.target)), "inliers", 0):
            best[match.crop, match.target] = match
    return [best[place] for place in sorted(best)]


def _match_group(
    found: Matches, points: np.ndarray, crop_of: np.ndarray, side_px: int, index: FeatureIndex
) -> PartMatch | None:
    """Return the match of one crop with one image in one orientation, if enough features agree."""
    crop, target = int(crop_of[found.queries[0]]), int(index.target[found.features[0]])
    mirrored = bool(found.mirrored[0])
    ours, theirs = points[found.queries], index.points[found.features]
    places, angles = ours[:, 0] + 1j * ours[:, 1], ours[:, 3]
    if mirrored:
        places, angles = side_px - places.conj(), np.pi - angles
    pairs = Pairs(places, theirs[:, 0] + 1j * theirs[:, 1], theirs[:, 2] - ours[:, 2], theirs[:, 3] - angles)
    fitted = fit_similarity(pairs, side_px, FEWEST_INLIERS)
    if fitted is None:
        return None
    factor, shift, inliers = fitted
    return PartMatch(crop, target, inliers, Similarity(factor, shift, mirrored, side_px))
