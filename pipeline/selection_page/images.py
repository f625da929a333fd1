"""Read the crops and benchmark images that a page shows, as small data: URIs."""

import collections
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.dali_index import read_index_rows, row_key
from data.errors import UserError
from data.html.pages import data_uri
from data.imaging.decode import decode
from data.imaging.encode import encode_jpeg
from data.records import Rejection
from data.shards import ShardPaths
from pipeline.selection.crop_table import CropTable
from pipeline.selection.leakage import Benchmark

_SIDE_PX = 224
"""The longer side of an image on the page."""
_JPEG_QUALITY = 82


class Thumbnail(NamedTuple):
    """An image on the page."""

    uri: str
    name: str
    """dataset/key of a crop, benchmark/image of a benchmark image."""
    source: str
    """The id of a crop's source image; empty for a benchmark image."""


Thumbnails = dict[int | str, Thumbnail]
"""Images by the row of a crop, or by benchmark/image."""


def read_crop_thumbnails(
    datasets: Sequence[Path], names: Sequence[str], crops: CropTable, rows: Iterable[int]
) -> Thumbnails:
    """Read some crops.

    Args:
        datasets, names: directories and names of the datasets.
        crops: all crops.
        rows: of the crops to read.

    Returns:
        The thumbnails by row.

    Raises:
        UserError: a shard is missing or damaged.
    """
    wanted = np.array(sorted(set(rows)), np.int64)
    keys, sources, shards = (crops.texts(column, wanted) for column in ("key", "source", "shard"))
    places = crops.datasets[wanted].tolist()
    by_shard = collections.defaultdict(list)
    for number, place_and_shard in enumerate(zip(places, shards, strict=True)):
        by_shard[place_and_shard].append(number)
    thumbnails: Thumbnails = {}
    for (place, shard), numbers in by_shard.items():
        images = _read_images(ShardPaths(datasets[place], shard), [keys[number] for number in numbers])
        for number, image in zip(numbers, images, strict=True):
            name = f"{names[place]}/{keys[number]}"
            thumbnails[int(wanted[number])] = Thumbnail(_encode(decode(image)), name, sources[number])
    return thumbnails


def read_benchmark_thumbnails(benchmarks: Sequence[Benchmark], names: Iterable[str]) -> Thumbnails:
    """Read some benchmark images.

    Args:
        benchmarks: all benchmarks.
        names: benchmark/image of each image to read.

    Returns:
        The thumbnails by name.
    """
    thumbnails: Thumbnails = {}
    wanted = set(names)
    for one in benchmarks:
        entries = [entry for entry in one.entries if f"{one.name}/{entry.id}" in wanted]
        for entry, image in one.source.read(entries) if entries else ():
            if not isinstance(image, Rejection):
                name = f"{one.name}/{entry.id}"
                thumbnails[name] = Thumbnail(_encode(image), name, "")
    return thumbnails


def _read_images(paths: ShardPaths, keys: Sequence[str]) -> list[bytes]:
    """Read the encoded images of a shard's crops."""
    row_of = {row_key(row): row for row in read_index_rows(paths.index)}
    images = []
    try:
        with open(paths.tar, "rb") as tar:
            for key in keys:
                _, offset, size, _ = row_of[key].split(" ", 4)[:4]
                tar.seek(int(offset))
                images.append(tar.read(int(size)))
    except (OSError, KeyError) as error:
        raise UserError(
            f"{paths.tar} can't be read for the page of the selection: {error!r}",
            "Run VerifyDataset on its dataset",
        ) from None
    return images


def _encode(image: np.ndarray) -> str:
    factor = min(1.0, _SIDE_PX / max(image.shape[:2]))
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return data_uri(encode_jpeg(np.ascontiguousarray(small), _JPEG_QUALITY), "jpeg")
