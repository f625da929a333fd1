"""Train a network on selected crops: TrainModel."""

import os
from typing import Any

from data.hashing import sha256_file
from sr.training.job import RunOptions, TrainingJob
from sr.training.run_files import CURVE
from sr.training.settings import CHANGEABLE_FIELDS, parse_loss
from tasks.download import LPIPS_WEIGHTS, Download
from tasks.publish import FetchDataset, selected_samples
from tasks.runtime.progress import stage
from tasks.runtime.store_task import WHOLE_MACHINE, StoreTask
from tasks.select import SelectSamples
from tasks.training_config import (
    changeable_settings,
    describe_model,
    find_initial_weights,
    model,
    run_options,
    training,
    training_settings,
)


class TrainingTask(StoreTask):
    """A task that trains on the crops of the selection."""

    resources = WHOLE_MACHINE
    trains = True

    @property
    def selection(self) -> SelectSamples | FetchDataset:
        """The crops to train on."""
        return selected_samples()

    @property
    def lpips_weights(self) -> Download | None:
        """The download of the weights of LPIPS; None where the loss has no such term."""
        return Download(dataset=LPIPS_WEIGHTS) if "lpips" in parse_loss(training().loss) else None

    def requires(self) -> dict[str, StoreTask]:
        """The selection, and the weights of LPIPS where the loss needs them."""
        needed: dict[str, StoreTask] = {"selection": self.selection}
        if self.lpips_weights:
            needed["lpips"] = self.lpips_weights
        return needed

    def options(self) -> RunOptions:
        """Return how [training] wants a run carried out, with the weights of LPIPS if there are any."""
        weights = self.lpips_weights
        return run_options(lpips_weights=str(weights.directory().resolve()) if weights else "")


class TrainModel(TrainingTask):
    """Selected crops → a training run: best weights, checkpoints, history, TensorBoard events.

    Settings that may change while a run goes on (limits, patience, learning rate and others) are not part of its
    directory's name: when they change, the same run continues.
    """

    extra = "train"
    stage = "runs"
    record = "training.json"
    format_version = 4

    def name(self) -> str:
        """Return the preset."""
        return describe_model().preset

    def job(self) -> TrainingJob:
        """Return [model] and [training] as the trainer takes them."""
        return TrainingJob(
            preset=self.name(),
            selection=os.path.relpath(self.selection.record_path(), self.directory()),
            selection_hash=self.selection.spec_hash,
            color_space=model().color_space,
            reparameterize=model().reparameterize,
            initial_weights=self.initial_sha256,
            **training_settings(),
        )

    def parameters(self) -> dict[str, Any]:
        """Return the network that the preset means, and the settings that may not change while the run goes on."""
        description = describe_model()
        network = {
            "architecture": description.architecture,
            "configuration": dict(description.configuration),
            "value_range": list(description.value_range),
            "color_space": description.color_space,
            "reparameterize": description.reparameterize,
        }
        fixed = {name: value for name, value in training_settings().items() if name not in CHANGEABLE_FIELDS}
        initial = {"initial_weights": self.initial_sha256} if self.initial_sha256 else {}
        return {"preset": self.name(), "network": network, **fixed, **initial}

    @property
    def initial_sha256(self) -> str:
        """The hash of the weights to begin with; empty for random ones."""
        path = find_initial_weights()
        return sha256_file(path) if path else ""

    def is_done(self) -> bool:
        """Return whether the run is over, and ended under the settings that are asked for now."""
        return super().is_done() and self.load_record()["settings"] == changeable_settings()

    def make(self) -> None:
        """Train, or continue an interrupted run."""
        from sr.training.launch import train

        if initial := find_initial_weights():
            from sr.training.initial_weights import place_initial_weights

            place_initial_weights(initial, self.directory(), describe_model())
        with stage(self, "steps", resumes=True) as progress:
            train(self.job(), self.directory(), progress, self.options())

    def counts(self) -> str:
        """Return how the run ended."""
        record = self.load_record()
        best = f"best {record['best_psnr_db']:.2f} dB in epoch {record['best_epoch']} of {record['epochs']}"
        skipped = f", {record['skipped_steps']:,} of them skipped" if record["skipped_steps"] else ""
        return f"{record['steps']:,} steps{skipped}, {best}, bicubic {record['bicubic_psnr_db']:.2f} dB"

    def summary(self) -> str:
        """Return where the run is, how it ended, and its warnings."""
        directory = self.directory()
        warnings = [
            f"Warning (step {one['step']:,}): {one['text']}." for one in self.load_record()["warnings"]
        ]
        look = f"Look at it: {directory / CURVE}, or tensorboard --logdir {directory}"
        return "\n".join([f"Training run: {directory}", f"{self.counts()}.", *warnings, look])
