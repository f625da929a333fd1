"""Run everything, from the datasets to the report: FullPipeline."""

from pathlib import Path

from data.errors import UserError
from sr.export.settings import PRECISIONS
from tasks.config import evaluation
from tasks.crops import MakeCrops
from tasks.evaluate import TRAINED_VARIANTS, EvaluateModel, benchmark_labels
from tasks.export import ExportCheckpoint, ExportOnnx, ExportOpenVINO
from tasks.review_selection import ReviewSelection
from tasks.runtime.store_task import StoreTask
from tasks.select import SelectSamples
from tasks.selection_config import selection
from tasks.train import TrainModel
from tasks.training_config import describe_model


class FullPipeline(StoreTask):
    """Everything → report.html."""

    extra = "export"
    stage = "reports"
    record = "report.json"
    format_version = 2

    @property
    def datasets(self) -> list[MakeCrops]:
        """The crop datasets of [selection].

        Raises:
            UserError: the selection is at a URL, without the datasets that the report shows.
        """
        if selection().url:
            message = "FullPipeline reports on datasets of this store, but [selection] url names a published selection"
            raise UserError(message, "Leave it out, or run TrainModel, ExportOpenVINO and EvaluateModel")
        return SelectSamples().datasets

    @property
    def exports(self) -> list[ExportOnnx | ExportOpenVINO]:
        """The trained model in every format and precision."""
        return [ExportOnnx(), *(ExportOpenVINO(precision=precision) for precision in PRECISIONS)]

    @property
    def evaluations(self) -> list[EvaluateModel]:
        """Every variant of the trained model on every benchmark of [evaluation]."""
        return [
            EvaluateModel(model=variant, benchmark=benchmark)
            for benchmark in evaluation().benchmarks
            for variant in TRAINED_VARIANTS
        ]

    def requires(self) -> dict[str, list[StoreTask]]:
        """Everything that the report shows."""
        return {
            "datasets": [*self.datasets],
            "selection": [SelectSamples()],
            "review": [ReviewSelection()],
            "run": [TrainModel()],
            "model": [ExportCheckpoint()],
            "exports": [*self.exports],
            "evaluations": [*self.evaluations],
        }

    def name(self) -> str:
        """Return the preset."""
        return describe_model().preset

    def make(self) -> None:
        """Write the report."""
        from sr.report.figures import ReportInputs
        from sr.report.report import write_report

        labels = benchmark_labels(self.evaluations)
        evaluations: dict[str, dict[str, Path]] = {}
        for one in self.evaluations:
            of_benchmark = evaluations.setdefault(labels[one.benchmark], {})
            of_benchmark[TRAINED_VARIANTS[one.model]] = one.directory()
        inputs = ReportInputs(
            datasets=tuple(one.directory() for one in self.datasets),
            selection=SelectSamples().directory(),
            run=TrainModel().directory(),
            model=ExportCheckpoint().directory(),
            exports=tuple(one.directory() for one in self.exports),
            evaluations=evaluations,
        )
        write_report(inputs, self.directory())

    def summary(self) -> str:
        """Return the numbers that matter most, and where the report is."""
        from sr.report.report import format_headline

        numbers = format_headline(self.load_record())
        page = ReviewSelection().page_path()
        return f"{numbers}\nSelection: {page}\nReport: {self.directory() / 'report.html'}"
