"""Working through a large picture by overlapping tiles, so that memory depends on the tile and not on the picture.

Pure geometry and copying. A tile sees `halo` pixels beyond what is kept of it; what a network sees farther off than
that is lost, so a result may differ by a level from that of the whole picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

HALO_PX = 32
"""Low pixels around what is kept of a tile. VapSR, which sees far, differs by one level at most with 32; by 2 to 3
with 16."""


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels of the low picture."""

    start: int
    """The tile's first pixel."""
    stop: int
    """One past its last."""
    keep_start: int
    """The first pixel that is taken from this tile."""
    keep_stop: int
    """One past the last of those."""


def spans(size: int, tile: int, halo: int) -> Iterator[Span]:
    """Cover an axis of `size` pixels by tiles of equal length; each pixel is kept from one of them.

    A tile starts at multiples of gcd(size, tile, halo), so that a grid which divides all three is kept.

    Args:
        size: of the axis.
        tile: length of a tile, halo included; more than two halos unless it covers the axis.
        halo: pixels at each inner end of a tile that are not kept.
    """
    if size <= tile:
        yield Span(0, size, 0, size)
        return
    starts = [*range(0, size - tile, tile - 2 * halo), size - tile]
    kept = 0
    for start in starts:
        keep_stop = size if start == size - tile else start + tile - halo
        yield Span(start, start + tile, kept, keep_stop)
        kept = keep_stop


def by_tiles(
    enlarge: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    scale: int,
    tile_px: int,
    halo_px: int = HALO_PX,
) -> np.ndarray:
    """Enlarge a picture tile by tile.

    Args:
        enlarge: uint8 HWC → uint8 HWC, height and width times `scale`.
        low: uint8 HWC.
        scale: of `enlarge`.
        tile_px: side of a tile in low pixels, its halo included; more than twice the halo.
        halo_px: low pixels around what is kept of a tile.

    Returns:
        uint8 HWC, height and width times `scale`.

    Raises:
        ValueError: the tile has nothing but halo.
    """
    if tile_px <= 2 * halo_px:
        raise ValueError(f"Expected a tile of more than {2 * halo_px} px, got {tile_px}.")
    height, width, channels = low.shape
    high = np.empty((height * scale, width * scale, channels), np.uint8)
    for rows in spans(height, tile_px, halo_px):
        for columns in spans(width, tile_px, halo_px):
            tile = np.ascontiguousarray(low[rows.start : rows.stop, columns.start : columns.stop])
            made = enlarge(tile)
            inside = made[_scaled(rows, scale), _scaled(columns, scale)]
            high[_kept(rows, scale), _kept(columns, scale)] = inside
    return high


def _scaled(span: Span, scale: int) -> slice:
    """What is kept, within the enlarged tile."""
    return slice((span.keep_start - span.start) * scale, (span.keep_stop - span.start) * scale)


def _kept(span: Span, scale: int) -> slice:
    """What is kept, within the enlarged picture."""
    return slice(span.keep_start * scale, span.keep_stop * scale)
