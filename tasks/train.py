"""From crop datasets to a model file: SelectSamples, TrainModel, ExportCheckpoint."""

import os
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json
from data.errors import UserError
from data.hashing import sha256_file
from data.records import TrainingConduct, TrainingJob
from pipeline import index, select
from sr.models.presets import ModelDescription, describe
from sr.training.readers import resolve_reader
from sr.training.run_files import CURVE
from sr.training.settings import MAY_CHANGE, check_settings, loss_terms
from tasks.config import UNKNOWN_LICENSE, evaluation, export, listed, model, selection, training
from tasks.crops import MakeCrops
from tasks.download import Download, IndexSource
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask

TRAINED = "trained"
WEIGHTS_SUFFIXES = (".pth", ".safetensors")
LPIPS_WEIGHTS = "LPIPS_AlexNet"
"""The weights of LPIPS in the catalog."""
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
            min_sharpness=section.min_sharpness,
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
    """Selected crops → a training run: best weights, checkpoints, history, TensorBoard events.

    Settings that may change while a run goes on (limits, patience, learning rate …) are no part of its
    directory's name: with others the same run goes on.
    """

    extra = "train"
    stage = "runs"
    record = "training.json"
    format_version = 2
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return the preset."""
        return find_preset_name()

    def requires(self) -> dict[str, StoreTask]:
        """The selection, and for a loss with LPIPS its weights."""
        lpips = {"lpips": Download(dataset=LPIPS_WEIGHTS)} if "lpips" in loss_terms(training().loss) else {}
        return {"selection": SelectSamples()} | lpips

    def job(self) -> TrainingJob:
        """Return [model] and [training] as the trainer wants them."""
        selection = self.requires()["selection"]
        return TrainingJob(
            preset=self.name(),
            selection=os.path.relpath(selection.output().path, self.directory()),
            selection_hash=selection.directory_name.rpartition("-")[2],
            color_space=model().color_space,
            reparameterize=model().reparameterize,
            **training_settings(),
        )

    def conduct(self) -> TrainingConduct:
        """Return how [training] wants it carried out."""
        needed = self.requires()
        lpips_weights = str(needed["lpips"].directory().resolve()) if "lpips" in needed else ""
        return TrainingConduct(**training().values(TrainingConduct), lpips_weights=lpips_weights)

    def parameters(self) -> dict[str, Any]:
        """Return what the trainer is told, less what may change, and what the preset means."""
        description = find_description()
        network = {
            "architecture": description.architecture,
            "configuration": dict(description.configuration),
            "value_range": list(description.value_range),
            "color_space": description.color_space,
            "reparameterize": description.reparameterize,
        }
        fixed = {name: value for name, value in training_settings().items() if name not in MAY_CHANGE}
        return {"preset": self.name(), "network": network, **fixed}

    def changeable(self) -> dict[str, Any]:
        """Return the settings that may change while the run goes on."""
        return {name: getattr(training(), name) for name in MAY_CHANGE}

    def is_done(self) -> bool:
        """Return whether the run is over, and was ended under the settings that are asked for now."""
        return super().is_done() and read_json(Path(self.output().path))["settings"] == self.changeable()

    def make(self) -> None:
        """Train, or go on training."""
        from sr.training.launch import train

        with stage(self, "steps", resumes=True) as progress:
            train(self.job(), self.directory(), progress, self.conduct())

    def counts(self) -> str:
        """Return how it ended."""
        record = read_json(Path(self.output().path))
        best = f"best {record['best_psnr_db']:.2f} dB in epoch {record['best_epoch']} of {record['epochs']}"
        skipped = f", {record['skipped_steps']:,} of them skipped" if record["skipped_steps"] else ""
        return f"{record['steps']:,} steps{skipped}, {best}, bicubic {record['bicubic_psnr_db']:.2f} dB"

    def summary(self) -> str:
        """Say where the run is, how it ended, and what is odd about it."""
        directory = self.directory()
        warnings = read_json(Path(self.output().path))["warnings"]
        told = [f"Warning (step {one['step']:,}): {one['text']}." for one in warnings]
        look = f"Look at it: {directory / CURVE}, or tensorboard --logdir {directory}"
        return "\n".join([f"Training run: {directory}", f"{self.counts()}.", *told, look])


class ModelTask(StoreTask):
    """A task about one network: the one that [model] and [training] describe, or a file of weights."""

    extra = "export"
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
        """Return the hash of a file that was named, or the settings that the run's directory is not named by."""
        named = {"license": export().license} if export().license != UNKNOWN_LICENSE else {}
        if self.model == TRAINED:
            return {"settings": TrainModel().changeable(), **named}
        return {"weights_sha256": sha256_file(self.weights_file()), **named}

    def make(self) -> None:
        """Convert."""
        from sr.models.checkpoint import export_checkpoint

        source = self.requires()["run"].directory() if self.model == TRAINED else self.weights_file()
        export_checkpoint(source, self.directory(), export().license)

    def counts(self) -> str:
        """Return the preset and its size."""
        record = read_json(Path(self.output().path))
        return f"{record['preset']}, {record['parameters']:,} parameters"

    def summary(self) -> str:
        """Say where the model is."""
        return f"Model: {self.directory() / 'model.safetensors'}\n{self.counts()}."


def find_description() -> ModelDescription:
    """Return what [model] describes.

    Raises:
        UserError: there is no such preset, or it has no use for what was chosen beside it.
    """
    return describe(model().preset, model().color_space, model().reparameterize)


def training_settings() -> dict[str, Any]:
    """Return [training], with the loader that it means on this machine: it has a part in the result.

    Raises:
        UserError: something in it cannot be meant.
    """
    settings = training().values(TrainingJob)
    settings |= {"loader": resolve_reader(settings["loader"])}
    check_settings(TrainingJob(preset="", selection="", selection_hash="", **settings))
    return settings


def find_preset_name() -> str:
    """Return [model] preset.

    Raises:
        UserError: as `find_description`.
    """
    return find_description().preset
