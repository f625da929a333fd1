"""Read scores that other programs gave to crops or images, and join them to the crops by name.

A file of scores is a CSV with a header, or a parquet file. One column says what is scored: `key` (a crop's key),
`source` (the id of a source image, its path below the dataset's folder) or `file` (its file name, without folders and
suffix). Every other column of numbers is a metric that rules can use.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from data.errors import UserError
from data.hashing import sha256_file
from pipeline.selection.crop_table import CropTable

NAME_COLUMNS = ("key", "source", "file")


def read_scores(path: Path) -> pyarrow.Table:
    """Read a file of scores.

    Raises:
        UserError: it can't be read, or has no column of names, or none of scores.
    """
    try:
        table = pyarrow.parquet.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(
            f"[selection] scores: {path} can't be read: {error}", "Correct the path or the file"
        ) from None
    if not any(name in table.column_names for name in NAME_COLUMNS):
        raise UserError(
            f"[selection] scores: {path} has the columns {', '.join(table.column_names)}, but none says what is scored",
            f"Name that column one of: {', '.join(NAME_COLUMNS)}",
        )
    if not score_names(table):
        raise UserError(
            f"[selection] scores: {path} has no column of numbers",
            "Add one, and name it in [selection] rules",
        )
    return table


def hash_scores(path: Path) -> str:
    """Return the sha256 of a file of scores.

    Raises:
        UserError: it can't be read.
    """
    try:
        return sha256_file(path)
    except OSError as error:
        raise UserError(
            f"[selection] scores: {path} can't be read: {error.strerror}", "Correct the path"
        ) from None


def score_names(table: pyarrow.Table) -> list[str]:
    """Return the names of the columns of numbers, sorted."""
    return sorted(
        field.name
        for field in table.schema
        if field.name not in NAME_COLUMNS
        and (pyarrow.types.is_integer(field.type) or pyarrow.types.is_floating(field.type))
    )


def join_scores(crops: CropTable, path: Path) -> None:
    """Add the scores of a file to the crops; a crop without a score gets NaN.

    Raises:
        UserError: the file can't be read, scores one name twice, or scores none of the crops.
    """
    table = read_scores(path)
    by = next(name for name in NAME_COLUMNS if name in table.column_names)
    rows = _match(crops, by, [str(name) for name in table[by].to_pylist()], path)
    if not (rows >= 0).any():
        raise UserError(
            f"[selection] scores: none of the {len(table)} names in {path} is the {by} of a crop",
            "Compare the names with those in dataset.parquet",
        )
    for name in score_names(table):
        scores = np.asarray(table[name].cast(pyarrow.float64()).to_numpy(), np.float64)
        crops.add_numbers(name, np.where(rows >= 0, scores[rows], np.nan))


def _match(crops: CropTable, by: str, names: Sequence[str], path: Path) -> npt.NDArray[np.int64]:
    """Return for each crop the row of its score, or -1."""
    wanted = [_file_name(name) for name in names] if by == "file" else names
    row_of = dict(zip(wanted, range(len(wanted)), strict=True))
    if len(row_of) < len(wanted):
        twice = next(name for row, name in enumerate(wanted) if row_of[name] != row)
        raise UserError(f"[selection] scores: {path} scores {twice} twice", "Remove one of the rows")
    if by == "key":
        return np.array([row_of.get(key, -1) for key in crops.texts("key", np.arange(len(crops)))], np.int64)
    sources = crops.shared("source")
    found = [row_of.get(_file_name(one) if by == "file" else one, -1) for one in sources.values]
    return np.array(found, np.int64)[sources.rows]


def _file_name(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem
