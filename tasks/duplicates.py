"""Find training crops that show the same as others: FindDuplicates."""

from typing import Any

from data.atomic_files import read_json
from pipeline.selection import part_duplicates
from pipeline.selection.part_matches import DescribedDataset
from tasks.crops import MakeCrops
from tasks.parts import DescribeCrops
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.selection_config import selection


class FindDuplicates(StoreTask):
    """Features of crops → which training crops show the same as others of other images."""

    stage = "duplicates"
    record = part_duplicates.RECORD

    @property
    def datasets(self) -> list[MakeCrops]:
        """All crop datasets of [selection], in their order."""
        return [MakeCrops(dataset=name) for name in selection().datasets]

    @property
    def described(self) -> list[DescribeCrops]:
        """The features of their crops."""
        return [DescribeCrops(dataset=one.dataset) for one in self.datasets]

    def requires(self) -> dict[str, list[Any]]:
        """The datasets and the features."""
        return {"datasets": self.datasets, "features": self.described}

    def name(self) -> str:
        """Return the datasets' names."""
        return "+".join(task.name() for task in self.datasets)[:60]

    def make(self) -> None:
        """Compare the crops."""
        datasets = [
            DescribedDataset(one.directory(), described.directory())
            for one, described in zip(self.datasets, self.described, strict=True)
        ]
        with stage(self, "pairs") as progress:
            part_duplicates.find_duplicates(datasets, self.directory(), progress=progress)

    def counts(self) -> str:
        """Return how many crops show the same as others."""
        totals = read_json(self.record_path())["totals"]
        return (
            f"{totals['crops']} training crops compared, {totals['pairs']} pairs looked at: {totals['duplicates']} "
            "crops show the same as an earlier one of another image"
        )

    def summary(self) -> str:
        """Return where the list is, and the counts."""
        return f"Duplicates: {self.directory() / part_duplicates.PAIRS}\n{self.counts()}."
