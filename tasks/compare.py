"""Compare several upscalers on several benchmark datasets: CompareModels."""

from typing import Any

from data.catalog.published_figures import published
from tasks.config import evaluation
from tasks.evaluate import EvaluateModel, ProtocolTask, benchmark_labels, distinct_labels
from tasks.runtime.list_parameters import StrListParameter


class CompareModels(ProtocolTask):
    """Several upscalers and benchmarks → one table, with published rows beside the measured ones."""

    models: tuple[str, ...] = StrListParameter(
        min_items=1, description="what --model of EvaluateModel takes, separated by commas"
    )
    benchmarks: tuple[str, ...] = StrListParameter(
        default=(), description="names or paths, separated by commas; empty: those of [evaluation]"
    )
    stage = "comparisons"
    record = "comparison.json"
    format_version = 2

    @property
    def evaluations(self) -> list[EvaluateModel]:
        """Every model on every benchmark."""
        shared = {name: getattr(self, name) for name in ("protocol", "channel", "degradation", "scale")}
        benchmarks = self.benchmarks or evaluation().benchmarks
        return [
            EvaluateModel(model=one, benchmark=benchmark, **shared)
            for one in self.models
            for benchmark in benchmarks
        ]

    def requires(self) -> list[EvaluateModel]:
        """The evaluations."""
        return self.evaluations

    def name(self) -> str:
        """Return the models' names."""
        return "+".join(dict.fromkeys(one.model_name() for one in self.evaluations))[:60]

    def parameters(self) -> dict[str, Any]:
        """Return the labels of the table and the published rows; the spec names the evaluations anyway."""
        return {
            "labels": self._model_labels(),
            "benchmarks": list(benchmark_labels(self.evaluations).values()),
            "published": [vars(row) for row in published().rows],
        }

    def _model_labels(self) -> dict[str, str]:
        return distinct_labels({one.model: one.model_name() for one in self.evaluations})

    def make(self) -> None:
        """Put the evaluations and the published rows into one table and page."""
        from sr.evaluation.compare import Evaluation, write_comparison

        models, benchmarks = self._model_labels(), benchmark_labels(self.evaluations)
        evaluations = [
            Evaluation(models[one.model], benchmarks[one.benchmark], one.directory())
            for one in self.evaluations
        ]
        write_comparison(evaluations, published(), self.directory())

    def counts(self) -> str:
        """Return how many models and published rows are compared."""
        kinds = [row["kind"] for row in self.load_record()["rows"]]
        return f"{kinds.count('measured')} models, {kinds.count('published')} published rows"

    def summary(self) -> str:
        """Return all rows, and where the page is."""
        from sr.evaluation.compare import format_lines

        rows = format_lines(self.load_record())
        return "\n".join([*rows, f"Comparison: {self.directory() / 'comparison.html'}"])
