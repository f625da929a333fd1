"""Write and read embeddings: a vector for each crop of a shard, or for each window of a benchmark's images.

Vectors have the length 1, so the product of two is their cosine similarity. They have no part in what a shard or a
dataset is: a network's sums depend on the processor in the last digits.
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from data.record_json import from_plain, to_plain
from data.records import SCHEMA

Vectors = npt.NDArray[np.float16]
"""Vectors x dimensions."""


class EmbeddingPaths(NamedTuple):
    """The files with the embeddings of one shard, or of the images of a benchmark."""

    directory: Path
    name: str
    """Of the shard; or `IMAGES`."""

    @property
    def vectors(self) -> Path:
        """The vectors: an array of NumPy, float16."""
        return self.directory / f"{self.name}.npy"

    @property
    def record(self) -> Path:
        """The EmbeddingRecord. Written last."""
        return self.directory / f"{self.name}.json"


IMAGES = "images"
"""Name of the embeddings of a benchmark."""


@dataclasses.dataclass(frozen=True)
class EmbeddingRecord:
    """What each vector is of."""

    schema: int
    names: tuple[str, ...]
    """For each vector the key of the crop, or the id of the image that its window is of."""
    network_sha256: str
    vectors_sha256: str


def write_embeddings(
    paths: EmbeddingPaths, names: Sequence[str], vectors: npt.NDArray[np.float32], network_sha256: str
) -> None:
    """Write vectors, scaled to the length 1, and their record last.

    Args:
        paths: the files to write.
        names: of the crops or images.
        vectors: as many, in the same order.
        network_sha256: of the network that made them.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float16)
    content = io.BytesIO()
    np.save(content, scaled)
    write_bytes(paths.vectors, content.getvalue())
    record = EmbeddingRecord(SCHEMA, tuple(names), network_sha256, sha256_bytes(content.getvalue()))
    write_json(paths.record, to_plain(record))


def read_embeddings(paths: EmbeddingPaths) -> tuple[tuple[str, ...], Vectors]:
    """Return the names and the vectors.

    Raises:
        UserError: a file is missing or damaged.
    """
    record = from_plain(EmbeddingRecord, read_json(paths.record), str(paths.record))
    if not paths.vectors.is_file() or sha256_file(paths.vectors) != record.vectors_sha256:
        message = f"{paths.vectors} is missing or damaged"
        raise UserError(message, f"Delete {paths.directory}, and run the command again")
    return record.names, np.load(paths.vectors, allow_pickle=False)
