"""Write and read the scores that a network gave to the crops of a shard: a parquet file beside its record.

They have no part in what a shard or a dataset is: a network's sums depend on the processor in the last digits.
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from data.record_json import from_plain, to_plain
from data.records import SCHEMA


class ScorePaths(NamedTuple):
    """The files with the scores of one shard."""

    directory: Path
    shard: str

    @property
    def scores(self) -> Path:
        """The scores: columns `key` and the metric's name, in the order of the shard's index."""
        return self.directory / f"{self.shard}.parquet"

    @property
    def record(self) -> Path:
        """The ScoreRecord. Written last."""
        return self.directory / f"{self.shard}.json"


@dataclasses.dataclass(frozen=True)
class ScoreRecord:
    """What was scored, and by what."""

    schema: int
    metric: str
    """Name of the metric."""
    crops: int
    without_score: int
    """Crops that the metric gave no number: their score is NaN, and no rule lets them pass."""
    first_failure: str
    """What it said about the first of these; empty if there are none."""
    network_sha256: str
    """Of the weights: of the file, or of all parameters of the network."""
    scores_sha256: str
    """Of the parquet file."""


def write_crop_scores(
    paths: ScorePaths,
    metric: str,
    keys: Sequence[str],
    scores: npt.NDArray[np.float32],
    *,
    first_failure: str,
    network_sha256: str,
) -> None:
    """Write the scores of a shard, and their record last.

    Args:
        paths: the files to write.
        metric: its name.
        keys: of the crops.
        scores: of the crops; NaN where there is none.
        first_failure, network_sha256: see `ScoreRecord`.
    """
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"key": list(keys), metric: scores}), content)
    write_bytes(paths.scores, content.getvalue())
    missing = int(np.isnan(scores).sum())
    sha256 = sha256_bytes(content.getvalue())
    record = ScoreRecord(SCHEMA, metric, len(keys), missing, first_failure, network_sha256, sha256)
    write_json(paths.record, to_plain(record))


def read_score_record(paths: ScorePaths) -> ScoreRecord:
    """Return the record of a shard's scores."""
    return from_plain(ScoreRecord, read_json(paths.record), str(paths.record))


def read_crop_scores(paths: ScorePaths) -> pyarrow.Table:
    """Return the scores of a shard: columns `key` and the metric's name.

    Raises:
        UserError: the file is missing or damaged.
    """
    sha256 = read_score_record(paths).scores_sha256
    if not paths.scores.is_file() or sha256_file(paths.scores) != sha256:
        message = f"{paths.scores} is missing or damaged"
        raise UserError(message, f"Delete {paths.directory}, and run the command again")
    with open(paths.scores, "rb") as file:  # pyarrow opens no path that is not UTF-8
        return pyarrow.parquet.read_table(file)
