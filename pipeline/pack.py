"""Pack one shard: decode each source once, then downscale, crop, filter and encode, and write in plan order.

The bytes do not depend on the number of processes: images are processed in parallel, and written in turn.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from data.hashing import pixels_digest
from data.imaging.encode import encode_jpeg, encode_png
from data.imaging.image_warnings import collect_warnings
from data.processes.heap import keep_freed_memory
from data.progress import Progress, silent
from data.records import CropRecord, ImageWarning, PlannedCrop, PlannedSource, Rejection
from data.shards import ShardPaths, open_shard
from data.sources import Source
from data.sources.sample import DRAWN_FORMAT
from pipeline import worker_pool
from pipeline.crop_plan import PlanSettings, make_key_stem, place_crops, source_factors
from pipeline.detail_boxes import find_best_crops
from pipeline.downscale import downscale, downscale_by_two
from pipeline.opencv_threads import single_threaded_opencv
from pipeline.perceptual_hash import hash_orientations, luma_hash
from pipeline.quality_filters import QualityThresholds, find_rejection
from pipeline.quality_metrics import measure_quality, rgb_to_luma

_MAX_BYTES_PER_PIXEL = {"png": 4, "jpg": 6}
"""More than any encoder makes of incompressible pixels: PNG 3.01, JPEG of quality 100 up to 4.8."""
_HEADER_BYTES = 1 << 12
_LARGEST_PART_BYTES = 1 << 30
"""More bytes of crops than this are made of one image in several turns, each of which decodes it again: the crops of a
dense grid over an enormous image would not fit into any memory."""


@dataclasses.dataclass(frozen=True)
class PackSettings:
    """How crops are made, filtered and stored."""

    plan: PlanSettings
    """The settings of the plan: size and place of the crops."""
    image_extension: str
    """png or jpg."""
    png_effort: str
    """A key of data.imaging.encode.PNG_EFFORTS."""
    jpeg_quality: int
    """From 1 to 100."""
    thresholds: QualityThresholds


def pack_shard(
    planned: list[PlannedSource],
    source: Source,
    paths: ShardPaths,
    settings: PackSettings,
    *,
    processes: int = 1,
    progress: Progress = silent,
) -> None:
    """Write one shard with its index, manifest, rejections, warnings and header.

    Args:
        planned: the shard's sources, all of one split, in the order in which they are written.
        source: reads the images.
        paths: paths of the shard's files.
        settings: crop size, codec and quality thresholds.
        processes: number of sources to process at once.
        progress: called with the number of crops made or rejected.

    Raises:
        UserError: the source has changed since it was indexed.
    """
    keep_freed_memory()
    max_crop_bytes = _MAX_BYTES_PER_PIXEL[settings.image_extension] * settings.plan.size_px**2 + _HEADER_BYTES
    parts = _split_sources(planned, max(1, _LARGEST_PART_BYTES // max_crop_bytes))
    work = functools.partial(_crop_part, source=source, settings=settings)
    largest_bytes = max(part.stop - part.start for _, part in parts) * max_crop_bytes
    total, done = sum(one.crops for one in planned), 0
    rejections: list[Rejection] = []
    warnings: list[ImageWarning] = []
    with (
        single_threaded_opencv(),
        open_shard(paths, planned[0].split, settings.image_extension, rejections, warnings) as writer,
    ):
        results = worker_pool.map_in_order(work, parts, processes, largest_bytes)
        for (_, part), made in zip(parts, results, strict=True):
            for crop, image in made:
                if isinstance(crop, Rejection):
                    rejections.append(crop)
                elif isinstance(crop, ImageWarning):
                    warnings.append(crop)
                elif image is not None:
                    writer.add(crop, image)
            done += part.stop - part.start
            progress(done, total)


_Part = tuple[PlannedSource, slice]
"""A source, and which of its crops are made in one turn."""


def _split_sources(planned: list[PlannedSource], max_crops: int) -> list[_Part]:
    """Divide the crops of each source into parts of at most `max_crops`; nearly always, one part is all of them."""
    parts: list[_Part] = []
    for one in planned:
        starts = range(0, one.crops, max_crops)
        parts += [(one, slice(start, min(start + max_crops, one.crops))) for start in starts]
    return parts


def _crop_part(
    part: _Part, source: Source, settings: PackSettings
) -> Iterator[tuple[CropRecord | Rejection | ImageWarning, bytes | None]]:
    return crop_source(part[0], source, settings, part[1])


def crop_source(
    planned: PlannedSource, source: Source, settings: PackSettings, part: slice = slice(None)
) -> Iterator[tuple[CropRecord | Rejection | ImageWarning, bytes | None]]:
    """Yield the crops of one source one at a time, so that memory does not grow with their number.

    Args:
        planned: the source and the number of its crops.
        source: reads the image.
        settings: crop size, codec and quality thresholds.
        part: which of the crops. The first part has the rejection or the warnings of the source.

    Yields:
        In plan order, the record of a crop with its encoded image, or a rejection with None: a single one if the source
        can't be read, otherwise one for each crop that a quality filter rejects. Warnings about the source come first.
    """
    with collect_warnings() as found:
        ((entry, image),) = source.read([planned.entry])
    if isinstance(image, Rejection):
        if not part.start:
            yield image, None
        return
    warnings = {} if part.start else found
    yield from ((ImageWarning(entry.id, "pack", reason, detail), None) for reason, detail in warnings.items())
    if settings.plan.policy == "best":
        factors = set(source_factors(entry, settings.plan.downscale_factors))
    else:
        content = pixels_digest(image) if source.is_exact else entry.sha256
        crops = place_crops(entry, content, settings.plan)
        factors = {crop.downscale_factor for crop in crops}
    downscaled = _downscale_to_each(image, factors | {1, 2})
    source_phashes = hash_orientations(image, downscaled[2])
    downscaled = {factor: downscaled[factor] for factor in factors}
    del image
    if settings.plan.policy == "best":
        crops = find_best_crops(downscaled, settings.plan.size_px, planned.crops, make_key_stem(entry))
    for crop in crops[part]:
        yield _make_crop(planned, crop, downscaled[crop.downscale_factor], source_phashes, settings)


def _make_crop(
    planned: PlannedSource, crop: PlannedCrop, image: np.ndarray, source_phashes: str, settings: PackSettings
) -> tuple[CropRecord | Rejection, bytes | None]:
    """Return the record and the encoded image of one crop of a downscaled image, or its rejection."""
    pixels = cut_crop(image, crop)
    luma = rgb_to_luma(pixels)
    half = downscale_by_two(luma)
    metrics = measure_quality(luma, half, crop.box.top, crop.box.left)
    is_drawn = planned.entry.format == DRAWN_FORMAT
    thresholds = settings.thresholds.without_camera_faults() if is_drawn else settings.thresholds
    rejected = find_rejection(metrics, thresholds)
    if rejected:
        reason, detail = rejected
        return Rejection(crop.key, "pack", reason, f"{planned.entry.id}: {detail}"), None
    record = CropRecord(
        key=crop.key,
        shard="",
        offset=0,
        bytes=0,
        sha256="",
        source=planned.entry.id,
        source_sha256=planned.entry.sha256,
        downscale_factor=crop.downscale_factor,
        box=crop.box,
        phash=luma_hash(half),
        source_phashes=source_phashes,
        metrics=metrics,
        split=planned.split,
        group=planned.entry.group,
    )
    return record, _encode(pixels, settings)


def _downscale_to_each(image: np.ndarray, factors: set[int]) -> dict[int, np.ndarray]:
    """Return the image by downscale factor. As `downscale` for each factor, but every halving is done only once."""
    downscaled: dict[int, np.ndarray] = {1: image}
    for factor in sorted(factors):
        base = max(known for known in downscaled if known.bit_count() == 1 and factor % known == 0)
        downscaled[factor] = downscale(downscaled[base], factor // base)
    return downscaled


def cut_crop(image: np.ndarray, crop: PlannedCrop) -> np.ndarray:
    """Return the pixels of a crop on bytes of their own, which the encoder uses without another copy."""
    box = crop.box
    part = image[box.top : box.top + box.height, box.left : box.left + box.width]
    return np.ndarray(part.shape, part.dtype, part.tobytes())


def _encode(pixels: np.ndarray, settings: PackSettings) -> bytes:
    if settings.image_extension == "png":
        return encode_png(pixels, settings.png_effort)
    return encode_jpeg(pixels, settings.jpeg_quality)
