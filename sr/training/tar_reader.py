"""Reads the images of a split without DALI: the same shards, indexes and partitions, shuffled in its own order.

Each image is checked against the sha256 stored beside it in the tar, so damage never reaches the training. The order is
a function of the position in the stream, so the number of batches is enough to resume.
"""

import json
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from data.dali_index import read_index
from data.hashing import generator, sha256_bytes
from data.selection import Split
from sr.training.shard_reader import Image, LoadImage, damaged_sample


class TarReader:
    """Reads the images of one partition, shuffled without end or in order; see `sr.training.shard_reader`."""

    def __init__(
        self,
        split: Split,
        partition: int,
        num_partitions: int,
        images_per_batch: int,
        seed: int | None,
        num_threads: int = 0,
        first_batch: int = 0,
        position: bytes = b"",
        device_id: int | None = None,
    ) -> None:
        """Read the indexes.

        Args:
            split: what to read.
            partition: this partition, 0 to `num_partitions` - 1.
            num_partitions: the split is divided into this many ranges; a shuffled partition visits them in turn.
            images_per_batch: number of images that `read` returns.
            seed: seed of the order. None: the order of the indexes, then the partition's last image without end.
            num_threads, position, device_id: ignored; for DALI.
            first_batch: number of batches that were read before.
        """
        self._split, self._partition, self._num_partitions = split, partition, num_partitions
        self._images_per_batch, self._seed, self._batch = images_per_batch, seed, first_batch
        self._samples = np.array(
            [
                (number, *_find_span(line.components, split.image_extension))
                for number, index in enumerate(split.indexes)
                for line in read_index(Path(index))
            ],
            dtype=np.int64,
        )  # [samples, (tar, image's offset and size, description's offset and size)]
        self._order: tuple[int, npt.NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def read(self) -> list[LoadImage]:
        """Return functions that load the next images."""
        first = self._batch * self._images_per_batch
        self._batch += 1
        return [self._loader_of(self._sample_at(first + index)) for index in range(self._images_per_batch)]

    def position(self) -> bytes:
        """Return nothing: the number of batches is the position."""
        return b""

    def _sample_at(self, number: int) -> int:
        """Return the sample that comes at `number` in the endless stream of this partition."""
        samples = len(self._samples)
        if self._seed is None:
            first, end = self._range_of(self._partition)
            return min(first + number, end - 1)
        rounds, rest = divmod(number, samples)
        # In `num_partitions` passes, each partition visits each range once.
        for turn in range(self._num_partitions):
            first, end = self._range_of((self._partition + turn) % self._num_partitions)
            if rest < end - first:
                break
            rest -= end - first
        epoch = rounds * self._num_partitions + turn
        if self._order[0] != epoch:
            order = generator("order", self._seed, self._partition, epoch).permutation(end - first)
            self._order = epoch, order
        return first + int(self._order[1][rest])

    def _range_of(self, partition: int) -> tuple[int, int]:
        """Return the first sample of a partition's range, and the one after its last."""
        samples = len(self._samples)
        return samples * partition // self._num_partitions, samples * (partition + 1) // self._num_partitions

    def _loader_of(self, sample: int) -> LoadImage:
        tar, offset, size, description_offset, description_size = self._samples[sample].tolist()
        return lambda: _read_image(self._split.tars[tar], offset, size, description_offset, description_size)


def _find_span(
    components: tuple[tuple[str, int, int, str], ...], extension: str
) -> tuple[int, int, int, int]:
    found = {kind: (offset, size) for kind, offset, size, _ in components}
    return *found[extension], *found["json"]


def _read_image(
    tar: str, offset: int, size: int, description_offset: int, description_size: int
) -> tuple[Image, str]:
    """Read and decode one image.

    Raises:
        UserError: its bytes have changed since it was packed.
    """
    with open(tar, "rb", buffering=0) as file:
        header = os.pread(file.fileno(), tarfile.BLOCKSIZE, offset - tarfile.BLOCKSIZE)
        content = os.pread(file.fileno(), size, offset)
        description = os.pread(file.fileno(), description_size, description_offset)
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "replace").name
        expected = json.loads(description)["sha256"]
    except (tarfile.HeaderError, ValueError, KeyError, TypeError):
        raise damaged_sample(tar, f"the sample at offset {offset}", "is incomplete") from None
    if sha256_bytes(content) != expected:
        raise damaged_sample(tar, member, "does not match its sha256")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise damaged_sample(tar, member, "does not decode")
    return image.astype(np.uint8, copy=False), f"{tar}:{offset}:{member}"
