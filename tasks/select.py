"""Choose the crops to train on: SelectSamples."""

import json
import tempfile
from functools import cached_property
from typing import IO, Any

from data.errors import UserError
from pipeline import index
from pipeline.selection import select_samples as select
from pipeline.selection.leakage import Benchmark, hash_benchmarks
from pipeline.selection.rules import parse_rule
from pipeline.selection.score_files import hash_scores
from pipeline.selection.settings import NetworkScores, SelectionSettings
from tasks.crops import MakeCrops
from tasks.duplicates import FindDuplicates
from tasks.index import IndexSource
from tasks.parts import MatchParts, benchmarks_kept_clear, datasets_to_describe
from tasks.runtime.parameters import BoolParameter
from tasks.runtime.progress import stage
from tasks.runtime.store_task import INCOMPLETE_EXIT_CODE, StoreTask
from tasks.scores import ScoreCrops, scores
from tasks.selection_config import selection


class SelectSamples(StoreTask):
    """Crop datasets and benchmarks → which crops are for training and which for validation."""

    dry_run: bool = BoolParameter(
        significant=False,
        description="print how many crops of finished datasets each filter would reject, and write nothing",
    )
    stage = "selections"
    record = select.RECORD
    format_version = (
        4  # 2: the order of keys decides, not that of shards; copies; 3: decisions.parquet; 4: groups
    )

    @property
    def datasets(self) -> list[MakeCrops]:
        """The crop datasets of [selection]."""
        return [MakeCrops(dataset=name) for name in selection().datasets]

    @property
    def benchmarks(self) -> list[IndexSource]:
        """The benchmarks of [evaluation], whose images must not be trained on; none if leakage is not looked for."""
        return benchmarks_kept_clear()

    @property
    def parts(self) -> list[MatchParts]:
        """What finds crops that show parts of images; none if it is switched off, or there is nothing to compare."""
        return [MatchParts()] if datasets_to_describe() else []

    @property
    def duplicates(self) -> list[FindDuplicates]:
        """What finds training crops that show the same as others; none unless it is switched on."""
        return [FindDuplicates()] if selection().duplicate_parts else []

    @property
    def scores(self) -> list[ScoreCrops]:
        """What scores the crops of each dataset by each metric of [scores]."""
        return [
            ScoreCrops(dataset=one.dataset, metric=metric)
            for metric in scores().metrics
            for one in self.datasets
        ]

    def requires(self) -> dict[str, Any]:
        """The datasets, the benchmarks, parts and scores; nothing for a dry run, which must not make any."""
        if self.dry_run:
            return {}
        required = {"datasets": self.datasets, "benchmarks": self.benchmarks, "parts": self.parts}
        return required | {"scores": self.scores, "duplicates": self.duplicates}

    def name(self) -> str:
        """Return the datasets' names."""
        return "+".join(task.name() for task in self.datasets)[:60]

    def settings(self) -> SelectionSettings:
        """Return [selection] as the selection takes it.

        Raises:
            UserError: a rule can't be read, or there are not as many weights or caps as datasets.
        """
        section = selection()
        for noun, values in (
            ("weights", section.weights),
            ("caps in max_per_dataset", section.max_per_dataset),
        ):
            if values and len(values) != len(section.datasets):
                message = f"[selection] has {len(section.datasets)} datasets, but {len(values)} {noun}"
                raise UserError(message, "Give one for each dataset, in the same order")
        return SelectionSettings(
            near_duplicate_bits=section.near_duplicate_bits,
            copy_bits=section.copy_bits,
            leakage_bits=section.leakage_bits,
            rules=tuple(map(parse_rule, section.rules)),
            scores=section.scores,
            network_scores=self._network_scores(),
            group_bits=section.group_bits,
            max_per_source=section.max_per_source,
            max_per_group=section.max_per_group,
            max_per_dataset=section.max_per_dataset,
            weights=section.weights,
            max_train=section.max_train,
            max_validation=section.max_validation,
            seed=section.seed,
            parts=self.parts[0].directory() if self.parts else None,
            duplicates=self.duplicates[0].directory() if self.duplicates else None,
        )

    def _network_scores(self) -> tuple[NetworkScores, ...]:
        by_metric: dict[str, list[ScoreCrops]] = {}
        for one in self.scores:
            by_metric.setdefault(one.choice.name, []).append(one)
        return tuple(
            NetworkScores(metric, tuple(one.directory() for one in of_metric))
            for metric, of_metric in by_metric.items()
        )

    def parameters(self) -> dict[str, object]:
        """Return the settings; files of scores by their content. The other results are what it is made from."""
        settings = dict(vars(self.settings()))
        del settings["network_scores"], settings["duplicates"]
        rules = [str(rule) for rule in settings["rules"]]
        of_files = [hash_scores(path) for path in settings["scores"]]
        return settings | {"rules": rules, "scores": of_files, "parts": bool(settings["parts"])}

    def open_benchmarks(self) -> list[Benchmark]:
        """Open the benchmarks, and list their images."""
        return [
            Benchmark(one.name(), one.source(), index.read_entries(one.directory()))
            for one in self.benchmarks
        ]

    def make(self) -> None:
        """Reject near-duplicates, leaked and poor crops, and write the lists."""
        if self.dry_run:
            self._preview()
            return
        with stage(self, "shards") as progress:
            select.select_samples(
                [one.directory() for one in self.datasets],
                hash_benchmarks(self.open_benchmarks()),
                self.settings(),
                self.directory(),
                self.spec_hash,
                progress,
            )

    def write_spec(self) -> None:
        """Write spec.json, unless nothing is to be written."""
        if not self.dry_run:
            super().write_spec()

    def is_done(self) -> bool:
        """Return whether the selection exists, or whether this run's dry run has its table."""
        return bool(self._read_preview()) if self.dry_run else super().is_done()

    @cached_property
    def _preview_file(self) -> IO[str]:
        """A file without a name. Luigi asks whether the task is done, and so for this, before it forks."""
        return tempfile.TemporaryFile("w+")

    def _preview(self) -> None:
        """Make the table of a dry run.

        Raises:
            UserError: a dataset or a benchmark is not finished.
        """
        for one in (*self.datasets, *self.benchmarks):
            if not one.complete():
                message = (
                    f"--dry-run selects from what is finished, but {one.task_family} of {one.dataset} is not"
                )
                raise UserError(message, f"Run: sr-factory {one.task_family} --dataset {one.dataset}")
        for scoring in self.scores:
            if not scoring.complete():
                name = scoring.choice.name
                message = (
                    f"--dry-run selects from what is finished, but {name} has not scored {scoring.dataset}"
                )
                command = f"sr-factory ScoreCrops --dataset {scoring.dataset} --metric {scoring.metric}"
                raise UserError(message, f"Run: {command}")
        if self.parts and not self.parts[0].complete():
            message = "--dry-run selects from what is finished, but MatchParts, which compares parts, is not"
            raise UserError(message, "Run: sr-factory MatchParts, or add --selection-parts off")
        if self.duplicates and not self.duplicates[0].complete():
            message = "--dry-run selects from what is finished, but FindDuplicates is not"
            raise UserError(
                message, "Run: sr-factory FindDuplicates, or leave out --selection-duplicate-parts"
            )
        lines, empty = select.preview_selection(
            [one.directory() for one in self.datasets],
            hash_benchmarks(self.open_benchmarks()),
            self.settings(),
        )
        json.dump({"lines": lines, "empty": empty}, self._preview_file)
        self._preview_file.flush()

    def _read_preview(self) -> dict[str, Any]:
        self._preview_file.seek(0)
        text = self._preview_file.read()
        return dict(json.loads(text)) if text else {}

    def exit_code(self) -> int:
        """Return the exit code: not 0 for a dry run that leaves a split empty, which SelectSamples would refuse."""
        return INCOMPLETE_EXIT_CODE if self.dry_run and self._read_preview()["empty"] else 0

    def counts(self) -> str:
        """Return the number of crops in each split."""
        totals = select.read_selection(self.directory()).totals
        return f"{totals['train']} for training, {totals['validation']} for validation, {totals['rejected']} rejected"

    def summary(self) -> str:
        """Return where the selection is, or the table of a dry run."""
        if self.dry_run:
            preview = self._read_preview()
            refused = [
                f"No {split} crops are left: SelectSamples would refuse this." for split in preview["empty"]
            ]
            return "\n".join([*preview["lines"], *refused, "Nothing was written."])
        moved = select.describe_moved(select.read_selection(self.directory()).moved)
        lines = [
            f"Selection: {self.record_path()}",
            f"{self.counts()}.",
            *(f"{line} (moved.jsonl)." for line in moved),
        ]
        return "\n".join(lines)
