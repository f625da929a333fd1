"""Which shards a PackShard makes, `--shard` and `--part`, and how it reports them."""

from collections.abc import Sequence

import luigi

from data.errors import UserError
from data.progress import Progress
from data.shards import is_shard_name
from pipeline.shard_parts import Part


class ShardParameter(luigi.Parameter[str]):
    """The name of a shard; empty for none. Nothing else is accepted: the name becomes part of paths."""

    expected = "the name of a shard, such as train-000000"

    def normalize(self, x: str) -> str:
        """Return the name.

        Raises:
            ValueError: it has another form.
        """
        if x and not is_shard_name(x):
            raise ValueError(f"{x!r} is not {self.expected}")
        return x


class PartParameter(luigi.Parameter[str]):
    """A part of the shards, I/N; empty for none."""

    expected = "I/N with I from 1, such as 7/64 (add 1 to the index of a job that begins with 0)"

    def normalize(self, x: str) -> str:
        """Return the part.

        Raises:
            ValueError: it is no part.
        """
        if x:
            Part.parse(x)
        return x


def unknown_shard_error(shard: str, planned: Sequence[str], dataset: str) -> UserError:
    """Return the error for a shard that the plan of a dataset lacks."""
    known = f"{len(planned)} shards, {planned[0]} to {planned[-1]}"
    message = f"There is no shard {shard} in the plan of {dataset}, which has {known}"
    return UserError(message, "`sr-factory shards` lists them")


def report_after(progress: Progress, before: int, whole: int, done: int, _total: int, note: str = "") -> None:
    """Report the crops of one shard as those of a part of `whole` crops, of which `before` are done already."""
    progress(before + done, whole, note)
