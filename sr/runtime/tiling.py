"""Processing a large image in overlapping tiles, so that memory depends on the tile size and not on the image.

This is geometry and copying only. Each tile overlaps its neighbors by a halo. A network whose receptive field is larger
than the halo may differ by a level from its result for the whole image.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sr.models.metadata import HALO_PX

_In = TypeVar("_In", bound=np.generic)
_Out = TypeVar("_Out", bound=np.generic)


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in LR pixels."""

    start: int
    """The tile's first pixel."""
    stop: int
    """One past the tile's last pixel."""
    keep_start: int
    """The first pixel that is kept from this tile."""
    keep_stop: int
    """One past the last pixel that is kept."""


def split_axis(size: int, largest: int, halo: int, multiple: int = 1) -> Iterator[Span]:
    """Split an axis into overlapping tiles of equal length; each pixel is kept from exactly one of them.

    Uses as few tiles as `largest` allows, and makes them no longer than that number of tiles needs.

    Args:
        size: length of the axis.
        largest: maximum length of a tile, halo included; more than two halos unless it covers the axis.
        halo: pixels at each inner end of a tile that are not kept.
        multiple: tiles start and end at multiples of it; it must divide the other three.
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


def upscale_tiled(
    upscale: Callable[[npt.NDArray[_In]], npt.NDArray[_In]],
    lr_image: npt.NDArray[_In],
    scale: int,
    tile_px: int,
    halo_px: int = HALO_PX,
    multiple: int = 1,
) -> npt.NDArray[_In]:
    """Upscale an image tile by tile.

    Args:
        upscale: HWC → HWC with the same channels and dtype, height and width times `scale`.
        lr_image: HWC of any dtype; height and width are multiples of `multiple`.
        scale: of `upscale`.
        tile_px: maximum side of a tile in LR pixels, halo included; more than twice the halo.
        halo_px: overlap of a tile with its neighbors on each side, in LR pixels.
        multiple: tiles start and end at multiples of it, so that a network's own grid stays in place; the halo is
            rounded up to it and the tile down.

    Returns:
        HWC of the same dtype, height and width times `scale`.

    Raises:
        ValueError: see `upscale_in_bands`.
    """
    height, width, channels = lr_image.shape
    hr_image, top = np.empty((height * scale, width * scale, channels), lr_image.dtype), 0
    for band in upscale_in_bands(upscale, lr_image, scale, tile_px, halo_px, multiple):
        hr_image[top : top + len(band)] = band
        top += len(band)
    return hr_image


def upscale_in_bands(
    upscale: Callable[[npt.NDArray[_In]], npt.NDArray[_Out]],
    lr_image: npt.NDArray[_In],
    scale: int,
    tile_px: int,
    halo_px: int = HALO_PX,
    multiple: int = 1,
) -> Generator[npt.NDArray[_Out], None, None]:
    """Upscale an image tile by tile and yield each finished row of tiles, so that the result need not fit in memory.

    Args:
        upscale: as for `upscale_tiled`; it may return another number of channels, and pads tiles at the right and
            bottom edge whose size is no multiple.
        lr_image: HWC of any dtype and size.
        scale, tile_px, halo_px, multiple: as for `upscale_tiled`.

    Yields:
        HWC bands from top to bottom; stacked, they are the whole result.

    Raises:
        ValueError: the tile is not larger than its two halos, or the halo is negative.
    """
    height, width = lr_image.shape[:2]
    tile_px, halo_px = tile_px // multiple * multiple, -(-halo_px // multiple) * multiple
    if halo_px < 0 or tile_px <= 2 * halo_px:
        raise ValueError(
            f"Expected a tile of more than twice its halo, got {tile_px} px with a halo of {halo_px}."
        )
    columns = list(_split_clipped(width, tile_px, halo_px, multiple))
    for rows in _split_clipped(height, tile_px, halo_px, multiple):
        # No name is left for the band, so that it is freed before the next one is made.
        yield _upscale_band(upscale, lr_image, scale, rows, columns)


def _upscale_band(
    upscale: Callable[[npt.NDArray[_In]], npt.NDArray[_Out]],
    lr_image: npt.NDArray[_In],
    scale: int,
    rows: Span,
    columns: list[Span],
) -> npt.NDArray[_Out]:
    """Upscale one row of tiles."""
    band: npt.NDArray[_Out] | None = None
    for span in columns:
        tile = np.ascontiguousarray(lr_image[rows.start : rows.stop, span.start : span.stop])
        hr_tile = upscale(tile)[_kept_part(rows, scale), _kept_part(span, scale)]
        if band is None:
            width = columns[-1].keep_stop * scale
            band = np.empty((hr_tile.shape[0], width, hr_tile.shape[2]), hr_tile.dtype)
        band[:, span.keep_start * scale : span.keep_stop * scale] = hr_tile
    assert band is not None
    return band


def _split_clipped(size: int, largest: int, halo: int, multiple: int) -> Iterator[Span]:
    """Split an axis whose size is no multiple: split the next multiple, and clip the last tile."""
    for span in split_axis(-(-size // multiple) * multiple, largest, halo, multiple):
        yield Span(span.start, min(span.stop, size), span.keep_start, min(span.keep_stop, size))


def _kept_part(span: Span, scale: int) -> slice:
    """Return the part of an upscaled tile that is kept."""
    return slice((span.keep_start - span.start) * scale, (span.keep_stop - span.start) * scale)
