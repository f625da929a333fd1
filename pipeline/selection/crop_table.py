"""Read the crop records of datasets as columns: a million crops take 200 MB and a second."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet

from data.errors import UserError
from data.records import DatasetManifest
from data.shards import check_file
from pipeline.dataset import PARQUET
from pipeline.selection.hamming import Hashes, parse_hash_column

VALIDATION = "validation"
_REPEATED = ["shard", "source", "source_sha256", "source_phashes", "split", "group"]
"""Columns of texts that many crops share. Each text is kept once."""


class Shared(NamedTuple):
    """A column whose values are shared by many crops."""

    values: list[str]
    """The different values."""
    rows: npt.NDArray[np.int64]
    """For each crop the index of its value."""


class CropTable:
    """The crops of all datasets in one order: validation crops first, then by dataset, then by key.

    The order depends neither on the order of the shards nor on that of the rows, so what is selected doesn't either.

    Args:
        table: the columns of dataset.parquet, and `dataset`, the number of the dataset.
    """

    def __init__(self, table: pyarrow.Table) -> None:
        validating = pyarrow.compute.equal(table["split"].cast(pyarrow.string()), VALIDATION)
        table = table.append_column("training", pyarrow.compute.invert(validating))
        order = [("training", "ascending"), ("dataset", "ascending"), ("key", "ascending")]
        self._added: dict[str, None] = {}
        self._table = table.take(pyarrow.compute.sort_indices(table, sort_keys=order)).combine_chunks()

    def __len__(self) -> int:
        """Return the number of crops."""
        return int(self._table.num_rows)

    def column(self, name: str) -> pyarrow.ChunkedArray:
        """Return a column as it is stored."""
        return self._table[name]

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """Return a column of numbers: a metric by its name, or one that was added."""
        stored = f"metric_{column}"
        values = self._table[stored if stored in self._table.column_names else column]
        return np.asarray(values.to_numpy(), np.float64)

    def number_columns(self, metrics: Sequence[str]) -> list[str]:
        """Return the names of all columns that `numbers` takes: metrics in the given order, then what was added.

        Args:
            metrics: names of metrics.
        """
        names = [name for name in metrics if f"metric_{name}" in self._table.column_names]
        return [*dict.fromkeys([*names, *self._added])]

    def add_numbers(self, column: str, values: npt.NDArray[np.float64]) -> None:
        """Add a column of numbers, or replace it."""
        kept = self._table.drop_columns([column]) if column in self._table.column_names else self._table
        self._table = kept.append_column(column, pyarrow.array(values))
        self._added[column] = None

    def texts(self, column: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return the texts of a column in the given rows."""
        return [str(text) for text in self._table[column].take(pyarrow.array(rows)).to_pylist()]

    def find_rows(self, places: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
        """Return the rows of crops by dataset number and key; those that are not there are left out.

        Args:
            places: dataset number and key of each.
        """
        keys = pyarrow.array(sorted({key for _, key in places}), pyarrow.string())
        rows = np.flatnonzero(pyarrow.compute.is_in(self._table["key"], keys).to_numpy())
        named = zip(self.datasets[rows].tolist(), self.texts("key", rows), strict=True)
        found = dict(zip(named, rows.tolist(), strict=True))
        return {place: found[place] for place in places if place in found}

    def shared(self, column: str) -> Shared:
        """Return a column of texts that many crops share."""
        array = self._table[column].combine_chunks()
        return Shared([str(text) for text in array.dictionary.to_pylist()], array.indices.to_numpy())

    def hashes(self) -> Hashes:
        """Return the perceptual hash of each crop."""
        return np.asarray(self._table["phash"].to_numpy(), np.uint64)

    def set_training(self, training: npt.NDArray[np.bool_]) -> None:
        """Let crops change to the other side of the split. Their order stays as it is."""
        self._table = self._table.drop_columns(["training"]).append_column(
            "training", pyarrow.array(training)
        )

    def validation_first(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return rows with those for validation before the others: a group that was moved has left its place."""
        return rows[np.argsort(self.training[rows], kind="stable")]

    @property
    def training(self) -> npt.NDArray[np.bool_]:
        """Whether each crop is for training; the others are for validation."""
        return np.asarray(self._table["training"].to_numpy(), bool)

    @property
    def datasets(self) -> npt.NDArray[np.int64]:
        """The number of each crop's dataset."""
        return np.asarray(self._table["dataset"].to_numpy(), np.int64)


def read_crop_table(
    directories: Sequence[Path],
    manifests: Sequence[DatasetManifest],
    metrics: Sequence[str],
    others: Sequence[str] = (),
) -> CropTable:
    """Read the crops of datasets from their dataset.parquet.

    Args:
        directories: of the finished crop datasets.
        manifests: their dataset.json.
        metrics: names of the quality metrics to read.
        others: further columns to read.

    Raises:
        UserError: a file is missing, or differs from what dataset.json says.
    """
    columns = ["key", "phash", *_REPEATED, *(f"metric_{name}" for name in metrics), *others]
    tables = []
    for number, (directory, manifest) in enumerate(zip(directories, manifests, strict=True)):
        path = directory / PARQUET
        check_file(path, manifest.file_sha256.get(PARQUET, ""))
        with open(path, "rb") as file:  # pyarrow opens no path that is not UTF-8
            table = pyarrow.parquet.read_table(file, columns=columns, read_dictionary=_REPEATED)
        _check_rows(table, manifest, path)
        # As numbers they take a third of the memory.
        hashes = pyarrow.array(parse_hash_column(table["phash"]))
        table = table.set_column(table.column_names.index("phash"), "phash", hashes)
        tables.append(
            table.append_column("dataset", pyarrow.array(np.full(table.num_rows, number, np.int16)))
        )
    return CropTable(pyarrow.concat_tables(tables).unify_dictionaries())


def _check_rows(table: pyarrow.Table, manifest: DatasetManifest, path: Path) -> None:
    crops = sum(one.samples for one in manifest.shards)
    if table.num_rows != crops:
        message = f"{path} has {table.num_rows} crops, but the shards of {manifest.name} have {crops}"
        raise UserError(message, "Delete the directory of the dataset and run MakeCrops again")


def check_same_format(manifests: Sequence[DatasetManifest]) -> None:
    """Check that datasets have one crop size and one format.

    Raises:
        UserError: they have not.
    """
    formats = sorted({(one.crop_size_px, one.image_extension) for one in manifests})
    if len(formats) != 1:
        names = ", ".join(one.name for one in manifests)
        found = ", ".join(f"{size_px} px {extension}" for size_px, extension in formats)
        raise UserError(
            f"The datasets {names} must have one crop size and one format, but they have {found}",
            "Make all of them with the same [crops] settings",
        )
