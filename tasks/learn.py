"""From crop datasets to a model file: SelectSamples, TrainModel, ExportCheckpoint."""

import os
from pathlib import Path
from typing import Any

import luigi

from data.digests import sha256_file
from data.errors import UserError
from data.files import read_json
from data.records import TrainingJob
from pipeline import index, select
from sr.models.presets import find_preset
from sr.training.readers import resolve_reader
from tasks.base import StoreTask
from tasks.config import evaluation, listed, model, selection, training
from tasks.gather import IndexSource
from tasks.prepare import MakeCrops
from tasks.progress import stage

TRAINED = "trained"
WEIGHTS_SUFFIXES = (".pth", ".safetensors")
WHOLE_MACHINE = {"machine": 1}
"""A Luigi resource: tasks that use every core, or time something, run one at a time."""


class SelectSamples(StoreTask):
    """Crop datasets and benchmarks → which crops train and which validate."""

    stage = "selections"
    record = select.RECORD

    def requires(self) -> dict[str, list[StoreTask]]:
        """The datasets of [selection], and the benchmarks that must not leak into them."""
        return {
            "datasets": [
                MakeCrops(dataset=name) for name in listed(selection().datasets, "[selection] datasets")
            ],
            "benchmarks": [
                IndexSource(dataset=name)
                for name in listed(evaluation().benchmarks, "[evaluation] benchmarks")
            ],
        }

    def name(self) -> str:
        """Return the datasets' names."""
        return "+".join(task.name() for task in self.requires()["datasets"])[:60]

    def settings(self) -> select.SelectSettings:
        """Return [selection] as the selection wants it."""
        section = selection()
        return select.SelectSettings(
            near_duplicate_bits=section.near_duplicate_bits,
            leakage_bits=section.leakage_bits,
            least_detail=section.least_detail,
            max_train=section.max_train,
            max_validation=section.max_validation,
            seed=section.seed,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the settings."""
        return vars(self.settings())

    def make(self) -> None:
        """Select."""
        needed = self.requires()
        benchmarks = [
            (one.name(), one.source(), index.read_entries(one.directory())) for one in needed["benchmarks"]
        ]
        with stage(self, "crops") as progress:
            select.select_samples(
                [one.directory() for one in needed["datasets"]],
                select.benchmark_hashes(benchmarks, self.settings().leakage_bits),
                self.settings(),
                self.directory(),
                self.directory_name.rpartition("-")[2],
                progress,
            )

    def counts(self) -> str:
        """Return samples by split."""
        totals = select.read_selection(self.directory()).totals
        return (
            f"{totals['train']} to train, {totals['validation']} to validate, {totals['rejected']} rejected"
        )

    def summary(self) -> str:
        """Say where the selection is."""
        return f"Selection: {self.output().path}\n{self.counts()}."


class TrainModel(StoreTask):
    """Selected crops → a training run: best weights, checkpoints, history, TensorBoard events."""

    stage = "runs"
    record = "training.json"
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return the preset."""
        return find_preset_name()

    def requires(self) -> dict[str, StoreTask]:
        """The selection."""
        return {"selection": SelectSamples()}

    def job(self) -> TrainingJob:
        """Return [model] and [training] as the trainer wants them."""
        selection = self.requires()["selection"]
        return TrainingJob(
            preset=self.name(),
            selection=os.path.relpath(selection.output().path, self.directory()),
            selection_hash=selection.directory_name.rpartition("-")[2],
            **training_settings(),
        )

    def parameters(self) -> dict[str, Any]:
        """Return what the trainer is told and what the preset means; the spec names the selection anyway."""
        description = find_preset(self.name())
        network = {
            "architecture": description.architecture,
            "configuration": dict(description.configuration),
            "value_range": list(description.value_range),
        }
        return {"preset": self.name(), "network": network, **training_settings()}

    def make(self) -> None:
        """Train, or go on training."""
        from sr.training.launch import train

        with stage(self, "steps", resumes=True) as progress:
            train(self.job(), self.directory(), progress=progress)

    def counts(self) -> str:
        """Return how it ended."""
        record = read_json(Path(self.output().path))
        return ", ".join(
            f"{key} {value}" for key, value in sorted(record.items()) if isinstance(value, int | float)
        )

    def summary(self) -> str:
        """Say where the run is."""
        directory = self.directory()
        return f"Training run: {directory}\n{self.counts()}.\nLook at it: tensorboard --logdir {directory}"


class ModelTask(StoreTask):
    """A task about one network: the one that [model] and [training] describe, or a file of weights."""

    model = luigi.Parameter(default=TRAINED, description="trained, or a path to .pth or .safetensors")
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return the preset, or the file's name."""
        return find_preset_name() if self.model == TRAINED else self.weights_file().stem

    def weights_file(self) -> Path:
        """Return the path that `model` is.

        Raises:
            UserError: there is no such file, or it is of another kind.
        """
        path = Path(self.model).expanduser()
        if path.suffix not in WEIGHTS_SUFFIXES or not path.is_file():
            expected = f"{TRAINED} or the path of a file ending in {' or '.join(WEIGHTS_SUFFIXES)}"
            raise UserError(expected, repr(self.model), "--model", "check the path")
        return path


class ExportCheckpoint(ModelTask):
    """Best weights, or anybody's checkpoint → model.safetensors and model.json."""

    stage = "models"
    record = "model.json"

    def requires(self) -> dict[str, StoreTask]:
        """The run, unless a file was named."""
        return {"run": TrainModel()} if self.model == TRAINED else {}

    def parameters(self) -> dict[str, Any]:
        """Return the hash of a file that was named."""
        return {} if self.model == TRAINED else {"weights_sha256": sha256_file(self.weights_file())}

    def make(self) -> None:
        """Convert."""
        from sr.checkpoint import export_checkpoint

        source = self.requires()["run"].directory() if self.model == TRAINED else self.weights_file()
        export_checkpoint(source, self.directory())

    def counts(self) -> str:
        """Return the preset and its size."""
        record = read_json(Path(self.output().path))
        return f"{record['preset']}, {record['parameters']:,} parameters"

    def summary(self) -> str:
        """Say where the model is."""
        return f"Model: {self.directory() / 'model.safetensors'}\n{self.counts()}."


def training_settings() -> dict[str, Any]:
    """Return [training], with the loader that it means on this machine: it has a part in the result."""
    settings = {name: getattr(training(), name) for name, _ in training().get_params()}
    return settings | {"loader": resolve_reader(settings["loader"])}


def find_preset_name() -> str:
    """Return [model] preset.

    Raises:
        UserError: there is no such preset.
    """
    find_preset(model().preset)
    return model().preset
