"""The images of a split read without DALI: the same shards, indexes and lanes, in an order of its own.

Each image's bytes are held against the sha256 that stands beside it in the tar, so that no damage passes
for an image. Which image comes when is a function of its number: a position needs no more than a count.
"""

import json
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np

from data.errors import UserError
from data.hashing import generator, sha256_bytes
from data.selection import Split
from data.shards import read_index
from sr.training.readers import Load


class TarReader:
    """One lane's images: an endless shuffled stream, or in order."""

    def __init__(
        self,
        split: Split,
        lane: int,
        lanes: int,
        count: int,
        seed: int | None,
        threads: int = 0,
        batch: int = 0,
        position: bytes = b"",
        device_id: int | None = None,
    ) -> None:
        """Read the indexes.

        Args:
            split: what to read.
            lane: this one, 0 to `lanes` - 1.
            lanes: how many share the split, a range each; where it is shuffled the ranges go round.
            count: images at a time.
            seed: of the order; None for the order of the indexes, this lane's range over and over.
            threads, position, device_id: not needed here; for DALI.
            batch: how many times images were taken already.
        """
        self._split, self._lane, self._lanes = split, lane, lanes
        self._count, self._seed, self._batch = count, seed, batch
        self._places = np.array(
            [
                (number, *_span(line.components, split.image_extension))
                for number, index in enumerate(split.indexes)
                for line in read_index(Path(index))
            ],
            dtype=np.int64,
        )  # [samples, (tar, image's offset and size, description's offset and size)]
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def take(self) -> list[Load]:
        """Return what loads the next images."""
        first = self._batch * self._count
        self._batch += 1
        return [self._load_of(self._sample_at(first + place)) for place in range(self._count)]

    def position(self) -> bytes:
        """Nothing: the number of batches says all."""
        return b""

    def _sample_at(self, number: int) -> int:
        """The sample that comes at `number` of this lane's endless stream."""
        samples = len(self._places)
        if self._seed is None:
            first, end = (samples * (self._lane + more) // self._lanes for more in (0, 1))
            return min(first + number, end - 1)
        rounds, rest = divmod(number, samples)
        # In `lanes` passes every lane goes through every range once.
        for turn in range(self._lanes):
            part = (self._lane + turn) % self._lanes
            first, end = (samples * (part + more) // self._lanes for more in (0, 1))
            if rest < end - first:
                break
            rest -= end - first
        epoch = rounds * self._lanes + turn
        if self._order[0] != epoch:
            order = generator("order", self._seed, self._lane, epoch).permutation(end - first)
            self._order = epoch, order
        return first + int(self._order[1][rest])

    def _load_of(self, sample: int) -> Load:
        tar, offset, size, described_at, described_size = self._places[sample].tolist()
        return lambda: _read(self._split.tars[tar], offset, size, described_at, described_size)


def _span(components: tuple[tuple[str, int, int, str], ...], extension: str) -> tuple[int, int, int, int]:
    found = {kind: (offset, size) for kind, offset, size, _ in components}
    return *found[extension], *found["json"]


def _read(tar: str, offset: int, size: int, described_at: int, described_size: int) -> tuple[np.ndarray, str]:
    """Read and decode one image.

    Raises:
        UserError: it is not what was written there.
    """
    with open(tar, "rb", buffering=0) as file:
        header = os.pread(file.fileno(), tarfile.BLOCKSIZE, offset - tarfile.BLOCKSIZE)
        content = os.pread(file.fileno(), size, offset)
        described = os.pread(file.fileno(), described_size, described_at)
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "replace").name
        expected = json.loads(described)["sha256"]
    except (tarfile.HeaderError, ValueError, KeyError, TypeError):
        raise damaged(tar, f"offset {offset}", "no whole sample") from None
    if sha256_bytes(content) != expected:
        raise damaged(tar, member, "other bytes")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise damaged(tar, member, "bytes that do not decode")
    return image, f"{tar}:{offset}:{member}"


def damaged(tar: str, member: str, found: str) -> UserError:
    """The error for a sample of a shard that is not as it was written."""
    remedy = "run VerifyDataset with --rebuild on its dataset, then go on"
    return UserError("the image that was packed", found, f"{member} of shard {tar}", remedy)
