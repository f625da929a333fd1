"""Export a model to files to deploy: ExportCheckpoint, ExportOnnx, ExportOpenVINO."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import luigi

from data.errors import UserError
from data.hashing import sha256_file
from sr.export.settings import FINE_TUNE_OPTION, OFFER_ABOVE_DB, PRECISIONS, Int8Settings
from sr.models.box import BOX_MODELS
from tasks.calibration_choice import CalibrationTask, find_calibration_images, open_calibration_images
from tasks.config import UNKNOWN_LICENSE, export
from tasks.model_choice import TRAINED, find_onnx, find_weights, has_luma_graph, is_onnx
from tasks.runtime.parameters import ChoiceParameter, OptionalSizeParameter, Size, format_size
from tasks.runtime.progress import stage
from tasks.runtime.store_task import WHOLE_MACHINE, StoreTask
from tasks.train import TrainModel
from tasks.training_config import changeable_settings, describe_model

INT8_VERSION = 3
"""Raised when the same images and settings give another int8 model."""


class ModelTask(StoreTask):
    """A task about one network: the one that [model] and [training] describe, one in the box, or a file of weights."""

    extra = "export"
    model: str = luigi.Parameter(
        default=TRAINED,
        description=f"trained, {', '.join(BOX_MODELS)}, or a path to .pth or .safetensors",
    )
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return the preset, or the file's name."""
        return describe_model().preset if self.model == TRAINED else find_weights(self.model).stem


class ExportCheckpoint(ModelTask):
    """Best weights of a run, or any checkpoint → model.safetensors and model.json."""

    stage = "models"
    record = "model.json"
    format_version = 2

    @property
    def training_run(self) -> TrainModel | None:
        """The training run; None where a file is named."""
        return TrainModel() if self.model == TRAINED else None

    def requires(self) -> dict[str, TrainModel]:
        """The run, unless a file is named."""
        return {"run": self.training_run} if self.training_run else {}

    def parameters(self) -> dict[str, Any]:
        """Return the hash of a file, or the settings that are not part of the run's directory name."""
        license = {"license": self.license()} if self.license() != UNKNOWN_LICENSE else {}
        if self.model == TRAINED:
            return {"settings": changeable_settings(), **license}
        return {"weights_sha256": sha256_file(find_weights(self.model)), **license}

    def make(self) -> None:
        """Recognize the network of the weights and write both files."""
        from sr.models.checkpoint import export_checkpoint

        source = self.training_run.directory() if self.training_run else find_weights(self.model)
        export_checkpoint(source, self.directory(), self.license())

    def license(self) -> str:
        """Return the license of the weights: that of [export], or that of a model in the box."""
        if self.model in BOX_MODELS and export().license == UNKNOWN_LICENSE:
            return str(BOX_MODELS[self.model].card()["license"])
        return export().license

    def parameter_count(self) -> int:
        """Return how many parameters the network has."""
        return int(self.load_record()["parameters"])

    def scale(self) -> int:
        """Return the network's scale."""
        return int(self.load_record()["scale"])

    def counts(self) -> str:
        """Return the preset and the number of parameters."""
        return f"{self.load_record()['preset']}, {self.parameter_count():,} parameters"

    def summary(self) -> str:
        """Return where the model is."""
        return f"Model: {self.directory() / 'model.safetensors'}\n{self.counts()}."


class ExportTask(ModelTask):
    """A task that writes a graph: of RGB, or of luma alone, as video stores it."""

    planes: str = ChoiceParameter(
        default="rgb",
        choices=["rgb", "luma"],
        description="input and output of the graph; luma, as video stores it, is for networks of luma alone",
    )
    format_version: ClassVar[int] = 2  # 2: VapSR's norm without transposes

    def name(self) -> str:
        """Return the model's name, with the planes unless they are RGB.

        Raises:
            UserError: the preset has no luma graph, or a graph is given and its planes too.
        """
        if is_onnx(self.model):
            if self.planes != "rgb":
                raise UserError("--planes is for weights: an ONNX file has its own", "Leave --planes out")
            return find_onnx(self.model).stem
        if self.planes == "rgb":
            return super().name()
        if self.model == TRAINED and not has_luma_graph(self.model):
            message = f"--planes luma needs a network of luma alone, but {super().name()} works on RGB"
            raise UserError(message, "Choose a preset such as realtime-x2, or leave --planes out")
        return f"{super().name()}-{self.planes}"

    def parameters(self) -> dict[str, Any]:
        """Return the planes unless they are RGB."""
        return {} if self.planes == "rgb" else {"planes": self.planes}


class ExportOnnx(ExportTask):
    """Model → ONNX: uint8 in and out, or as other programs take it."""

    signature: str = ChoiceParameter(
        default="native",
        choices=["native", "interchange"],
        description="input and output: native (uint8 NHWC), or interchange (float NCHW, 0 to 1) for other programs",
    )
    precision: str = ChoiceParameter(
        default="fp32", choices=["fp32", "fp16"], description="of an interchange graph; native is always fp32"
    )
    stage = "exports"
    record = "export.json"

    @property
    def checkpoint(self) -> ExportCheckpoint | None:
        """The model to export; None where it is an ONNX file already."""
        return None if is_onnx(self.model) else ExportCheckpoint(model=self.model)

    def requires(self) -> dict[str, ExportCheckpoint]:
        """The model, unless it is an ONNX file already."""
        return {"model": self.checkpoint} if self.checkpoint else {}

    def name(self) -> str:
        """Return the model's name and the format.

        Raises:
            UserError: a native graph is to be fp16, or an ONNX file is to be one for other programs.
        """
        if is_onnx(self.model) and self.signature != "native":
            message = f"--signature interchange is for weights, and {self.model} is an ONNX file"
            raise UserError(message, "Give the weights that it was made from")
        if self.signature == "native" and self.precision != "fp32":
            hint = "Add --signature interchange, or leave --precision out"
            raise UserError(
                "--precision fp16 is for --signature interchange: native ONNX files are fp32", hint
            )
        parts = [] if self.signature == "native" else [self.signature, self.precision]
        return "-".join([super().name(), "onnx", *parts])

    def parameters(self) -> dict[str, Any]:
        """Return a file's hash; or planes, signature and precision, where they are not the defaults."""
        if is_onnx(self.model):
            return {"onnx_sha256": sha256_file(find_onnx(self.model)), "license": export().license}
        interchange = {"signature": self.signature, "precision": self.precision}
        return {**super().parameters(), **({} if self.signature == "native" else interchange)}

    def make(self) -> None:
        """Trace the network, or take the graph of a file; write it, and compare its output with the original's."""
        if not self.checkpoint:
            from sr.export.from_onnx import import_onnx

            import_onnx(find_onnx(self.model), self.directory(), export().license)
            return
        directories = self.checkpoint.directory(), self.directory()
        if self.signature == "native":
            from sr.export.to_onnx import export_onnx

            export_onnx(*directories, self.planes)
        else:
            from sr.export.to_interchange import export_interchange

            export_interchange(*directories, self.planes, self.precision)

    def summary(self) -> str:
        """Return where the file is."""
        return f"ONNX: {self.directory() / 'model.onnx'}"


class ExportOpenVINO(ExportTask):
    """ONNX → OpenVINO IR in fp32, fp16 or int8 (calibrated on images)."""

    format_version = 3  # 3: weights of int8 rounded together

    precision: str = ChoiceParameter(
        default="", choices=["", *PRECISIONS], description="precision of the weights; empty: that of [export]"
    )
    size: Size | None = OptionalSizeParameter(
        default=None, description="fixed size of the LR image, WIDTHxHEIGHT; empty: any size"
    )
    calibration: str = luigi.Parameter(
        default="",
        description="for int8: a folder of images to calibrate with and to measure on, or another dataset; empty: the "
        "crops of [selection] if they are there, otherwise photographs in the box",
    )
    stage = "exports"
    record = "export.json"

    @property
    def onnx(self) -> ExportOnnx:
        """The graph to convert."""
        return ExportOnnx(model=self.model, planes=self.planes)

    @cached_property
    def calibration_images(self) -> CalibrationTask | None:
        """What calibrates int8: a selection or images; None for the photographs in the box, and other precisions."""
        is_int8 = self.resolved_precision == "int8"
        return find_calibration_images(self.calibration, self.model) if is_int8 else None

    def requires(self) -> dict[str, StoreTask]:
        """The ONNX file, and what calibrates int8."""
        needed: dict[str, StoreTask] = {"onnx": self.onnx}
        if self.calibration_images:
            needed["calibration"] = self.calibration_images
        return needed

    @property
    def resolved_precision(self) -> str:
        """The precision of the weights, with that of [export] where none is given."""
        return self.precision or export().precision

    def name(self) -> str:
        """Return the model's name, the precision, and the size where it is fixed.

        Raises:
            UserError: images are given to calibrate another precision than int8.
        """
        if self.calibration and self.resolved_precision != "int8":
            raise UserError(
                f"--calibration is for int8, but the precision is {self.resolved_precision}",
                "Add --precision int8, or leave --calibration out",
            )
        size = format_size(self.size) if self.size else ""
        return "-".join(filter(None, [super().name(), self.resolved_precision, size]))

    def settings(self) -> dict[str, Any]:
        """Return what of [export] matters for this precision."""
        if self.resolved_precision != "int8":
            return {}
        unused = ["precision", "license"] + ["int8_finetune_steps"] * (not export().int8_finetune_steps)
        settings = {name: value for name, value in export().param_kwargs.items() if name not in unused}
        Int8Settings(**settings).check()
        return settings

    def parameters(self) -> dict[str, Any]:
        """Return precision, settings and size, and the version of the choice of layers in int8."""
        size = {"size": list(self.size)} if self.size else {}
        version = {"int8_version": INT8_VERSION} if self.resolved_precision == "int8" else {}
        return {
            "precision": self.resolved_precision,
            **self.settings(),
            **version,
            **size,
            **super().parameters(),
        }

    def make(self) -> None:
        """Convert the graph, and quantize it for int8."""
        from sr.export.to_openvino import export_openvino

        with stage(self, "steps") as progress:
            export_openvino(
                self.onnx.directory(),
                self.directory(),
                self.resolved_precision,
                model_dir=self.onnx.checkpoint.directory() if self.onnx.checkpoint else None,
                calibration=open_calibration_images(self.calibration_images),
                settings=Int8Settings(**self.settings()),
                size=self.size,
                progress=progress,
            )

    def ir_path(self) -> Path:
        """Return the path of the IR's .xml file."""
        return self.directory() / "model.xml"

    def summary(self) -> str:
        """Return where the files are, and for int8 what calibrated it and what it loses."""
        where = f"OpenVINO IR ({self.resolved_precision}): {self.ir_path()}"
        return f"{where}\n{self.counts()}." if self.resolved_precision == "int8" else where

    def counts(self) -> str:
        """Return, for int8, what it was calibrated on, its loss, and what stays in float."""
        if self.resolved_precision != "int8":
            return ""
        record = self.load_record()
        accuracy, kept = record["accuracy"], record["search"]["groups_in_float"]
        loss_db = accuracy["fp32_psnr_db"] - accuracy["int8_psnr_db"]
        in_float = f", {len(kept)} groups of layers in float" if kept else ""
        return (
            f"calibrated on {len(record['calibration']['keys'])} crops of {record['calibration']['source']}, "
            f"{loss_db:.3f} dB below fp32 on {accuracy['crops']} others{in_float}"
            f"{self._describe_tuning(record.get('fine_tuning'), accuracy['fp32_psnr_db'], loss_db)}"
        )

    def _describe_tuning(self, tuning: dict[str, Any] | None, fp32_db: float, loss_db: float) -> str:
        """Return what fine-tuning brought; or, where int8 loses much without, how to ask for it."""
        if tuning is None:
            is_offered = loss_db > OFFER_ABOVE_DB and not is_onnx(self.model)
            return f"; {FINE_TUNE_OPTION} fine-tunes the weights for int8" if is_offered else ""
        before, after = (fp32_db - tuning[f"{when}_psnr_db"] for when in ("before", "after"))
        if not tuning["kept"]:
            return f"; fine-tuning for {tuning['steps']} steps gained nothing ({after:.3f} dB), left out"
        return f"; fine-tuned for {tuning['steps']} steps ({before:.3f} dB before)"
