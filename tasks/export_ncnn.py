"""Export a network for programs that run ncnn's files: ExportNcnn."""

from pathlib import Path
from typing import Any

from sr.export.settings import NCNN_PRECISIONS
from tasks.export import ExportCheckpoint, ModelTask
from tasks.runtime.parameters import ChoiceParameter


class ExportNcnn(ModelTask):
    """Model → ncnn's two files (.param, .bin) for Upscayl, realesrgan-ncnn-vulkan and programs made of it."""

    extra = "ncnn"
    precision: str = ChoiceParameter(
        default="fp32",
        choices=[*NCNN_PRECISIONS],
        description="of the weights in the file; programs on a GPU compute in half precision either way",
    )
    stage = "exports"
    record = "export.json"

    @property
    def checkpoint(self) -> ExportCheckpoint:
        """The model to export."""
        return ExportCheckpoint(model=self.model)

    def requires(self) -> dict[str, ExportCheckpoint]:
        """The model."""
        return {"model": self.checkpoint}

    def name(self) -> str:
        """Return the model's name and the precision."""
        return f"{super().name()}-ncnn-{self.precision}"

    def parameters(self) -> dict[str, Any]:
        """Return the format and the precision."""
        return {"format": "ncnn", "precision": self.precision}

    def make(self) -> None:
        """Convert the network, and compare ncnn's result with it."""
        from sr.export.to_ncnn import export_ncnn

        export_ncnn(self.checkpoint.directory(), self.directory(), self.precision)

    def files(self) -> list[Path]:
        """Return the paths of the two files."""
        return [self.directory() / name for name in self.load_record()["files"]]

    def counts(self) -> str:
        """Return how far the files are from the network."""
        return (
            f"At most {self.load_record()['parity']['max_level_difference']} of 255 levels from the network"
        )

    def summary(self) -> str:
        """Return where the files are, and how far they are from the network."""
        param, weights = self.files()
        return f"ncnn: {param} and {weights.name}\n{self.counts()}."
