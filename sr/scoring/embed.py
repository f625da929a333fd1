"""Describe crops and images by one vector each, by a copy detection network such as SSCD.

The network is a file on disk: ONNX, or TorchScript, which is a program of its own; see docs/how-to/select-crops.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from data.dali_index import read_index
from data.embeddings import EmbeddingPaths, write_embeddings
from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.hashing import sha256_file
from data.progress import Progress, silent
from data.records import Rejection, SourceEntry
from data.shards import ShardPaths
from data.sources import Source
from sr.scoring.score_shard import read_crops
from sr.scoring.scorer import Floats, OnnxNetwork, UInt8Images

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels, as SSCD and nearly all others expect them."""
_SIDE_PX = 288
_SMALLEST_WINDOW_PX = 128
_MOST_LEVELS = 3


class Embedder(Protocol):
    """Gives each image a vector."""

    network_sha256: str

    def run(self, images: UInt8Images) -> Floats:
        """Return a vector for each image: images x dimensions."""


def open_embedder(path: Path, threads: int) -> Embedder:
    """Open a network that describes images.

    Args:
        path: .onnx, or TorchScript under any other name.
        threads: of torch.

    Raises:
        UserError: the file is damaged or something else.
    """
    if path.suffix.lower() == ".onnx":
        return OnnxNetwork(path, _MEAN, _DEVIATION, _SIDE_PX)
    return _TorchScript(path, threads)


class _TorchScript:
    def __init__(self, path: Path, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        try:
            self._network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise_if_exhausted(error)
            words = " ".join(str(error).split())[:200]
            raise UserError(
                f"{path} is no TorchScript file: {words}", "Give a TorchScript or an ONNX file"
            ) from None
        self._path = path
        self.network_sha256 = sha256_file(path)

    def run(self, images: UInt8Images) -> Floats:
        import torch

        resized = [
            cv2.resize(one, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
            if one.shape[:2] != (_SIDE_PX, _SIDE_PX)
            else one
            for one in images
        ]
        mean, deviation = np.array(_MEAN, np.float32), np.array(_DEVIATION, np.float32)
        values = (np.stack(resized).astype(np.float32) / 255 - mean) / deviation
        with torch.inference_mode():
            found = self._network(torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2))))
        if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != len(images):
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise UserError(
                f"{self._path} gives {shape} for {len(images)} images, but a vector for each is needed",
                "Give a network that describes images by one vector",
            )
        return np.asarray(found.float().numpy(), np.float32)


def embed_shard(
    paths: ShardPaths,
    embedder: Embedder,
    out: EmbeddingPaths,
    *,
    batch_size: int,
    progress: Progress = silent,
) -> None:
    """Describe all crops of a shard and write the vectors.

    Args:
        paths: the shard.
        embedder: the network.
        out: the files to write.
        batch_size: crops described at once.
        progress: called with the number of crops.

    Raises:
        UserError: the shard is damaged, or the network gives no vectors.
    """
    lines = read_index(paths.index)
    parts: list[Floats] = []
    for start in range(0, len(lines), batch_size):
        images = read_crops(paths, lines[start : start + batch_size])
        parts.append(embedder.run(images))
        progress(start + len(images), len(lines))
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    _require_finite(vectors, paths.tar)
    write_embeddings(out, [line.key for line in lines], vectors, embedder.network_sha256)


def embed_images(
    source: Source,
    entries: list[SourceEntry],
    embedder: Embedder,
    out: EmbeddingPaths,
    *,
    progress: Progress = silent,
) -> None:
    """Describe windows of the images of a benchmark, upright and mirrored, and write the vectors.

    Images that can't be read are left out, as they are where their hashes are compared.

    Args:
        source, entries: the benchmark.
        embedder: the network.
        out: the files to write.
        progress: called with the number of images.
    """
    names: list[str] = []
    parts: list[Floats] = []
    for count, (entry, image) in enumerate(source.read(entries), 1):
        if not isinstance(image, Rejection):
            for window in _windows(image):
                square = cv2.resize(window, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
                parts.append(embedder.run(np.stack([square, np.ascontiguousarray(square[:, ::-1])])))
                names += [entry.id] * 2
        progress(count, len(entries))
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    _require_finite(vectors, out.directory)
    write_embeddings(out, names, vectors, embedder.network_sha256)


def _windows(image: UInt8Images) -> Iterator[UInt8Images]:
    """Yield the whole image, and squares of its shorter side, half and a quarter of it, half of each overlapping."""
    yield image
    height, width = image.shape[:2]
    side = min(height, width)
    for level in range(_MOST_LEVELS):
        if side < _SMALLEST_WINDOW_PX or (level == 0 and height == width):
            side //= 2
            continue
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield image[top : top + side, left : left + side]
        side //= 2


def _starts(length: int, side: int) -> list[int]:
    count = -(-(length - side) // max(1, side // 2)) + 1
    return [round(one) for one in np.linspace(0, length - side, count)]


def _require_finite(vectors: Floats, what: Path) -> None:
    if not np.isfinite(vectors).all():
        raise UserError(
            f"The network gives vectors with infinite numbers or NaN for {what}", "Use another file"
        )
