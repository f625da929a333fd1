"""From a model to files to deploy: ExportOnnx, ExportOpenVINO."""

import re
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from sr.export.settings import Int8Settings
from sr.models.presets import find_preset
from tasks.config import export
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.train import TRAINED, ExportCheckpoint, ModelTask, SelectSamples

PRECISIONS = ("fp32", "fp16", "int8")


class ExportTask(ModelTask):
    """A task that writes a graph: of RGB, or of luma alone as videos have it."""

    planes = luigi.ChoiceParameter(
        default="rgb",
        choices=["rgb", "luma"],
        description="what goes in and out; luma, as video stores it, for networks of luma alone",
    )
    format_version = 2  # 2: VapSR's norm without transposes

    def name(self) -> str:
        """Return the model's name, with the planes where they are not RGB.

        Raises:
            UserError: the preset has no luma form.
        """
        if self.planes == "rgb":
            return super().name()
        if self.model == TRAINED and not luma_only(super().name()):
            remedy = "choose a preset of luma alone (realtime-x2 and its like), or leave --planes out"
            raise UserError("a network of luma alone", super().name(), "--planes luma", remedy)
        return f"{super().name()}-{self.planes}"

    def parameters(self) -> dict[str, Any]:
        """Return the planes where they are not RGB."""
        return {} if self.planes == "rgb" else {"planes": self.planes}


def luma_only(preset: str) -> bool:
    """Return whether the networks of a preset can be exported as luma."""
    return find_preset(preset).configuration.get("planes") == 1


class ExportOnnx(ExportTask):
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
        from sr.export.to_onnx import export_onnx

        export_onnx(self.requires()["model"].directory(), self.directory(), self.planes)

    def summary(self) -> str:
        """Say where the file is."""
        return f"ONNX: {self.directory() / 'model.onnx'}"


class ExportOpenVINO(ExportTask):
    """ONNX → OpenVINO IR in fp32, fp16 or int8 (calibrated on training crops)."""

    precision = luigi.Parameter(default="", description="fp32, fp16 or int8; by default as [export] says")
    size = luigi.Parameter(default="", description="WIDTHxHEIGHT of the LR image; empty: any size")
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
        """Return the model's name with the form, and with the size where it is fixed."""
        return "-".join(filter(None, [super().name(), self.form(), self.size]))

    def fixed_size(self) -> tuple[int, int] | None:
        """Return the one height and width that the file is to take; None for any.

        Raises:
            UserError: it is no size.
        """
        if not self.size:
            return None
        if not (found := re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.size)):
            remedy = "give width and height of the LR image"
            raise UserError("a size like 960x540", repr(self.size), "--size", remedy)
        return int(found[2]), int(found[1])

    def requires(self) -> dict[str, StoreTask]:
        """The ONNX file; for int8 the crops to calibrate with."""
        onnx = {"onnx": ExportOnnx(model=self.model, planes=self.planes)}
        return onnx | {"selection": SelectSamples()} if self.form() == "int8" else onnx

    def settings(self) -> dict[str, Any]:
        """Return [export] as far as it bears on this precision.

        Raises:
            UserError: a value is none that there is.
        """
        if self.form() != "int8":
            return {}
        given = export().param_kwargs
        settings = {name: value for name, value in given.items() if name not in ("precision", "license")}
        Int8Settings(**settings).check()
        return settings

    def parameters(self) -> dict[str, Any]:
        """Return precision and settings."""
        size = self.fixed_size()
        fixed = {"size": list(size)} if size else {}
        return {"precision": self.form(), **self.settings(), **fixed, **super().parameters()}

    def make(self) -> None:
        """Convert, and quantize where that is asked for."""
        from sr.export.to_openvino import export_openvino

        calibration = Path(self.requires()["selection"].output().path) if self.form() == "int8" else None
        with stage(self, "steps") as progress:
            graph = self.requires()["onnx"]
            export_openvino(
                graph.directory(),
                self.directory(),
                self.form(),
                model_dir=graph.requires()["model"].directory(),
                calibration=calibration,
                settings=Int8Settings(**self.settings()),
                size=self.fixed_size(),
                progress=progress,
            )

    def summary(self) -> str:
        """Say where the files are."""
        return f"OpenVINO IR ({self.form()}): {self.directory() / 'model.xml'}"
