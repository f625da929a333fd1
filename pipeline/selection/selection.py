"""Which crops are selected while the filters of a selection run, and what each filter has rejected."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.records import Rejection, RejectionReason
from data.selection import FilterCounts, SelectedDataset
from pipeline.selection.crop_table import CropTable
from pipeline.selection.hamming import Rows


class Rejected(NamedTuple):
    """The crops that one filter rejects."""

    filter: str
    """What the user knows it by: a rule, or a key of [selection]."""
    reason: RejectionReason
    rows: Rows
    details: Sequence[str]
    """Why each of the crops is rejected."""
    likes: Sequence[str]
    """What each of them is like: the key of a crop, or benchmark/image; empty if the filter compares nothing."""


class Selection:
    """Which crops are still selected, and why the others are not. Every crop is rejected at most once.

    Args:
        crops: the crops to select from.
    """

    def __init__(self, crops: CropTable) -> None:
        self.crops = crops
        self.selected: npt.NDArray[np.bool_] = np.ones(len(crops), bool)
        """Whether each crop is still selected."""
        self.rejected: list[Rejected] = []
        """What each filter has rejected, in the order of the filters. One that has rejected nothing is there, too."""
        self.groups: Rows = np.arange(len(crops))
        """The number of each crop's group of source images, once copies are rejected."""
        self.group_names: Sequence[str] = ()
        """The id of an image of each group, by number."""
        self.moved: Rows = np.empty(0, np.int64)
        """The crops that have changed to the other side of the split, because their group was on both."""

    @property
    def rows(self) -> Rows:
        """The rows of the crops that are still selected."""
        return np.flatnonzero(self.selected)

    def reject(
        self,
        name: str,
        reason: RejectionReason,
        rows: Rows,
        details: Sequence[str],
        likes: Sequence[str] = (),
    ) -> None:
        """Reject crops that are still selected.

        Args:
            name: what the user knows the filter by: a rule, or a key of [selection].
            reason: of the rejections.
            rows: of the crops.
            details: why each of them is rejected.
            likes: what each of them is like, see `Rejected`.
        """
        self.selected[rows] = False
        self.rejected.append(Rejected(name, reason, rows, details, likes))

    def rows_rejected_by(self, name: str) -> Rows:
        """Return the rows of the crops that a filter has rejected, by its name."""
        found = [one.rows for one in self.rejected if one.filter == name]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def each_rejection(self) -> Iterator[Rejection]:
        """Yield a record of every rejected crop."""
        for one in self.rejected:
            for key, detail in zip(self.crops.texts("key", one.rows), one.details, strict=True):
                yield Rejection(key, "select", one.reason, detail)

    def count_moved(self) -> dict[str, int]:
        """Return how many selected crops have changed sides with their group, by the split that they are in."""
        moved = self.moved[self.selected[self.moved]]
        training = int(self.crops.training[moved].sum())
        counts = {"train": training, "validation": len(moved) - training}
        return {split: count for split, count in counts.items() if count}

    def each_move(self) -> Iterator[dict[str, str]]:
        """Yield the crops that have changed sides: key, source, split and an image of the group."""
        training = self.crops.training[self.moved].tolist()
        groups = self.groups[self.moved].tolist()
        texts = (self.crops.texts(name, self.moved) for name in ("key", "source"))
        for key, source, is_training, group in zip(*texts, training, groups, strict=True):
            split = "train" if is_training else "validation"
            yield {"key": key, "source": source, "split": split, "group": self.group_names[group]}

    def count_filters(self) -> tuple[FilterCounts, ...]:
        """Return how many crops of each dataset each filter rejects."""
        datasets = self.crops.datasets
        number = int(datasets.max(initial=-1)) + 1
        return tuple(
            FilterCounts(one.filter, one.reason, _count(datasets[one.rows], number)) for one in self.rejected
        )

    def count_datasets(self, names: Sequence[str]) -> tuple[SelectedDataset, ...]:
        """Return how many crops of each dataset there are, and how many are selected for each split.

        Args:
            names: of the datasets.
        """
        datasets, training = self.crops.datasets, self.crops.training
        counted = zip(
            names,
            _count(datasets, len(names)),
            _count(datasets[self.selected & training], len(names)),
            _count(datasets[self.selected & ~training], len(names)),
            strict=True,
        )
        return tuple(SelectedDataset(*one) for one in counted)


def _count(datasets: Rows, number: int) -> tuple[int, ...]:
    return tuple(np.bincount(datasets, minlength=number).tolist())
