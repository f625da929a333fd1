"""Evaluate upscalers on a benchmark dataset: EvaluateBaselines and EvaluateModel."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from data.benchmark_dataset import fingerprint_lr_images
from data.user_paths import expand_home
from sr.evaluation.protocols import PROTOCOLS, EvaluationProtocol, build_protocol
from sr.export.settings import PRECISIONS
from sr.models.box import BOX_MODELS
from sr.runtime.filters import INTERPOLATION_FILTERS
from tasks.config import MAX_SCALE, MIN_SCALE, evaluation
from tasks.download import LPIPS_WEIGHTS, Download
from tasks.export import ExportCheckpoint, ExportOnnx, ExportOpenVINO
from tasks.index import IndexSource
from tasks.model_choice import TRAINED, hash_graph, is_weights
from tasks.runtime.parameters import ChoiceParameter, IntParameter
from tasks.runtime.progress import stage
from tasks.runtime.store_task import WHOLE_MACHINE, StoreTask
from tasks.training_config import model

if TYPE_CHECKING:
    from sr.evaluation.lpips import Lpips
    from sr.runtime.upscaler import Upscaler

TRAINED_VARIANTS = {TRAINED: "torch", "trained-onnx": "onnx"} | {f"trained-{one}": one for one in PRECISIONS}
"""The variants of the trained model: what `--model` calls each, and what the report calls it."""


class ProtocolTask(StoreTask):
    """A task that evaluates under a protocol, and the parameters that choose one."""

    extra = "export"
    protocol: str = ChoiceParameter(
        default="",
        choices=["", *PROTOCOLS],
        description="evaluation protocol, see docs/explanation/evaluation.md; empty: that of [evaluation]",
    )
    channel: str = ChoiceParameter(
        default="",
        choices=["", "rgb", "y"],
        description="channel that is compared; empty: that of [evaluation]",
    )
    degradation: str = luigi.Parameter(
        default="",
        description="how LR images are made, see docs/explanation/evaluation.md; empty: that of [evaluation]",
    )
    scale: int = IntParameter(
        default=2,
        at_least=MIN_SCALE,
        at_most=MAX_SCALE,
        description="scale of bicubic and lanczos; a network has its own",
    )
    resources = WHOLE_MACHINE


class BenchmarkTask(ProtocolTask):
    """A task that evaluates on one benchmark dataset."""

    benchmark: str = luigi.Parameter(
        description="a catalog name, a folder of HR images, or a folder with HR/ and LR/"
    )

    @property
    def benchmark_index(self) -> IndexSource:
        """The index of the benchmark's HR images."""
        return IndexSource(dataset=self.benchmark)

    @property
    def lpips_weights(self) -> Download | None:
        """The download of the weights of LPIPS; None where LPIPS is not measured."""
        return Download(dataset=LPIPS_WEIGHTS) if evaluation().lpips else None

    def requires(self) -> dict[str, StoreTask]:
        """The benchmark, and the weights of LPIPS where it is measured."""
        needed: dict[str, StoreTask | None] = {"benchmark": self.benchmark_index, "lpips": self.lpips_weights}
        return {role: task for role, task in needed.items() if task}

    def protocol_at(self, scale: int) -> EvaluationProtocol:
        """Return the protocol for a model of this scale.

        Raises:
            UserError: a parameter is invalid, or two exclude each other.
        """
        section = evaluation()
        return build_protocol(
            self.protocol or section.protocol,
            scale,
            self.benchmark_index.name(),
            channel=self.channel or section.channel,
            degradation=self.degradation or section.degradation,
            border_px=section.border_px,
            rounding=section.rounding,
            modcrop=section.modcrop,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the protocol, and the fingerprint of the benchmark's LR images where they are used."""
        protocol = self.protocol_at(self.scale)
        dataset = self.benchmark_index.dataset_spec
        return {
            "protocol": vars(protocol),
            "supplied_lr_images": fingerprint_lr_images(dataset) if protocol.use_provided_lr else None,
            "lpips": evaluation().lpips,
        }

    def load_lpips(self) -> "Lpips | None":
        """Load LPIPS and its weights; None where it is not measured, as it imports torch."""
        if not self.lpips_weights:
            return None
        from sr.evaluation.lpips import Lpips

        return Lpips(self.lpips_weights.directory())


class EvaluateBaselines(BenchmarkTask):
    """A benchmark and a protocol → the figures of bicubic and Lanczos, for every model evaluated on it."""

    stage = "baselines"
    record = "baselines.json"

    def name(self) -> str:
        """Return the benchmark's name and the scale."""
        return f"{self.benchmark_index.name()}-x{self.scale}"

    def make(self) -> None:
        """Upscale each LR image with both filters and compare it with the HR image."""
        from sr.evaluation.baselines import evaluate_baselines

        with stage(self, "images") as progress:
            evaluate_baselines(
                self.benchmark_index.benchmark(),
                self.protocol_at(self.scale),
                self.directory(),
                progress,
                lpips=self.load_lpips(),
            )

    def counts(self) -> str:
        """Return the number of images."""
        return f"{len(self.load_record()['images'])} images"

    def summary(self) -> str:
        """Return where the figures are, and under which protocol they were measured."""
        return f"Baselines: {self.record_path()}\n{self.counts()}; protocol {self.load_record()['protocol']}."


class EvaluateModel(BenchmarkTask):
    """Any upscaler and a benchmark → PSNR, SSIM and images, beside bicubic and Lanczos."""

    model: str = luigi.Parameter(
        default=TRAINED,
        description=f"{', '.join([*TRAINED_VARIANTS, *BOX_MODELS])}, bicubic, lanczos, or a path to .pth .safetensors "
        ".onnx .xml",
    )
    stage = "evaluations"
    record = "report.json"
    format_version = 3

    @property
    def model_export(self) -> ExportCheckpoint | ExportOnnx | ExportOpenVINO | None:
        """The task that makes the model; None for a filter or a graph file."""
        if self.model not in TRAINED_VARIANTS:
            return ExportCheckpoint(model=self.model) if is_weights(self.model) else None
        variant = TRAINED_VARIANTS[self.model]
        if variant in PRECISIONS:
            return ExportOpenVINO(precision=variant)
        return ExportOnnx() if variant == "onnx" else ExportCheckpoint()

    @property
    def model_checkpoint(self) -> ExportCheckpoint | None:
        """The task that gives the network its weights; None for a filter or a graph file."""
        made = self.model_export
        if isinstance(made, ExportOpenVINO):
            made = made.onnx
        return made.checkpoint if isinstance(made, ExportOnnx) else made

    def requires(self) -> dict[str, StoreTask]:
        """The benchmark, the model, and the weights of LPIPS where it is measured."""
        return super().requires() | ({"model": self.model_export} if self.model_export else {})

    def dynamic_requires(self) -> list[EvaluateBaselines]:
        """Return the baselines at the model's scale, once that is known without loading a graph file."""
        if self.model in INTERPOLATION_FILTERS:
            return [self.baselines_at(self.scale)]
        checkpoint = self.model_checkpoint
        if checkpoint is None or not checkpoint.is_done():
            return []
        return [self.baselines_at(checkpoint.scale())]

    def baselines_at(self, scale: int) -> EvaluateBaselines:
        """Return the task that measures bicubic and Lanczos at a scale on the same terms."""
        terms = {name: getattr(self, name) for name in ("benchmark", "protocol", "channel", "degradation")}
        return EvaluateBaselines(scale=scale, **terms)

    def name(self) -> str:
        """Return the names of the model and the benchmark."""
        return f"{self.model_name()}-{self.benchmark_index.name()}"

    def model_name(self) -> str:
        """Return the preset and the variant, the filter's name, or the file's."""
        is_known = self.model in INTERPOLATION_FILTERS or self.model in TRAINED_VARIANTS
        return self.model.replace(TRAINED, model().preset) if is_known else Path(self.model).stem

    def parameters(self) -> dict[str, Any]:
        """Return the model, how it is run, and the terms of the evaluation."""
        is_filter, device = self.model in INTERPOLATION_FILTERS, evaluation().device
        return {
            "model": self._identity(),
            "tile_px": None if is_filter else evaluation().tile_px,
            **({"device": device.upper()} if device and not is_filter else {}),
            **super().parameters(),
        }

    def _identity(self) -> str | dict[str, str]:
        """Return a filter's name, or the hashes of a graph's files; the spec has the hash of a task's model."""
        if self.model_export:
            return "made"
        if self.model in INTERPOLATION_FILTERS:
            return self.model
        return hash_graph(self.model, [*TRAINED_VARIANTS, *INTERPOLATION_FILTERS])

    def make(self) -> Iterator[Sequence[luigi.Task]]:
        """Wait for the baselines; then upscale each LR image, compare it with the HR image, and write the report."""
        if baselines := self.dynamic_requires():
            yield baselines  # before the model is loaded: Luigi begins anew when they are there
        upscaler = self._load_upscaler()
        at_scale = self.baselines_at(upscaler.scale)
        yield [at_scale]
        self._evaluate(upscaler, at_scale)

    def _load_upscaler(self) -> "Upscaler":
        from sr.evaluation.image_pair import build_baseline
        from sr.runtime.load import load_upscaler

        if self.model in INTERPOLATION_FILTERS:
            return build_baseline(self.model, self.protocol_at(self.scale))
        source = self.model_export.directory() if self.model_export else expand_home(self.model)
        return load_upscaler(source, tile_px=evaluation().tile_px, device=evaluation().device)

    def _evaluate(self, upscaler: "Upscaler", baselines: EvaluateBaselines) -> None:
        from sr.evaluation.baselines import read_baselines
        from sr.evaluation.evaluate import evaluate

        with stage(self, "images") as progress:
            evaluate(
                upscaler,
                self.benchmark_index.benchmark(),
                self.protocol_at(upscaler.scale),
                self.directory(),
                progress=progress,
                baselines=read_baselines(baselines.directory()),
                lpips=self.load_lpips(),
                parameters=self.model_checkpoint.parameter_count() if self.model_checkpoint else None,
            )

    def counts(self) -> str:
        """Return the mean PSNR, the gain over bicubic, the mean SSIM and, where measured, LPIPS."""
        report = self.load_record()
        mean, bicubic = report["mean"], report["baselines"]["bicubic"]
        gain_db = mean["psnr_db"] - bicubic["psnr_db"]
        lpips = f", LPIPS {mean['lpips']:.4f}" if "lpips" in mean else ""
        return f"{mean['psnr_db']:.2f} dB, {gain_db:+.2f} over bicubic, SSIM {mean['ssim']:.4f}{lpips}"

    def summary(self) -> str:
        """Return where the report is, the figures, and the protocol."""
        report = self.load_record()
        protocol = report["protocol"]
        terms = f"x{protocol['scale']}, {protocol['channel']}, border {protocol['border_px']}"
        return (
            f"Evaluation: {self.directory()}\nPage: {self.directory() / 'report.html'}\n"
            f"{self.counts()} ({report['images']} images, {terms}; protocol {protocol['name']})."
        )


def benchmark_labels(evaluations: Sequence[EvaluateModel]) -> dict[str, str]:
    """Return a distinct label for each benchmark: its name, or what was given where two share a name."""
    return distinct_labels({one.benchmark: one.benchmark_index.name() for one in evaluations})


def distinct_labels(names: dict[str, str]) -> dict[str, str]:
    """Return the names by key, with the key itself in place of a name that several keys share.

    Example:
        >>> distinct_labels({"a/net.onnx": "net", "b/net.onnx": "net", "bicubic": "bicubic"})
        {'a/net.onnx': 'a/net.onnx', 'b/net.onnx': 'b/net.onnx', 'bicubic': 'bicubic'}
    """
    taken = list(names.values())
    return {key: key if taken.count(name) > 1 else name for key, name in names.items()}
