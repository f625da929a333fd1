"""Measure how fast a model runs on this machine: BenchmarkModel."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from data.errors import UserError
from data.hashing import sha256_file
from data.user_paths import expand_home
from sr.export.settings import PRECISIONS
from sr.models.box import BOX_MODELS
from tasks.config import speed
from tasks.export import ExportCheckpoint, ExportOpenVINO, ModelTask
from tasks.model_choice import TRAINED, is_graph
from tasks.runtime.every_run_task import EveryRunTask
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask

if TYPE_CHECKING:
    from sr.speed.profiled_model import ProfiledModel


class BenchmarkModel(EveryRunTask, ModelTask):
    """Exports → milliseconds and frames per second by device, size and streams, beside plain inference.

    Each run measures again, since the machine may have changed.
    """

    model: str = luigi.Parameter(
        default=TRAINED,
        description=f"trained, {', '.join(BOX_MODELS)}, or a path to .pth .safetensors .onnx .xml",
    )
    stage = "benchmarks"
    record = "speed.json"
    format_version = 2

    def name(self) -> str:
        """Return the preset, or the file's name."""
        return Path(self.model).stem if is_graph(self.model) else super().name()

    @property
    def checkpoint(self) -> ExportCheckpoint:
        """The model, unless a graph file is named."""
        return ExportCheckpoint(model=self.model)

    @property
    def exports(self) -> dict[str, ExportOpenVINO]:
        """The IR in each precision of [speed].

        By default these are all, but int8 of a weights file only where it is already exported: quantizing takes the
        crops of [selection], which may have to be downloaded.
        """
        exports = {
            one: ExportOpenVINO(model=self.model, precision=one) for one in speed().precisions or PRECISIONS
        }
        if not speed().precisions and self.model != TRAINED and not exports["int8"].complete():
            del exports["int8"]
        return exports

    def requires(self) -> dict[str, StoreTask]:
        """The model and its exports; nothing where a graph file is named."""
        return {} if is_graph(self.model) else {"model": self.checkpoint, **self.exports}

    def parameters(self) -> dict[str, Any]:
        """Return what is measured, and the hash of a graph file."""
        section = speed()
        return {
            "graph": sha256_file(self._graph_file()) if is_graph(self.model) else None,
            "sizes": section.sizes,
            "devices": section.devices,
            "streams": section.streams,
        }

    def _graph_file(self) -> Path:
        path = expand_home(self.model)
        if not path.is_file():
            raise UserError(f"--model is {self.model!r}, but no such file exists", "Check the path")
        return path

    def make(self) -> None:
        """Time the model and the reference on each device and size."""
        from sr.speed.profile import ProfileSettings, profile_model
        from sr.speed.timing import TimingSettings

        section = speed()
        settings = ProfileSettings(
            sizes=section.sizes,
            devices=section.devices,
            streams=section.streams,
            timing=TimingSettings(budget_s=section.seconds),
        )
        with self._subject() as subject, stage(self, "sizes") as progress:
            profile_model(subject, settings, self.directory(), self.run_id, progress)

    def _subject(self) -> "AbstractContextManager[ProfiledModel]":
        """Return what is measured, as a context manager."""
        from sr.speed import profiled_model

        if is_graph(self.model):
            return profiled_model.open_graph(self._graph_file())
        graphs = {precision: task.ir_path() for precision, task in self.exports.items()}
        return profiled_model.open_network(self.name(), self.checkpoint.directory(), graphs)

    def counts(self) -> str:
        """Return the number of rows and the devices."""
        record = self.load_record()
        return f"{len(record['rows'])} rows on {', '.join(record['devices'])}"

    def summary(self) -> str:
        """Return all rows, and where the table and the chart are."""
        from sr.speed.render import format_lines

        rows = format_lines(self.load_record())
        return "\n".join([*rows, f"Benchmark: {self.directory()} (speed.md, speed.svg)"])
