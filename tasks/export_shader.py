"""Export a realtime network for players: ExportShader."""

from pathlib import Path
from typing import Any

from sr.export.settings import SHADER_PRECISIONS
from tasks.export import ExportCheckpoint, ModelTask
from tasks.runtime.parameters import ChoiceParameter


class ExportShader(ModelTask):
    """Model → user shader (.glsl) for mpv, video2x and other players on libplacebo."""

    planes: str = ChoiceParameter(
        default="",
        choices=["", "luma", "rgb"],
        description="what the shader replaces: luma of video, or R, G and B; empty: luma where the network works on "
        "luma alone",
    )
    precision: str = ChoiceParameter(
        default="fp32",
        choices=[*SHADER_PRECISIONS],
        description="of the weights and the computation; fp16 is for GPUs that compute in it",
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
        """Return the model's name, the planes where they are given, and the precision."""
        return "-".join(filter(None, [super().name(), self.planes, "shader", self.precision]))

    def parameters(self) -> dict[str, Any]:
        """Return the planes and the precision."""
        return {"format": "glsl", "planes": self.planes, "precision": self.precision}

    def make(self) -> None:
        """Write the shader, and compare it with the network where a Vulkan device is at hand."""
        from sr.export.to_shader import export_shader

        export_shader(self.checkpoint.directory(), self.directory(), self.planes, self.precision)

    def shader_path(self) -> Path:
        """Return the path of the shader."""
        return self.directory() / "model.glsl"

    def counts(self) -> str:
        """Return how far the shader is from the network, or why that is not known."""
        parity = self.load_record()["parity"]
        if parity["against"] is None:
            return f"Not compared with the network: {parity['why_not']}"
        return (
            f"At most {parity['max_level_difference']} of 255 levels from the network, on {parity['device']}"
        )

    def summary(self) -> str:
        """Return where the shader is, and how far it was checked."""
        return f"Shader for {self.load_record()['hook']}: {self.shader_path()}\n{self.counts()}."
