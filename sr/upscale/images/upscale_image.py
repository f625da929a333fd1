"""Upscale one image file, in bands of tiles that go straight to the encoder."""

import contextlib
import math
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.atomic_files import atomic_file
from data.exhaustion import explain_exhaustion
from data.imaging.animation import Animation, open_animation
from data.imaging.decode import ImageFault
from data.imaging.image_warnings import warn
from data.imaging.original import OriginalImage, decode_original
from data.imaging.other_formats import decode_other, kind_of
from data.records import RejectionReason, WarningReason
from sr.models.metadata import HALO_PX
from sr.runtime.filters import PillowUpscaler
from sr.runtime.network_upscalers import NetworkUpscaler
from sr.runtime.tiling import upscale_in_bands
from sr.runtime.upscaler import Upscaler
from sr.upscale.images.animations import ANIMATED_SUFFIXES, still_as_animation, write_animation
from sr.upscale.images.jobs import LARGEST_SIDE
from sr.upscale.images.journal import explain_output_errors
from sr.upscale.images.pixels import upscale_pixels
from sr.upscale.images.transparent_pixels import fill_transparent
from sr.upscale.images.writers import format_of_suffix, holds_whole_image, open_writer

MEMORY_MB = 1500
_BASE_MB = 450
"""Memory of the process with its libraries and a small model."""
_BYTES_PER_LR_PIXEL = 4096
"""What a network holds for each LR pixel of a tile: about sixteen float32 maps of 64 channels, rounded down."""
_FILTER_HALO_PX = 4
"""Radius of Lanczos 3, and one pixel to spare."""
_LARGEST_TILE_PX = 1024
_BYTES_PER_FRAME_VALUE = 2
"""Held for each value of an upscaled animation: the frame, and what the encoder makes of it."""
_BANDS_IN_MEMORY = 3
"""Upscaled bands held at once: the one being made, the one it is assembled from, the one being written."""

_Pixels = npt.NDArray[Any]
"""uint8 or uint16, height x width x channels."""


def upscale_image(
    source: Path, output: Path, upscaler: Upscaler, quality: int = 95, memory_mb: int = MEMORY_MB
) -> None:
    """Upscale one image file. The output file appears when it is complete.

    Args:
        source: the image.
        output: the result; its suffix sets the format.
        upscaler: the model or filter.
        quality: of JPEG and WebP, 1 to 100.
        memory_mb: memory budget that sets the tile size; a tile has at least 128 px a side.

    Raises:
        ImageFault: the image cannot be read, or the output format cannot hold the result.
        UserError: the result cannot be written.
    """
    image = read_image(source)
    suffix = format_of_suffix(output.suffix)
    if isinstance(image, Animation) or suffix == ".gif":
        _upscale_animation(image, output, suffix, upscaler, quality, memory_mb)
    else:
        _upscale_still(image, output, suffix, upscaler, quality, memory_mb)


def _upscale_still(
    image: OriginalImage, output: Path, suffix: str, upscaler: Upscaler, quality: int, memory_mb: int
) -> None:
    height, width, channels = image.colors.shape
    shape = (height * upscaler.scale, width * upscaler.scale, channels + (image.alpha is not None))
    dtype = image.colors.dtype
    _check_format(suffix, shape, image.alpha is not None)
    if holds_whole_image(suffix) and dtype != np.uint8:
        warn(WarningReason.FEWER_BITS, f"16 bits per channel, written as 8: {suffix} has no more")
        dtype = np.dtype(np.uint8)  # a 16-bit image whose name has the suffix of an 8-bit format
    if image.alpha is not None:
        fill_transparent(image.colors, image.alpha)
    held_bytes = image.colors.nbytes + (image.alpha.nbytes if image.alpha is not None else 0)
    held_bytes += math.prod(shape) * dtype.itemsize if holds_whole_image(suffix) else 0
    row_bytes = _BANDS_IN_MEMORY * shape[1] * shape[2] * image.colors.itemsize * upscaler.scale
    tile_px = choose_tile_size(held_bytes, row_bytes, memory_mb, _halo_px(upscaler))
    with explain_output_errors(output), atomic_file(output) as file:
        writer = open_writer(suffix, file, shape, dtype, image, quality)
        for rows in upscale_rows(image, upscaler, tile_px):
            writer.add(rows if rows.dtype == dtype else _to_8_bits(rows))
        writer.finish()


def _upscale_animation(
    image: Animation | OriginalImage,
    output: Path,
    suffix: str,
    upscaler: Upscaler,
    quality: int,
    memory_mb: int,
) -> None:
    animation = image if isinstance(image, Animation) else still_as_animation(image)
    scale = upscaler.scale
    shape = (animation.height * scale, animation.width * scale, 4)
    if suffix not in ANIMATED_SUFFIXES:
        detail = (
            f"an animation of {animation.frame_count} frames, but {suffix} cannot be one; use its real suffix"
        )
        raise ImageFault(RejectionReason.UNSUPPORTED, detail)
    _check_format(suffix, shape, has_alpha=True)
    needed_mb = _BASE_MB + math.prod(shape) * _BYTES_PER_FRAME_VALUE * animation.frame_count / 1e6
    if needed_mb > memory_mb:
        detail = (
            f"{animation.frame_count} frames of {shape[1]}x{shape[0]} need {needed_mb:,.0f} MB, and {memory_mb:,} MB "
            "are allowed; raise the memory limit, or convert it to a video"
        )
        raise ImageFault(RejectionReason.TOO_LARGE, detail)
    tile_px = choose_tile_size(int(needed_mb * 1e6), 12 * shape[1] * scale, memory_mb, _halo_px(upscaler))

    def upscale(frame: OriginalImage) -> _Pixels:
        if frame.alpha is not None:
            fill_transparent(frame.colors, frame.alpha)
        pixels = np.concatenate(list(upscale_rows(frame, upscaler, tile_px)))
        return _to_8_bits(pixels) if pixels.dtype != np.uint8 else pixels

    frames = [(upscale(frame), duration) for frame, duration in animation.frames()]
    with explain_output_errors(output), atomic_file(output) as file:
        write_animation(suffix, file, animation, frames, quality)


def _to_8_bits(pixels: _Pixels) -> _Pixels:
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def choose_tile_size(held_bytes: int, row_bytes: int, memory_mb: int, halo_px: int = HALO_PX) -> int:
    """Choose the side of a tile that fits the memory budget, in LR pixels, halo included.

    Args:
        held_bytes: memory in use all the time.
        row_bytes: memory for each row of LR pixels in a tile, besides the tile itself.
        memory_mb: the budget. If it is too small, the smallest tile is used all the same.
        halo_px: of the tile.
    """
    available = (memory_mb - _BASE_MB) * 1_000_000 - held_bytes
    smallest = 4 * max(halo_px, HALO_PX)
    sides = range(max(smallest, _LARGEST_TILE_PX), smallest, -8)
    return next(
        (side for side in sides if side * (side * _BYTES_PER_LR_PIXEL + row_bytes) <= available), smallest
    )


def upscale_rows(image: OriginalImage, upscaler: Upscaler, tile_px: int) -> Iterator[_Pixels]:
    """Yield the upscaled rows from top to bottom, some at a time; alpha, if there is one, is the last channel."""
    colors = _upscale_bands(image.colors, upscaler, tile_px)
    if image.alpha is None:
        yield from colors
        return
    bicubic = PillowUpscaler("bicubic", upscaler.scale)
    with contextlib.closing(_upscale_bands(image.alpha[:, :, None], bicubic, tile_px, upscaler)) as alphas:
        for color_rows, alpha_rows in zip(colors, alphas, strict=True):
            yield np.concatenate([color_rows, alpha_rows], axis=2)


def _upscale_bands(
    lr_image: _Pixels, upscaler: Upscaler, tile_px: int, grid_of: Upscaler | None = None
) -> Generator[_Pixels, None, None]:
    """Yield upscaled rows with the image's dtype; the tiles are those that `grid_of` would have."""
    grid = grid_of or upscaler
    multiple = grid.size_multiple if isinstance(grid, NetworkUpscaler) else 1
    if grid.fixed_size:
        # One tile: the model accepts the whole image, or reports that it does not.
        tile_px = max(lr_image.shape) + multiple
    return upscale_in_bands(
        lambda tile: upscale_pixels(tile, upscaler),
        lr_image,
        upscaler.scale,
        tile_px,
        _halo_px(grid),
        multiple,
    )


def _halo_px(upscaler: Upscaler) -> int:
    halo_px = upscaler.halo_px if isinstance(upscaler, NetworkUpscaler) else 0
    return max(halo_px, _FILTER_HALO_PX)


def _check_format(suffix: str, shape: tuple[int, int, int], has_alpha: bool) -> None:
    if suffix == ".jpg" and has_alpha:
        raise ImageFault(
            RejectionReason.UNSUPPORTED,
            f"it is transparent, but {suffix} cannot be; rename it to its real format",
        )
    if max(shape[:2]) > LARGEST_SIDE.get(suffix, math.inf):
        detail = f"the result would be {shape[1]}x{shape[0]}; {suffix} allows {LARGEST_SIDE[suffix]} at most"
        raise ImageFault(RejectionReason.TOO_LARGE, detail)


def read_image(source: Path) -> OriginalImage | Animation:
    """Read an image file of any format that is upscaled, by its content.

    Raises:
        ImageFault: it cannot be read.
    """
    with reject_unreadable(source):
        content = source.read_bytes()
        if animation := open_animation(content):
            return animation
        kind = kind_of(content, source.suffix.lower())
        return decode_other(content, kind) if kind else decode_original(content)


@contextlib.contextmanager
def reject_unreadable(source: Path) -> Iterator[None]:
    """Turn an OSError about an input file into a rejection of that image.

    Raises:
        ImageFault: the file cannot be read.
        UserError: memory or open files ran out, or the disk fails, which says nothing about the image.
    """
    try:
        yield
    except (MemoryError, OSError) as error:
        explained = explain_exhaustion(error, f"reading {source}")
        if explained is not error or not isinstance(error, OSError):
            raise explained from error
        raise ImageFault(RejectionReason.UNREADABLE, f"the file: {error.strerror or error}") from None
