"""Describe the crops of a shard by local features, and store them: 1,280 bytes for a crop of 512 x 512 pixels.

The features have no part in what a shard or a dataset is. The detector's sums depend on the processor in the last
digits, so a file of features can differ from one kind of processor to another; on one it is the same every time.
"""

import functools
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.atomic_files import read_json, write_bytes, write_json
from data.dali_index import IndexLine, read_index
from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from data.imaging.decode import ImageFault, decode
from data.progress import Progress, silent
from data.records import SCHEMA
from data.shards import ShardPaths, read_image
from pipeline import worker_pool
from pipeline.opencv_threads import single_threaded_opencv
from pipeline.parts.features import FEATURE, StoredFeatures, describe_crop, features_per_crop
from pipeline.parts.match import FEWEST_INLIERS
from pipeline.quality_metrics import rgb_to_luma

_CROPS_AT_ONCE = 32


class FeaturePaths(NamedTuple):
    """The files with the features of one shard."""

    directory: Path
    shard: str

    @property
    def features(self) -> Path:
        """The features: crops x features, in the order of the shard's index; an array of NumPy."""
        return self.directory / f"{self.shard}.npy"

    @property
    def record(self) -> Path:
        """How many crops, how many of these are too plain to compare, and the sha256 of the features. Written last."""
        return self.directory / f"{self.shard}.json"


def _describe_crops(lines: Sequence[IndexLine], path: Path) -> Iterator[tuple[None, bytes]]:
    """Yield the features of some crops of a shard, in whichever process."""
    with open(path, "rb") as tar:
        for line in lines:
            try:
                image = decode(read_image(tar, line))
            except ImageFault as error:
                message = f"{path} is damaged: {line.key} can't be decoded ({error})"
                raise UserError(message, "Run VerifyDataset --rebuild on its dataset") from None
            yield None, describe_crop(rgb_to_luma(image)).tobytes()


def describe_shard(
    paths: ShardPaths, side_px: int, out: FeaturePaths, *, processes: int = 1, progress: Progress = silent
) -> None:
    """Describe all crops of a shard and write their features.

    Args:
        paths: the shard.
        side_px: side of the crops.
        out: the files to write.
        processes: number of processes.
        progress: called with the number of crops.

    Raises:
        UserError: the shard is damaged.
    """
    lines = read_index(paths.index)
    parts = [lines[start : start + _CROPS_AT_ONCE] for start in range(0, len(lines), _CROPS_AT_ONCE)]
    largest_bytes = _CROPS_AT_ONCE * features_per_crop(side_px) * FEATURE.itemsize
    found: list[bytes] = []
    work = functools.partial(_describe_crops, path=paths.tar)
    with single_threaded_opencv():
        for made in worker_pool.map_in_order(work, parts, processes, largest_bytes):
            found += [bytes(content) for _, content in made if content is not None]
            progress(len(found), len(lines))
    features = np.frombuffer(b"".join(found), FEATURE).reshape(len(lines), features_per_crop(side_px))
    stored = io.BytesIO()
    np.save(stored, features)
    write_bytes(out.features, stored.getvalue())
    sha256 = sha256_bytes(stored.getvalue())
    plain = int(((features["place"] > 0).sum(axis=1) < FEWEST_INLIERS).sum())
    write_json(
        out.record, {"schema": SCHEMA, "crops": len(lines), "too_plain": plain, "features_sha256": sha256}
    )


def read_features(paths: FeaturePaths) -> StoredFeatures:
    """Return the features of a shard's crops, in the order of its index: crops x features.

    Raises:
        UserError: the file is missing or damaged.
    """
    sha256 = read_json(paths.record)["features_sha256"]
    if not paths.features.is_file() or sha256_file(paths.features) != sha256:
        message = f"{paths.features} is missing or damaged"
        raise UserError(message, f"Delete {paths.directory}, and run the command again")
    return np.asarray(np.load(paths.features))
