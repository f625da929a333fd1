"""Choose the crops to train on: SelectSamples."""

from pipeline import index
from pipeline.selection import select_samples as select
from pipeline.selection.leakage import hash_benchmarks
from tasks.config import evaluation, selection
from tasks.crops import MakeCrops
from tasks.index import IndexSource
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask


class SelectSamples(StoreTask):
    """Crop datasets and benchmarks → which crops are for training and which for validation."""

    stage = "selections"
    record = select.RECORD
    format_version = 2  # 2: near duplicates are kept in the order of their keys, not of the shards

    @property
    def datasets(self) -> list[MakeCrops]:
        """The crop datasets of [selection]."""
        return [MakeCrops(dataset=name) for name in selection().datasets]

    @property
    def benchmarks(self) -> list[IndexSource]:
        """The benchmarks of [evaluation], whose images must not be trained on; none if leakage is not looked for."""
        if selection().leakage_bits < 0:
            return []
        return [IndexSource(dataset=name) for name in evaluation().benchmarks]

    def requires(self) -> dict[str, list[MakeCrops] | list[IndexSource]]:
        """The datasets and the benchmarks."""
        return {"datasets": self.datasets, "benchmarks": self.benchmarks}

    def name(self) -> str:
        """Return the datasets' names."""
        return "+".join(task.name() for task in self.datasets)[:60]

    def settings(self) -> select.SelectionSettings:
        """Return [selection] as the selection takes it."""
        section = selection()
        return select.SelectionSettings(
            near_duplicate_bits=section.near_duplicate_bits,
            leakage_bits=section.leakage_bits,
            min_sharpness=section.min_sharpness,
            max_train=section.max_train,
            max_validation=section.max_validation,
            seed=section.seed,
        )

    def parameters(self) -> dict[str, object]:
        """Return the settings."""
        return dict(vars(self.settings()))

    def make(self) -> None:
        """Reject near-duplicates, leaked and poor crops, and write the lists."""
        benchmarks = [
            (one.name(), one.source(), index.read_entries(one.directory())) for one in self.benchmarks
        ]
        with stage(self, "shards") as progress:
            select.select_samples(
                [one.directory() for one in self.datasets],
                hash_benchmarks(benchmarks),
                self.settings(),
                self.directory(),
                self.spec_hash,
                progress,
            )

    def counts(self) -> str:
        """Return the number of crops in each split."""
        totals = select.read_selection(self.directory()).totals
        return f"{totals['train']} for training, {totals['validation']} for validation, {totals['rejected']} rejected"

    def summary(self) -> str:
        """Return where the selection is."""
        return f"Selection: {self.record_path()}\n{self.counts()}."
