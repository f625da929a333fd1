"""From a model to figures and files to deploy: ExportOnnx, ExportOpenVINO, EvaluateModel, FullPipeline."""

from pathlib import Path
from typing import Any

import luigi

from data.digests import sha256_file
from data.errors import UserError
from data.files import read_json
from data.records import EvalProtocol
from sr.models.presets import find_preset
from tasks.base import StoreTask
from tasks.config import evaluation, export, listed, model, selection
from tasks.learn import (
    TRAINED,
    WEIGHTS_SUFFIXES,
    WHOLE_MACHINE,
    ExportCheckpoint,
    ModelTask,
    SelectSamples,
    TrainModel,
)
from tasks.prepare import IndexSource, MakeCrops
from tasks.progress import stage

PRECISIONS = ("fp32", "fp16", "int8")
FORMULAS = ("bicubic", "lanczos")
TRAINED_FORMS = {TRAINED: "torch", "trained-onnx": "onnx"} | {f"trained-{one}": one for one in PRECISIONS}
"""What `--model` of EvaluateModel calls the forms of the trained model, and what the report calls them."""
GRAPH_SUFFIXES = (".onnx", ".xml")


class ExportOnnx(ModelTask):
    """Model → ONNX, uint8 in and out."""

    stage = "exports"
    record = "export.json"

    def name(self) -> str:
        """Return the model's name with the form."""
        return f"{super().name()}-onnx"

    def requires(self) -> dict[str, StoreTask]:
        """The model."""
        return {"model": ExportCheckpoint(model=self.model)}

    def make(self) -> None:
        """Export."""
        from sr.export_onnx import export_onnx

        export_onnx(self.requires()["model"].directory(), self.directory())

    def summary(self) -> str:
        """Say where the file is."""
        return f"ONNX: {self.directory() / 'model.onnx'}"


class ExportOpenVINO(ModelTask):
    """ONNX → OpenVINO IR in fp32, fp16 or int8 (calibrated on training crops)."""

    precision = luigi.Parameter(default="", description="fp32, fp16 or int8; by default as [export] says")
    stage = "exports"
    record = "export.json"

    def form(self) -> str:
        """Return the precision.

        Raises:
            UserError: it is none of the three.
        """
        form = self.precision or export().precision
        if form not in PRECISIONS:
            raise UserError(f"one of {', '.join(PRECISIONS)}", repr(form), "--precision", "choose one")
        return form

    def name(self) -> str:
        """Return the model's name with the form."""
        return f"{super().name()}-{self.form()}"

    def requires(self) -> dict[str, StoreTask]:
        """The ONNX file; for int8 the crops to calibrate with."""
        onnx = {"onnx": ExportOnnx(model=self.model)}
        return onnx | {"selection": SelectSamples()} if self.form() == "int8" else onnx

    def settings(self) -> dict[str, Any]:
        """Return [export] as far as it bears on this precision."""
        if self.form() != "int8":
            return {}
        return {name: value for name, value in export().param_kwargs.items() if name != "precision"}

    def parameters(self) -> dict[str, Any]:
        """Return precision and settings."""
        return {"precision": self.form(), **self.settings()}

    def make(self) -> None:
        """Convert, and quantise where that is asked for."""
        from sr.export_openvino import Int8Settings, export_openvino

        calibration = Path(self.requires()["selection"].output().path) if self.form() == "int8" else None
        with stage(self, "steps") as progress:
            export_openvino(
                self.requires()["onnx"].directory(),
                self.directory(),
                self.form(),
                calibration=calibration,
                settings=Int8Settings(**self.settings()),
                progress=progress,
            )

    def summary(self) -> str:
        """Say where the files are."""
        return f"OpenVINO IR ({self.form()}): {self.directory() / 'model.xml'}"


class EvaluateModel(StoreTask):
    """Any upscaler and a benchmark → PSNR, SSIM and pictures, beside bicubic and Lanczos."""

    model = luigi.Parameter(
        default=TRAINED,
        description=f"{', '.join(TRAINED_FORMS)}, bicubic, lanczos, or a path to .pth .safetensors .onnx .xml",
    )
    benchmark = luigi.Parameter(
        description="a catalogue name, a folder of HR images, or a folder with HR/ and LR/"
    )
    channel = luigi.Parameter(default="", description="rgb or y; by default as [evaluation] says")
    scale = luigi.IntParameter(default=2, description="of bicubic and lanczos; a network has its own")
    stage = "evaluations"
    record = "report.json"
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return model and benchmark."""
        known = self.model in FORMULAS or self.model in TRAINED_FORMS
        shown = self.model.replace(TRAINED, model().preset) if known else Path(self.model).stem
        return f"{shown}-{IndexSource(dataset=self.benchmark).name()}"

    def requires(self) -> dict[str, StoreTask]:
        """The benchmark, and the model in the form that is asked for."""
        return {"benchmark": IndexSource(dataset=self.benchmark)} | self._model_task()

    def _model_task(self) -> dict[str, StoreTask]:
        if self.model not in TRAINED_FORMS:
            is_weights = Path(self.model).suffix in WEIGHTS_SUFFIXES
            return {"model": ExportCheckpoint(model=self.model)} if is_weights else {}
        form = TRAINED_FORMS[self.model]
        if form in PRECISIONS:
            return {"model": ExportOpenVINO(precision=form)}
        return {"model": ExportOnnx() if form == "onnx" else ExportCheckpoint()}

    def protocol(self) -> EvalProtocol:
        """Return how it is judged, but that a network's own scale is put in when it is loaded.

        Raises:
            UserError: a channel or a scale that there is none of.
        """
        channel = self.channel or evaluation().channel
        if channel not in ("rgb", "y"):
            raise UserError("rgb or y", repr(channel), "--channel", "choose one")
        if not 2 <= self.scale <= 8:
            raise UserError("a scale from 2 to 8", str(self.scale), "--scale", "choose another")
        return EvalProtocol(
            scale=self.scale, channel=channel, border_px=evaluation().border_px, degradation="pillow-bicubic"
        )

    def parameters(self) -> dict[str, Any]:
        """Return the protocol and what was named on the command line."""
        lows = IndexSource(dataset=self.benchmark).dataset_spec.low_path
        return {"model": self._identity(), "protocol": vars(self.protocol()), "supplied_lows": bool(lows)}

    def _identity(self) -> str | dict[str, str]:
        """Return a formula's name, or the hashes of a graph's files; of a task's model the spec has the hash."""
        if self._model_task():
            return "made"
        if self.model in FORMULAS:
            return self.model
        path = Path(self.model).expanduser()
        if path.suffix not in GRAPH_SUFFIXES or not path.is_file():
            known = ", ".join([*TRAINED_FORMS, *FORMULAS])
            expected = f"{known}, or a file ending in {', '.join([*WEIGHTS_SUFFIXES, *GRAPH_SUFFIXES])}"
            raise UserError(expected, repr(self.model), "--model", "check the path")
        files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
        return {one.suffix: sha256_file(one) for one in files if one.is_file()}

    def make(self) -> None:
        """Judge."""
        from sr.evaluation.evaluate import evaluate
        from sr.upscalers import load_upscaler

        made = self.requires().get("model")
        upscaler = load_upscaler(made.directory() if made else self.model, self.scale)
        asked = self.protocol()
        border_px = upscaler.scale if asked.border_px < 0 else asked.border_px
        protocol = EvalProtocol(upscaler.scale, asked.channel, border_px, asked.degradation)
        with stage(self, "pictures") as progress:
            evaluate(
                upscaler,
                self.requires()["benchmark"].benchmark(),
                protocol,
                self.directory(),
                progress=progress,
            )

    def counts(self) -> str:
        """Return the mean PSNR and the gain."""
        report = read_json(Path(self.output().path))
        ours, bicubic = report["mean"], report["baselines"]["bicubic"]
        gain_db = ours["psnr_db"] - bicubic["psnr_db"]
        return f"{ours['psnr_db']:.2f} dB, {gain_db:+.2f} over bicubic, SSIM {ours['ssim']:.4f}"

    def summary(self) -> str:
        """Say where the report is and the figures."""
        report = read_json(Path(self.output().path))
        how = report["protocol"]
        pictures = (
            f"{report['images']} pictures, x{how['scale']}, {how['channel']}, border {how['border_px']}"
        )
        return f"Evaluation: {self.directory()}\n{self.counts()} ({pictures})."


class FullPipeline(StoreTask):
    """Everything → report.html."""

    stage = "reports"
    record = "report.json"

    def name(self) -> str:
        """Return the preset."""
        find_preset(model().preset)
        return model().preset

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
        from sr.report import ReportInputs, write_report

        needed = self.requires()
        evaluations: dict[str, dict[str, Path]] = {}
        for one in needed["evaluations"]:
            benchmark = one.requires()["benchmark"].name()
            evaluations.setdefault(benchmark, {})[TRAINED_FORMS[one.model]] = one.directory()
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
        from sr.report import headline

        return f"{headline(read_json(Path(self.output().path)))}\nReport: {self.directory() / 'report.html'}"
