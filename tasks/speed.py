"""From a finished model to how fast it runs here: BenchmarkModel."""

import re
import secrets
from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json
from data.errors import UserError
from data.hashing import sha256_file
from tasks.config import listed, speed
from tasks.export import PRECISIONS, ExportOpenVINO
from tasks.model_choice import GRAPH_SUFFIXES
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.train import TRAINED, ExportCheckpoint, ModelTask
from tasks.verify import ThisRunsTarget

_LARGEST_PX = 16384
_CHOICE = "auto"


class BenchmarkModel(ModelTask):
    """Exports → milliseconds and frames a second by device, size and streams, beside the plain way of running them."""

    model = luigi.Parameter(default=TRAINED, description="trained, or a path to .pth .safetensors .onnx .xml")
    stage = "benchmarks"
    record = "benchmark.json"

    def name(self) -> str:
        """Return the preset, or the file's name."""
        return Path(self.model).stem if self._is_graph() else super().name()

    def _is_graph(self) -> bool:
        return Path(self.model).suffix in GRAPH_SUFFIXES

    def requires(self) -> dict[str, StoreTask]:
        """The model and its exports; nothing where a graph was named."""
        if self._is_graph():
            return {}
        forms = {form: ExportOpenVINO(model=self.model, precision=form) for form in self._precisions()}
        return {"model": ExportCheckpoint(model=self.model)} | forms

    def _precisions(self) -> list[str]:
        """Return those of [speed]; by default all, of a file int8 only where it is exported already.

        To quantize a file takes the crops of [selection], and those may be a download.
        """
        if speed().precisions:
            named = listed(speed().precisions, "--speed-precisions")
            wrong = [one for one in named if one not in PRECISIONS]
            if wrong:
                expected = f"some of {', '.join(PRECISIONS)}"
                raise UserError(expected, repr(wrong[0]), "--speed-precisions", "name those")
            return named
        is_there = self.model == TRAINED or ExportOpenVINO(model=self.model, precision="int8").complete()
        return [one for one in PRECISIONS if one != "int8" or is_there]

    def parameters(self) -> dict[str, Any]:
        """Return what is measured, and the hash of a graph that was named."""
        section = speed()
        return {
            "graph": sha256_file(self._graph()) if self._is_graph() else None,
            "sizes": self._sizes(),
            "devices": _names(section.devices),
            "streams": self._streams(),
        }

    def _graph(self) -> Path:
        path = Path(self.model).expanduser()
        if not path.is_file():
            raise UserError("a model file", repr(self.model), "--model", "check the path")
        return path

    def _sizes(self) -> list[tuple[int, int]]:
        """Return height and width of each size."""
        sizes = []
        for text in listed(speed().sizes, "--speed-sizes"):
            found = re.fullmatch(r"(\d+)x(\d+)", text)
            width, height = map(int, found.groups()) if found else (0, 0)
            if not (0 < width <= _LARGEST_PX and 0 < height <= _LARGEST_PX):
                raise UserError("WIDTHxHEIGHT in pixels", repr(text), "--speed-sizes", "write 960x540")
            sizes.append((height, width))
        return sizes

    def _streams(self) -> list[int]:
        """Return the numbers; -1 for the device's choice."""
        texts = _names(speed().streams)
        wrong = [
            text for text in texts if text != _CHOICE and not (text.isdecimal() and 0 < int(text) < 1000)
        ]
        if wrong:
            remedy = "write 1,2,auto"
            raise UserError(f"numbers of 1 or more, or {_CHOICE}", repr(wrong[0]), "--speed-streams", remedy)
        return [-1 if text == _CHOICE else int(text) for text in texts]

    @cached_property
    def run_id(self) -> str:
        """What tells this run's figures from any other's; Luigi asks for it before it forks."""
        return secrets.token_hex(8)

    def output(self) -> luigi.LocalTarget:
        """Return the record, which counts for this run only: tomorrow the machine may be another."""
        return ThisRunsTarget(str(self.directory() / self.record), self.run_id)

    def make(self) -> None:
        """Measure."""
        from sr.speed.profile import BenchmarkSettings, benchmark_model
        from sr.speed.timing import Limits

        settings = BenchmarkSettings(
            sizes=tuple(self._sizes()),
            devices=tuple(_names(speed().devices)),
            streams=tuple(self._streams()),
            limits=Limits(budget_s=speed().seconds),
        )
        with self._subject() as subject, stage(self, "sizes") as progress:
            benchmark_model(subject, settings, self.directory(), self.run_id, progress)

    def _subject(self) -> Any:
        from sr.speed import subjects

        if self._is_graph():
            return subjects.graph(self._graph())
        made = self.requires()
        forms = {form: task.directory() / "model.xml" for form, task in made.items() if form != "model"}
        return subjects.network(self.name(), made["model"].directory(), forms)

    def counts(self) -> str:
        """Return how much was measured."""
        record = read_json(Path(self.output().path))
        return f"{len(record['rows'])} rows on {', '.join(record['devices'])}"

    def summary(self) -> str:
        """Say all rows, and where the table and the chart are."""
        from sr.speed.render import lines

        told = lines(read_json(Path(self.output().path)))
        return "\n".join([*told, f"Benchmark: {self.directory()} (benchmark.md, benchmark.svg)"])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
