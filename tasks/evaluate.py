"""From models and benchmarks to figures: EvaluateModel, CompareModels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json
from data.benchmark_dataset import lr_images_fingerprint
from data.catalog.published_figures import published
from data.records import EvalProtocol
from sr.evaluation.protocols import PROTOCOLS, build
from sr.runtime.upscalers import FORMULAS
from tasks.config import evaluation, listed, model
from tasks.download import Download, IndexSource
from tasks.export import PRECISIONS, ExportOnnx, ExportOpenVINO
from tasks.model_choice import graph_identity
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.train import LPIPS_WEIGHTS, TRAINED, WEIGHTS_SUFFIXES, WHOLE_MACHINE, ExportCheckpoint

TRAINED_FORMS = {TRAINED: "torch", "trained-onnx": "onnx"} | {f"trained-{one}": one for one in PRECISIONS}
"""What `--model` of EvaluateModel calls the forms of the trained model, and what the report calls them."""


class ProtocolTask(StoreTask):
    """A task that judges by a protocol: the parameters that say which."""

    extra = "export"
    protocol = luigi.Parameter(
        default="", description=f"{', '.join(PROTOCOLS)}; by default as [evaluation] says"
    )
    channel = luigi.Parameter(default="", description="rgb or y; by default as [evaluation] says")
    degradation = luigi.Parameter(
        default="", description="how LR images are made; by default as [evaluation] says"
    )
    scale = luigi.IntParameter(default=2, description="of bicubic and lanczos; a network has its own")
    resources = WHOLE_MACHINE


class EvaluateModel(ProtocolTask):
    """Any upscaler and a benchmark → PSNR, SSIM and images, beside bicubic and Lanczos."""

    model = luigi.Parameter(
        default=TRAINED,
        description=f"{', '.join(TRAINED_FORMS)}, bicubic, lanczos, or a path to .pth .safetensors .onnx .xml",
    )
    benchmark = luigi.Parameter(
        description="a catalog name, a folder of HR images, or a folder with HR/ and LR/"
    )
    stage = "evaluations"
    record = "report.json"
    format_version = 2

    def name(self) -> str:
        """Return model and benchmark."""
        return f"{self.model_name()}-{IndexSource(dataset=self.benchmark).name()}"

    def model_name(self) -> str:
        """Return the preset and the form, a formula's name, or the file's."""
        known = self.model in FORMULAS or self.model in TRAINED_FORMS
        return self.model.replace(TRAINED, model().preset) if known else Path(self.model).stem

    def requires(self) -> dict[str, StoreTask]:
        """The benchmark, the model in the form that is asked for, and for LPIPS its weights."""
        lpips = {"lpips": Download(dataset=LPIPS_WEIGHTS)} if evaluation().lpips else {}
        return {"benchmark": IndexSource(dataset=self.benchmark)} | self._model_task() | lpips

    def _model_task(self) -> dict[str, StoreTask]:
        if self.model not in TRAINED_FORMS:
            is_weights = Path(self.model).suffix in WEIGHTS_SUFFIXES
            return {"model": ExportCheckpoint(model=self.model)} if is_weights else {}
        form = TRAINED_FORMS[self.model]
        if form in PRECISIONS:
            return {"model": ExportOpenVINO(precision=form)}
        return {"model": ExportOnnx() if form == "onnx" else ExportCheckpoint()}

    def terms(self, scale: int) -> EvalProtocol:
        """Return how a model of this scale is judged.

        Raises:
            UserError: a parameter is none that there is, or excludes another.
        """
        section = evaluation()
        return build(
            self.protocol or section.protocol,
            scale,
            IndexSource(dataset=self.benchmark).name(),
            channel=self.channel or section.channel,
            degradation=self.degradation or section.degradation,
            border_px=section.border_px,
            rounding=section.rounding,
            modcrop=section.modcrop,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the protocol, what was named on the command line, and the LR images where they are used."""
        terms = self.terms(self.scale)
        dataset = IndexSource(dataset=self.benchmark).dataset_spec
        return {
            "model": self._identity(),
            "protocol": vars(terms),
            "supplied_lows": lr_images_fingerprint(dataset) if terms.use_supplied else None,
            "lpips": evaluation().lpips,
            "tile_px": None if self.model in FORMULAS else evaluation().tile_px,
        }

    def _identity(self) -> str | dict[str, str]:
        """Return a formula's name, or the hashes of a graph's files; of a task's model the spec has the hash."""
        if self._model_task():
            return "made"
        if self.model in FORMULAS:
            return self.model
        return graph_identity(self.model, [*TRAINED_FORMS, *FORMULAS])

    def make(self) -> None:
        """Judge."""
        from sr.evaluation.evaluate import evaluate
        from sr.evaluation.image_pair import formula
        from sr.evaluation.lpips import Lpips
        from sr.runtime.upscalers import load_upscaler

        needed = self.requires()
        images = needed["benchmark"].benchmark()
        if self.model in FORMULAS:
            upscaler = formula(self.model, self.terms(self.scale))
        else:
            source = needed["model"].directory() if "model" in needed else Path(self.model).expanduser()
            upscaler = load_upscaler(source, tile_px=evaluation().tile_px)
        with stage(self, "images") as progress:
            evaluate(
                upscaler,
                images,
                self.terms(upscaler.scale),
                self.directory(),
                progress=progress,
                lpips=Lpips(needed["lpips"].directory()) if "lpips" in needed else None,
                parameters=self._trained_values(),
            )

    def _trained_values(self) -> int | None:
        """Return how many parameters the network has that an export was made of; None for a file from elsewhere."""
        made = self.requires().get("model")
        while made is not None and not isinstance(made, ExportCheckpoint):
            made = made.requires().get("model") or made.requires().get("onnx")
        return made and read_json(Path(made.output().path))["parameters"]

    def counts(self) -> str:
        """Return the mean PSNR and the gain."""
        report = read_json(Path(self.output().path))
        ours, bicubic = report["mean"], report["baselines"]["bicubic"]
        gain_db = ours["psnr_db"] - bicubic["psnr_db"]
        lpips = f", LPIPS {ours['lpips']:.4f}" if "lpips" in ours else ""
        return f"{ours['psnr_db']:.2f} dB, {gain_db:+.2f} over bicubic, SSIM {ours['ssim']:.4f}{lpips}"

    def summary(self) -> str:
        """Say where the report is, the figures, and the protocol."""
        report = read_json(Path(self.output().path))
        how = report["protocol"]
        images = f"{report['images']} images, x{how['scale']}, {how['channel']}, border {how['border_px']}"
        return (
            f"Evaluation: {self.directory()}\nPage: {self.directory() / 'report.html'}\n"
            f"{self.counts()} ({images}; protocol {how['name']})."
        )


def benchmark_labels(evaluations: Sequence[EvaluateModel]) -> dict[str, str]:
    """Return what a report calls each benchmark, by what was given: its name, or all that was given where two share
    one.
    """
    return _told_apart({one.benchmark: one.requires()["benchmark"].name() for one in evaluations})


def _told_apart(short: dict[str, str]) -> dict[str, str]:
    names = list(short.values())
    return {given: given if names.count(name) > 1 else name for given, name in short.items()}


class CompareModels(ProtocolTask):
    """Several upscalers and benchmarks → one table, with published rows beside the measured ones."""

    models = luigi.Parameter(description="what --model of EvaluateModel takes, with commas between them")
    benchmarks = luigi.Parameter(
        default="", description="names or paths, with commas; by default as [evaluation] says"
    )
    stage = "comparisons"
    record = "comparison.json"

    def requires(self) -> list[StoreTask]:
        """Every model on every benchmark."""
        benchmarks = listed(self.benchmarks or evaluation().benchmarks, "--benchmarks")
        shared = {name: getattr(self, name) for name, _ in ProtocolTask.get_params()}
        return [
            EvaluateModel(model=one, benchmark=benchmark, **shared)
            for one in listed(self.models, "--models")
            for benchmark in benchmarks
        ]

    def name(self) -> str:
        """Return the models' names."""
        return "+".join(dict.fromkeys(one.model_name() for one in self.requires()))[:60]

    def parameters(self) -> dict[str, Any]:
        """Return what is published, and the names in the table; the spec names the evaluations anyway."""
        known = published()
        return {
            "labels": self._labels(),
            "benchmarks": list(benchmark_labels(self.requires()).values()),
            "published": [vars(row) for row in known.rows],
        }

    def _labels(self) -> dict[str, str]:
        """Return what the table calls each model: its short name, or all that was given where two share one."""
        return _told_apart({one.model: one.model_name() for one in self.requires()})

    def make(self) -> None:
        """Compare."""
        from sr.evaluation.compare import Evaluation, write_comparison

        models, benchmarks = self._labels(), benchmark_labels(self.requires())
        evaluations = [
            Evaluation(models[one.model], benchmarks[one.benchmark], one.directory())
            for one in self.requires()
        ]
        write_comparison(evaluations, published(), self.directory())

    def counts(self) -> str:
        """Return how much is compared."""
        rows = read_json(Path(self.output().path))["rows"]
        kinds = [row["kind"] for row in rows]
        return f"{kinds.count('measured')} models, {kinds.count('published')} published rows"

    def summary(self) -> str:
        """Say where the page is, and all rows."""
        from sr.evaluation.compare import lines

        told = lines(read_json(Path(self.output().path)))
        return "\n".join([*told, f"Comparison: {self.directory() / 'comparison.html'}"])
