"""Choose the crops to train on: SelectSamples."""

from data.errors import UserError
from pipeline import index
from pipeline.selection import select_samples as select
from pipeline.selection.leakage import hash_benchmarks
from pipeline.selection.rules import parse_rule
from pipeline.selection.scores import hash_scores
from tasks.config import evaluation
from tasks.crops import MakeCrops
from tasks.index import IndexSource
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.selection_config import selection


class SelectSamples(StoreTask):
    """Crop datasets and benchmarks → which crops are for training and which for validation."""

    stage = "selections"
    record = select.RECORD
    format_version = 2  # 2: the order of keys decides, not that of shards; copies

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
        """Return [selection] as the selection takes it.

        Raises:
            UserError: a rule can't be read, or there are not as many weights as datasets.
        """
        section = selection()
        if section.weights and len(section.weights) != len(section.datasets):
            message = f"[selection] has {len(section.datasets)} datasets, but {len(section.weights)} weights"
            raise UserError(message, "Give each dataset a weight, in the same order")
        return select.SelectionSettings(
            near_duplicate_bits=section.near_duplicate_bits,
            copy_bits=section.copy_bits,
            leakage_bits=section.leakage_bits,
            rules=tuple(map(parse_rule, section.rules)),
            scores=section.scores,
            max_per_source=section.max_per_source,
            weights=section.weights,
            max_train=section.max_train,
            max_validation=section.max_validation,
            seed=section.seed,
        )

    def parameters(self) -> dict[str, object]:
        """Return the settings; files of scores by their content."""
        settings = self.settings()
        rules = [str(rule) for rule in settings.rules]
        return vars(settings) | {"rules": rules, "scores": [hash_scores(path) for path in settings.scores]}

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
