"""Join the scores that networks gave to crops, by dataset and key."""

import numpy as np
import pyarrow
import pyarrow.compute

from data.atomic_files import read_json
from data.crop_scores import ScorePaths, read_crop_scores
from data.errors import UserError
from pipeline.selection.crop_table import CropTable
from pipeline.selection.settings import NetworkScores

RECORD = "scores.json"
"""Written last: the shards that have scores."""


def join_network_scores(crops: CropTable, scored: NetworkScores) -> None:
    """Add the scores of a metric to the crops; NaN where the metric gave none.

    Raises:
        UserError: a file is missing or damaged, or lacks crops.
    """
    values = np.full(len(crops), np.nan)
    for number, directory in enumerate(scored.directories):
        shards = sorted(read_json(directory / RECORD)["shards"])
        tables = [read_crop_scores(ScorePaths(directory, shard)) for shard in shards]
        rows = np.flatnonzero(crops.datasets == number)
        if not len(rows):
            continue
        table = pyarrow.concat_tables(tables)
        keys = crops.column("key").take(pyarrow.array(rows)).cast(pyarrow.string())
        place = pyarrow.compute.index_in(keys, value_set=table["key"].combine_chunks())
        if place.null_count:
            message = f"{directory} lacks the scores of {place.null_count} of {len(rows)} crops"
            raise UserError(message, "Delete that directory, and run the command again")
        found = np.asarray(table[scored.metric].to_numpy(), np.float64)
        values[rows] = found[place.to_numpy()]
    crops.add_numbers(scored.metric, values)
