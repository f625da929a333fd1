"""Pack one shard: each source is decoded once, reduced, cropped, screened, encoded and appended in plan order.

The bytes do not depend on the number of processes: images are worked on side by side, and written in turn.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import cv2
import numpy as np

from data.imaging.encode import encode_jpeg, encode_png
from data.progress import Progress, silent
from data.records import CropRecord, PlannedCrop, PlannedSource, Rejection
from data.shards import ShardPaths, open_shard
from data.sources import Source
from pipeline import worker_pool
from pipeline.crop_plan import crops_of, key_stem, reductions
from pipeline.detail_boxes import best_crops
from pipeline.downscale import downscale, halve
from pipeline.perceptual_hash import luma_hash, perceptual_hash
from pipeline.quality_filters import ScreenSettings, judge
from pipeline.quality_metrics import luma_of, scores

_MOST_BYTES_A_PIXEL = {"png": 4, "jpg": 6}
"""More than any encoder makes of pixels that it cannot compress: PNG 3.01, JPEG of quality 100 up to 4.8."""
_HEADER_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class PackSettings:
    """How crops are made, stored and screened."""

    size_px: int
    """Side of the crops, for the places that are found here (`PlannedSource.best`)."""
    downscale_factors: tuple[int, ...]
    """Reductions to look for them at; doubled for lossy sources."""
    image_extension: str
    """png or jpg."""
    png_effort: str
    """A key of data.imaging.encode.PNG_EFFORTS."""
    jpeg_quality: int
    screens: ScreenSettings


def pack_shard(
    planned: list[PlannedSource],
    source: Source,
    paths: ShardPaths,
    settings: PackSettings,
    *,
    processes: int = 1,
    progress: Progress = silent,
) -> None:
    """Write one shard with its index, manifest, rejections and header.

    Args:
        planned: the shard's sources, all of one split, in the order in which they will be written.
        source: where they are read from.
        paths: where the shard goes.
        settings: codec and screens.
        processes: sources that are worked on at once.
        progress: called with crops made or rejected.

    Raises:
        UserError: the source is not the one that was indexed.
    """
    work = functools.partial(crop_source, source=source, settings=settings)
    most = max(crops_of(one) for one in planned)
    pixels_bytes = _MOST_BYTES_A_PIXEL[settings.image_extension] * settings.size_px**2
    largest_bytes = most * (pixels_bytes + _HEADER_BYTES)
    total, done = sum(map(crops_of, planned)), 0
    rejections: list[Rejection] = []
    with (
        _one_thread_each(),
        open_shard(paths, planned[0].split, settings.image_extension, rejections) as writer,
    ):
        for one, parts in zip(
            planned, worker_pool.in_order(work, planned, processes, largest_bytes), strict=True
        ):
            for made, image in parts:
                if isinstance(made, Rejection):
                    rejections.append(made)
                else:
                    writer.add(made, image)
            done += crops_of(one)
            progress(done, total)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own: every core has a process already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def crop_source(
    planned: PlannedSource, source: Source, settings: PackSettings
) -> Iterator[tuple[CropRecord | Rejection, bytes | None]]:
    """Yield the crops of one source, one at a time, so that memory does not grow with their number.

    Yields:
        In plan order, a crop's record with the encoded image, or a rejection with nothing: one for a source that
        can't be read, otherwise one for each crop that was screened out.
    """
    ((entry, image),) = source.read([planned.entry])
    if isinstance(image, Rejection):
        yield image, None
        return
    crops = planned.crops
    factors = (
        set(reductions(entry, settings.downscale_factors))
        if planned.best
        else {crop.downscale_factor for crop in crops}
    )
    reduced = _reduce(image, factors | {1, 2})
    whole_hash = perceptual_hash(image, reduced[2])
    reduced = {factor: reduced[factor] for factor in factors}
    del image
    if planned.best:
        crops = best_crops(reduced, settings.size_px, planned.best, key_stem(entry))
    for crop in crops:
        pixels = cut(reduced[crop.downscale_factor], crop)
        luma = luma_of(pixels)
        half = halve(luma)
        measured = scores(luma, half)
        verdict = judge(measured, settings.screens)
        if verdict:
            yield Rejection(crop.key, "pack", verdict[0], f"{entry.id}: {verdict[1]}"), None
            continue
        record = CropRecord(
            key=crop.key,
            shard="",
            offset=0,
            bytes=0,
            sha256="",
            source=entry.id,
            source_sha256=entry.sha256,
            downscale_factor=crop.downscale_factor,
            box=crop.box,
            phash=luma_hash(half),
            source_phash=whole_hash,
            scores=measured,
            split=planned.split,
            group=entry.group,
        )
        yield record, _encode(pixels, settings)


def _reduce(image: np.ndarray, factors: set[int]) -> dict[int, np.ndarray]:
    """Return the image by shrink, each as `downscale_factor` makes it, but that halves are made once for all."""
    reduced: dict[int, np.ndarray] = {1: image}
    for factor in sorted(factors):
        base = max(known for known in reduced if known.bit_count() == 1 and factor % known == 0)
        reduced[factor] = downscale(reduced[base], factor // base)
    return reduced


def cut(image: np.ndarray, crop: PlannedCrop) -> np.ndarray:
    """Return the pixels of a crop, on bytes of their own, which the encoder takes as they are: one copy for all."""
    box = crop.box
    part = image[box.top : box.top + box.height, box.left : box.left + box.width]
    return np.ndarray(part.shape, part.dtype, part.tobytes())


def _encode(pixels: np.ndarray, settings: PackSettings) -> bytes:
    if settings.image_extension == "png":
        return encode_png(pixels, settings.png_effort)
    return encode_jpeg(pixels, settings.jpeg_quality)
