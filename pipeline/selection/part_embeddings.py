"""Find crops that are like windows of benchmark images, or like validation crops, by their embeddings."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.embeddings import IMAGES, EmbeddingPaths, read_embeddings
from data.errors import UserError
from pipeline.selection.crop_table import CropTable
from pipeline.selection.part_records import ShownPart
from pipeline.selection.part_targets import source_numbers


class Embedded(NamedTuple):
    """The embeddings of datasets and benchmarks."""

    datasets: tuple[Path | None, ...]
    """For each dataset the directory of its embeddings; None if it is not compared."""
    benchmarks: tuple[tuple[str, Path], ...]
    """Name and directory of each benchmark."""
    min_similarity: float
    """Cosine similarity from which on two show the same."""


class _Targets(NamedTuple):
    """What crops are compared with."""

    vectors: npt.NDArray[np.float32]
    names: list[str]
    """benchmark/image, or the id of the source image of a validation crop."""
    rows: npt.NDArray[np.int64]
    """Row of the validation crop; -1 for a benchmark."""


def find_alike(
    crops: CropTable,
    embedded: Embedded,
    training: npt.NDArray[np.bool_],
    validation: npt.NDArray[np.int64],
    skipped: frozenset[int],
) -> list[ShownPart]:
    """Return the crops that are like a benchmark image or, in training, like a validation crop of another image.

    Args:
        crops: the crops.
        embedded: their embeddings, and those of benchmarks.
        training: whether each crop may be for training; others are compared with benchmarks only.
        validation: rows of the crops that may be for validation.
        skipped: rows that are not compared.
    """
    keys, numbers = crops.texts("key", np.arange(len(crops))), source_numbers(crops)
    benchmarks = _benchmark_targets(embedded.benchmarks)
    known = _validation_targets(crops, embedded, keys, validation)
    found: list[ShownPart] = []
    for rows, vectors in _each_shard(crops, embedded, keys):
        for targets in (benchmarks, known):
            if not len(targets.rows):
                continue
            alike = vectors @ targets.vectors.T
            if targets is known:
                alike[~training[rows]] = -1
                alike[numbers[rows][:, None] == numbers[targets.rows][None, :]] = -1
            best = alike.argmax(axis=1)
            for place in np.flatnonzero(alike.max(axis=1) >= embedded.min_similarity).tolist():
                row, target = int(rows[place]), int(best[place])
                if row not in skipped:
                    similarity = round(float(alike[place, target]), 3)
                    found.append(_shown(crops, keys, row, targets, target, similarity))
    return found


def _shown(
    crops: CropTable, keys: Sequence[str], row: int, targets: _Targets, target: int, similarity: float
) -> ShownPart:
    like = int(targets.rows[target])
    return ShownPart(
        dataset=int(crops.datasets[row]),
        key=keys[row],
        source=crops.texts("source", np.array([row]))[0],
        benchmark=like < 0,
        target=targets.names[target],
        like_dataset=int(crops.datasets[like]) if like >= 0 else -1,
        like=keys[like] if like >= 0 else "",
        inliers=0,
        by="",
        similarity=similarity,
    )


def _each_shard(
    crops: CropTable, embedded: Embedded, keys: Sequence[str]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Yield the rows of the crops of each shard that has embeddings, with these."""
    for number, directory in enumerate(embedded.datasets):
        if directory is None:
            continue
        row_of = {keys[row]: row for row in np.flatnonzero(crops.datasets == number).tolist()}
        compared = 0
        for path in sorted(directory.glob("*-[0-9]*.npy")):
            names, vectors = read_embeddings(EmbeddingPaths(directory, path.stem))
            rows = np.array([row_of.get(name, -1) for name in names], np.int64)
            compared += int((rows >= 0).sum())
            yield rows[rows >= 0], vectors[rows >= 0].astype(np.float32)
        if compared != len(row_of):
            message = f"{directory} lacks the embeddings of {len(row_of) - compared} of {len(row_of)} crops"
            raise UserError(message, "Delete that directory, and run the command again")


def _validation_targets(
    crops: CropTable, embedded: Embedded, keys: Sequence[str], validation: npt.NDArray[np.int64]
) -> _Targets:
    rows, parts = [np.zeros(0, np.int64)], []
    for of_shard, vectors in _each_shard(crops, embedded, keys):
        wanted = np.isin(of_shard, validation)
        rows.append(of_shard[wanted])
        parts.append(vectors[wanted])
    found = np.concatenate(rows)
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    return _Targets(vectors, crops.texts("source", found), found)


def _benchmark_targets(benchmarks: Sequence[tuple[str, Path]]) -> _Targets:
    names: list[str] = []
    parts: list[npt.NDArray[np.float32]] = []
    for name, directory in benchmarks:
        ids, of_images = read_embeddings(EmbeddingPaths(directory, IMAGES))
        names += [f"{name}/{one}" for one in ids]
        parts.append(of_images.astype(np.float32))
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    return _Targets(vectors, names, np.full(len(names), -1, np.int64))
