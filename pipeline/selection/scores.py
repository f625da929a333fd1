"""Join scores that other programs gave to crops or images to the crops by name.

One column says what is scored: `key` (a crop's key), `source` (the id of a source image, its path below the dataset's
folder) or `file` (its file name, without folders and suffix). Every column of numbers is a metric that rules can use.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow

from data.errors import UserError
from pipeline.selection.crop_table import CropTable
from pipeline.selection.score_files import ANY_NAME, NAME_COLUMNS, read_scores, score_names


def join_scores(crops: CropTable, path: Path) -> None:
    """Add the scores of a file to the crops; a crop without a score gets NaN.

    Raises:
        UserError: the file can't be read, scores one name twice, or scores none of the crops.
    """
    table = read_scores(path)
    by = next(name for name in (*NAME_COLUMNS, ANY_NAME) if name in table.column_names)
    names = [str(name) for name in table[by].to_pylist()]
    by = _choose_column(crops, names) if by == ANY_NAME else by
    rows = _match(crops, by, names, path)
    if not (rows >= 0).any():
        raise UserError(
            f"[selection] scores: none of the {len(table)} names in {path} is the {by} of a crop",
            "Compare the names with those in dataset.parquet",
        )
    for name in score_names(table):
        scores = np.asarray(table[name].cast(pyarrow.float64()).to_numpy(), np.float64)
        crops.add_numbers(name, np.where(rows >= 0, scores[rows], np.nan))


def _choose_column(crops: CropTable, names: Sequence[str]) -> str:
    """Return what the names of a text are: `source` or `key` if any is one, else `file`."""
    wanted = set(names)
    if not wanted.isdisjoint(crops.shared("source").values):
        return "source"
    is_key = not wanted.isdisjoint(crops.texts("key", np.arange(len(crops))))
    return "key" if is_key else "file"


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
