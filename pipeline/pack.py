"""Pack one shard: each source is decoded once, reduced, cropped, screened, encoded and appended in plan order.

The bytes do not depend on the number of threads: pictures are worked on side by side, and written in turn.
"""

import collections
import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np

from data.encoders import encode_jpeg, encode_png
from data.progress import Progress, silent
from data.records import CropRecord, PlannedCrop, PlannedSource, Rejection
from data.shards import ShardPaths, open_shard
from data.sources import Source
from pipeline.screen import ScreenSettings, judge, perceptual_hash, scores

_AHEAD = 2
"""Sources in flight for each thread: their crops wait in memory, so not more."""


@dataclasses.dataclass(frozen=True)
class PackSettings:
    """How crops are stored and screened."""

    image_extension: str
    """png or jpg."""
    jpeg_quality: int
    screens: ScreenSettings


Sample = tuple[CropRecord, bytes]


def pack_shard(
    planned: list[PlannedSource],
    source: Source,
    paths: ShardPaths,
    settings: PackSettings,
    *,
    threads: int = 1,
    progress: Progress = silent,
) -> None:
    """Write one shard with its index, manifest, rejections and header.

    Args:
        planned: the shard's sources, all of one split, in the order in which they will be written.
        source: where they are read from.
        paths: where the shard goes.
        settings: codec and screens.
        threads: sources that are worked on at once.
        progress: called with crops made or rejected.

    Raises:
        UserError: the source is not the one that was indexed.
    """
    total = sum(len(one.crops) for one in planned)
    rejections: list[Rejection] = []
    done = 0
    with open_shard(paths, planned[0].split, settings.image_extension, rejections) as writer:
        for one, (samples, rejected) in zip(
            planned, _in_order(planned, source, settings, threads), strict=True
        ):
            for record, picture in samples:
                writer.add(record, picture)
            rejections += rejected
            done += len(one.crops)
            progress(done, total)


def _in_order(
    planned: list[PlannedSource], source: Source, settings: PackSettings, threads: int
) -> Iterator[tuple[list[Sample], list[Rejection]]]:
    """Yield the crops of each source in turn, while the next ones are being made."""
    waiting: collections.deque[Future] = collections.deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for one in planned:
                waiting.append(pool.submit(crop_source, one, source, settings))
                if len(waiting) >= threads * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def crop_source(
    planned: PlannedSource, source: Source, settings: PackSettings
) -> tuple[list[Sample], list[Rejection]]:
    """Make all crops of one source.

    Returns:
        The crops that passed, encoded, in plan order; and the rejections: one for a source that can't be read,
        otherwise one for each crop that was screened out.
    """
    ((entry, picture),) = source.read([planned.entry])
    if isinstance(picture, Rejection):
        return [], [picture]
    whole_hash = perceptual_hash(picture)
    samples: list[Sample] = []
    rejections: list[Rejection] = []
    reduced: dict[int, np.ndarray] = {}
    for crop in planned.crops:
        if crop.shrink not in reduced:
            reduced[crop.shrink] = shrink(picture, crop.shrink)
        pixels = cut(reduced[crop.shrink], crop)
        measured = scores(pixels)
        verdict = judge(measured, settings.screens)
        if verdict:
            rejections.append(Rejection(crop.key, "pack", verdict[0], f"{entry.id}: {verdict[1]}"))
            continue
        record = CropRecord(
            key=crop.key,
            shard="",
            offset=0,
            bytes=0,
            sha256="",
            source=entry.id,
            source_sha256=entry.sha256,
            shrink=crop.shrink,
            box=crop.box,
            phash=perceptual_hash(pixels),
            source_phash=whole_hash,
            scores=measured,
            split=planned.split,
            group=entry.group,
        )
        samples.append((record, _encode(pixels, settings)))
    return samples, rejections


def shrink(picture: np.ndarray, factor: int) -> np.ndarray:
    """Reduce a picture by a whole factor, each pixel the mean of factor x factor ones.

    The box filter has no ringing and is exact for whole factors; the rows and columns that fill no whole pixel at
    the bottom and the right are dropped.

    Args:
        picture: uint8, height x width x 3.
        factor: 1 or more.

    Returns:
        uint8, (height // factor) x (width // factor) x 3, rounded.
    """
    if factor == 1:
        return picture
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    whole = picture[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def cut(picture: np.ndarray, crop: PlannedCrop) -> np.ndarray:
    """Return the pixels of a crop (a contiguous copy)."""
    box = crop.box
    return np.ascontiguousarray(picture[box.top : box.top + box.height, box.left : box.left + box.width])


def _encode(pixels: np.ndarray, settings: PackSettings) -> bytes:
    if settings.image_extension == "png":
        return encode_png(pixels)
    return encode_jpeg(pixels, settings.jpeg_quality)
