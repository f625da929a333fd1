"""The whole road at once: FullPipeline."""

from pathlib import Path

from data.atomic_files import read_json
from tasks.config import evaluation, listed, selection
from tasks.crops import MakeCrops
from tasks.evaluate import TRAINED_FORMS, EvaluateModel, benchmark_labels
from tasks.export import PRECISIONS, ExportOnnx, ExportOpenVINO
from tasks.runtime.store_task import StoreTask
from tasks.train import ExportCheckpoint, SelectSamples, TrainModel, find_preset_name


class FullPipeline(StoreTask):
    """Everything → report.html."""

    extra = "export"
    stage = "reports"
    record = "report.json"

    def name(self) -> str:
        """Return the preset."""
        return find_preset_name()

    def requires(self) -> dict[str, list[StoreTask]]:
        """Everything that the report shows."""
        benchmarks = listed(evaluation().benchmarks, "[evaluation] benchmarks")
        return {
            "datasets": [
                MakeCrops(dataset=name) for name in listed(selection().datasets, "[selection] datasets")
            ],
            "selection": [SelectSamples()],
            "run": [TrainModel()],
            "model": [ExportCheckpoint()],
            "exports": [ExportOnnx(), *(ExportOpenVINO(precision=one) for one in PRECISIONS)],
            "evaluations": [
                EvaluateModel(model=form, benchmark=one) for one in benchmarks for form in TRAINED_FORMS
            ],
        }

    def make(self) -> None:
        """Write the report."""
        from sr.report.figures import ReportInputs
        from sr.report.report import write_report

        needed = self.requires()
        evaluations: dict[str, dict[str, Path]] = {}
        labels = benchmark_labels(needed["evaluations"])
        for one in needed["evaluations"]:
            evaluations.setdefault(labels[one.benchmark], {})[TRAINED_FORMS[one.model]] = one.directory()
        inputs = ReportInputs(
            datasets=tuple(one.directory() for one in needed["datasets"]),
            selection=needed["selection"][0].directory(),
            run=needed["run"][0].directory(),
            model=needed["model"][0].directory(),
            exports=tuple(one.directory() for one in needed["exports"]),
            evaluations=evaluations,
        )
        write_report(inputs, self.directory())

    def summary(self) -> str:
        """Say where the report is, and the five numbers that matter."""
        from sr.report.report import headline

        return f"{headline(read_json(Path(self.output().path)))}\nReport: {self.directory() / 'report.html'}"
