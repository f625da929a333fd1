"""Place the crop boxes of one image. Pure geometry: it needs only sizes and a random generator."""

import numpy as np

from data.records import Box


def place_random_boxes(height: int, width: int, size_px: int, generator: np.random.Generator) -> list[Box]:
    """Place as many squares as fit at random positions, without overlap.

    At most floor(height / size) * floor(width / size) squares fit. The image is cut into strips (rows or columns,
    chosen at random), and the squares of a strip are separated by random gaps. The gaps within a strip and between
    strips are drawn uniformly from all ways to distribute the spare pixels, so no placement is ever rejected and
    retried.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        size_px: side of the squares.
        generator: source of randomness; equal states give equal boxes.

    Returns:
        The boxes, strip by strip. Empty if none fits.
    """
    if min(height, width) < size_px:
        return []
    by_columns = bool(generator.integers(2))
    along, across = (height, width) if by_columns else (width, height)
    boxes = []
    for strip in _random_starts(across, size_px, generator):
        for place in _random_starts(along, size_px, generator):
            top, left = (place, strip) if by_columns else (strip, place)
            boxes.append(Box(top=top, left=left, height=size_px, width=size_px))
    return boxes


def place_grid_boxes(height: int, width: int, size_px: int, step_px: int, min_rest_px: int) -> list[Box]:
    """Place squares on a regular grid, with an extra row or column at the far edge if the rest is large enough.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        size_px: side of the squares.
        step_px: distance between neighboring squares; they overlap if it is below `size_px`.
        min_rest_px: if more pixels than this remain at the far edge, one more square is placed flush with the edge.

    Returns:
        The boxes, row by row. Empty if none fits.

    Source: BasicSR's extract_subimages (its crop_size, step and thresh_size).
    """
    if min(height, width) < size_px:
        return []
    tops, lefts = (_grid_starts(side, size_px, step_px, min_rest_px) for side in (height, width))
    return [Box(top=top, left=left, height=size_px, width=size_px) for top in tops for left in lefts]


def _grid_starts(length: int, size_px: int, step_px: int, min_rest_px: int) -> list[int]:
    starts = list(range(0, length - size_px + 1, step_px))
    if length - (starts[-1] + size_px) > min_rest_px:
        starts.append(length - size_px)
    return starts


def _random_starts(length: int, size_px: int, generator: np.random.Generator) -> list[int]:
    """Return the starts of floor(length / size) disjoint intervals, uniform over all such placements.

    With the lengths of the preceding intervals subtracted, the starts are a sorted multiset of k values out of
    m + 1 (m: free pixels). Such multisets correspond one to one to subsets of size k out of m + k ("stars and bars"),
    and a subset is drawn directly.
    """
    count = length // size_px
    free = length - count * size_px
    subset = np.sort(generator.choice(free + count, size=count, replace=False))
    return [int(value) - number + number * size_px for number, value in enumerate(subset)]
