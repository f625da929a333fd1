"""Write and read decisions.parquet: which filter of a selection rejects each crop, and what the crop is like.

One row for each crop of all datasets, in the order of `CropTable`. The counts of selection.json and the page of
`pipeline.selection_page` come from it; anything that reads parquet can.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet

from data.atomic_files import atomic_file
from data.hashing import sha256_file
from data.shards import check_file
from pipeline.selection.hamming import Rows
from pipeline.selection.selection import Selection

DECISIONS = "decisions.parquet"
_ROWS_PER_GROUP = 1 << 20


class Decisions(NamedTuple):
    """What a selection has decided on each crop, in the order of `CropTable`."""

    filters: Rows
    """For each crop the number of the filter that rejects it, or -1 if it is selected."""
    training: npt.NDArray[np.bool_]
    """Whether each crop is for training once groups are on one side of the split."""
    table: pyarrow.Table
    """The columns `detail` and `like`: why each crop is rejected, and what it is like, see
    `pipeline.selection.selection.Rejected`; null if it is selected."""

    @property
    def selected(self) -> npt.NDArray[np.bool_]:
        """Whether each crop is selected."""
        return self.filters < 0

    def like(self, row: int) -> str:
        """Return what a rejected crop is like; empty if its filter compares nothing."""
        return str(self.table["like"][row].as_py() or "")

    def detail(self, row: int) -> str:
        """Return why a crop is rejected; empty if it is selected."""
        return str(self.table["detail"][row].as_py() or "")

    def rows_with_like(self, number: int) -> Rows:
        """Return the rows of the crops that a filter rejects because they are like another image."""
        rows = np.flatnonzero(self.filters == number)
        like: Rows = rows[
            np.asarray(self.table["like"].take(pyarrow.array(rows)).is_valid().to_numpy(), bool)
        ]
        return like


def write_decisions(selection: Selection, names: Sequence[str], out_dir: Path) -> str:
    """Write decisions.parquet and return its sha256.

    Args:
        selection: all filters of which have run.
        names: of the datasets.
        out_dir: directory of the selection.
    """
    crops = selection.crops
    filters = np.full(len(crops), -1, np.int16)
    texts = {"detail": np.full(len(crops), None, object), "like": np.full(len(crops), None, object)}
    for place, one in enumerate(selection.rejected):
        filters[one.rows] = place
        texts["detail"][one.rows] = one.details
        if len(one.likes):
            texts["like"][one.rows] = one.likes
    labels = pyarrow.array([one.filter for one in selection.rejected], pyarrow.string())
    numbers = pyarrow.array(filters, mask=filters < 0)
    columns = {
        "dataset": pyarrow.DictionaryArray.from_arrays(crops.datasets.astype(np.int16), pyarrow.array(names)),
        "key": crops.column("key"),
        "split": pyarrow.DictionaryArray.from_arrays(
            crops.training.astype(np.int8), pyarrow.array(["validation", "train"])
        ),
        "filter": labels.take(numbers).dictionary_encode(),
        "filter_number": numbers,
        **{name: pyarrow.array(values, pyarrow.string()) for name, values in texts.items()},
    }
    with atomic_file(out_dir / DECISIONS) as file:
        pyarrow.parquet.write_table(
            pyarrow.table(columns), file, compression="zstd", row_group_size=_ROWS_PER_GROUP
        )
    return sha256_file(out_dir / DECISIONS)


def read_decisions(selection_dir: Path, sha256: str) -> Decisions:
    """Read decisions.parquet.

    Args:
        selection_dir: directory of the selection.
        sha256: as its selection.json says.

    Raises:
        UserError: the file is missing or differs from its record.
    """
    path = selection_dir / DECISIONS
    check_file(path, sha256)
    with open(path, "rb") as file:  # pyarrow opens no path that is not UTF-8
        table = pyarrow.parquet.read_table(file, columns=["filter_number", "split", "detail", "like"])
    filters = table["filter_number"].fill_null(-1).to_numpy().astype(np.int64)
    training = pyarrow.compute.equal(table["split"].cast(pyarrow.string()), "train").to_numpy()
    return Decisions(filters, training, table.select(["detail", "like"]))
