"""Working through a large image by overlapping tiles, so that memory depends on the tile and not on the image.

Pure geometry and copying. A tile sees `halo` pixels beyond what is kept of it; what a network sees farther off than
that is lost, so a result may differ by a level from that of the whole image.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

HALO_PX = 32
"""Low pixels around what is kept of a tile. VapSR, which sees far, differs by one level at most with 32; by 2 to 3
with 16."""


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels of the LR image."""

    start: int
    """The tile's first pixel."""
    stop: int
    """One past its last."""
    keep_start: int
    """The first pixel that is taken from this tile."""
    keep_stop: int
    """One past the last of those."""


def spans(size: int, largest: int, halo: int, multiple: int = 1) -> Iterator[Span]:
    """Cover an axis of `size` pixels by tiles of equal length; each pixel is kept from one of them.

    There are as few tiles as `largest` allows, and they are no longer than that number of them needs.

    Args:
        size: of the axis.
        largest: length of a tile at the most, halo included; more than two halos unless it covers the axis.
        halo: pixels at each inner end of a tile that are not kept.
        multiple: tiles begin and end at multiples of it; it divides the other three.
    """
    if size <= largest:
        yield Span(0, size, 0, size)
        return
    count = -(-(size - 2 * halo) // (largest - 2 * halo))
    step = -(-(size - 2 * halo) // (count * multiple)) * multiple
    tile, kept = step + 2 * halo, 0
    for number in range(count):
        start = min(number * step, size - tile)
        keep_stop = size if number == count - 1 else start + tile - halo
        yield Span(start, start + tile, kept, keep_stop)
        kept = keep_stop


def by_tiles(
    upscale: Callable[[np.ndarray], np.ndarray],
    lr_image: np.ndarray,
    scale: int,
    tile_px: int,
    halo_px: int = HALO_PX,
    multiple: int = 1,
) -> np.ndarray:
    """Upscale an image tile by tile.

    Args:
        upscale: HWC → HWC of the same channels and type, height and width times `scale`.
        lr_image: HWC of any type; height and width are multiples of `multiple`.
        scale: of `upscale`.
        tile_px: side of a tile in low pixels at the most, its halo included; more than twice the halo.
        halo_px: low pixels around what is kept of a tile.
        multiple: tiles begin and end at multiples of it, so that a network's own grid stays where it was; the
            halo is rounded up to it, and the tile down.

    Returns:
        HWC of the same type, height and width times `scale`.

    Raises:
        ValueError: as `bands`.
    """
    height, width, channels = lr_image.shape
    hr_image, top = np.empty((height * scale, width * scale, channels), lr_image.dtype), 0
    for band in bands(upscale, lr_image, scale, tile_px, halo_px, multiple):
        hr_image[top : top + len(band)] = band
        top += len(band)
    return hr_image


def bands(
    upscale: Callable[[np.ndarray], np.ndarray],
    lr_image: np.ndarray,
    scale: int,
    tile_px: int,
    halo_px: int = HALO_PX,
    multiple: int = 1,
) -> Iterator[np.ndarray]:
    """Upscale an image tile by tile, and give each row of tiles when it is done: none is held.

    Args:
        upscale: as of `by_tiles`; it may give another number of channels than it takes, and pads what is no multiple.
        lr_image: HWC of any type and size.
        scale: of `upscale`.
        tile_px: as of `by_tiles`.
        halo_px: the same.
        multiple: the same.

    Yields:
        HWC from the top, together as high as the whole result.

    Raises:
        ValueError: the tile has nothing but halo, or the halo is negative.
    """
    height, width = lr_image.shape[:2]
    tile_px, halo_px = tile_px // multiple * multiple, -(-halo_px // multiple) * multiple
    if halo_px < 0 or tile_px <= 2 * halo_px:
        raise ValueError(
            f"Expected a tile of more than twice its halo, got {tile_px} px with a halo of {halo_px}."
        )
    for rows in _clipped_spans(height, tile_px, halo_px, multiple):
        made = None
        for columns in _clipped_spans(width, tile_px, halo_px, multiple):
            tile = np.ascontiguousarray(lr_image[rows.start : rows.stop, columns.start : columns.stop])
            hr_image = upscale(tile)[_scaled(rows, scale), _scaled(columns, scale)]
            if made is None:
                made = np.empty((hr_image.shape[0], width * scale, hr_image.shape[2]), hr_image.dtype)
            made[:, columns.keep_start * scale : columns.keep_stop * scale] = hr_image
        yield made
        del made  # so that it is gone before the next one is made


def _clipped_spans(size: int, largest: int, halo: int, multiple: int) -> Iterator[Span]:
    """Cover an axis that is no multiple: as if it were the next one, and the last tile ends with it."""
    for span in spans(-(-size // multiple) * multiple, largest, halo, multiple):
        yield Span(span.start, min(span.stop, size), span.keep_start, min(span.keep_stop, size))


def _scaled(span: Span, scale: int) -> slice:
    """What is kept, within the upscaled tile."""
    return slice((span.keep_start - span.start) * scale, (span.keep_stop - span.start) * scale)
