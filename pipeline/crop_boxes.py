"""Where the crops of one image lie: pure geometry, from sizes and a generator alone."""

import numpy as np

from data.records import Box


def pack_boxes(height: int, width: int, size_px: int, generator: np.random.Generator) -> list[Box]:
    """Place as many squares as fit, at random, without overlap and without a single failed try.

    floor(height / size) * floor(width / size) squares is the most that fit, so the image is cut into that many
    strips (rows or columns, at random) whose squares are moved apart by random gaps. Each strip's gaps, and the
    gaps between strips, are drawn uniformly from all ways to distribute the pixels that are left over.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        size_px: side of the squares.
        generator: gives the places; equal streams give equal boxes.

    Returns:
        The boxes, strip by strip; empty when not one fits.
    """
    if min(height, width) < size_px:
        return []
    by_columns = bool(generator.integers(2))
    along, across = (height, width) if by_columns else (width, height)
    boxes = []
    for strip in _spread(across, size_px, generator):
        for place in _spread(along, size_px, generator):
            top, left = (place, strip) if by_columns else (strip, place)
            boxes.append(Box(top=top, left=left, height=size_px, width=size_px))
    return boxes


def grid_boxes(height: int, width: int, size_px: int, step_px: int, least_rest_px: int) -> list[Box]:
    """Place squares on a regular grid, and along the far edges where more than `least_rest_px` would be left over.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        size_px: side of the squares.
        step_px: from one square to the next; below `size_px` they overlap.
        least_rest_px: a rest of so many pixels or fewer is left; a larger one gets a square that ends at the edge.

    Returns:
        The boxes, row by row; empty when not one fits.

    Source: BasicSR's extract_subimages (its crop_size, step and thresh_size).
    """
    if min(height, width) < size_px:
        return []
    tops, lefts = (_steps(side, size_px, step_px, least_rest_px) for side in (height, width))
    return [Box(top=top, left=left, height=size_px, width=size_px) for top in tops for left in lefts]


def _steps(length: int, size_px: int, step_px: int, least_rest_px: int) -> list[int]:
    starts = list(range(0, length - size_px + 1, step_px))
    if length - (starts[-1] + size_px) > least_rest_px:
        starts.append(length - size_px)
    return starts


def _spread(length: int, size_px: int, generator: np.random.Generator) -> list[int]:
    """Return the starts of floor(length / size) intervals, uniform over all placements without overlap.

    The starts with their own lengths taken out are a sorted multiset of the free pixels; multisets of k out of
    m + 1 values correspond one to one to subsets of k out of m + k ("stars and bars"), which are drawn directly.
    """
    count = length // size_px
    free = length - count * size_px
    subset = np.sort(generator.choice(free + count, size=count, replace=False))
    return [int(value) - number + number * size_px for number, value in enumerate(subset)]
