"""A training run from its first step to its last: steps, validation, early stopping and checkpoints.

All ranks run it together. Its result depends only on the job and the checkpoint in its directory: no clock affects the
weights, unless the job has a limit of hours.
"""

import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from data.atomic_files import write_bytes, write_json
from data.hashing import number, sha256_bytes
from data.record_json import to_plain
from data.selection import Split, open_split
from sr.distributed.rank_errors import StepError
from sr.distributed.ranks import Rank
from sr.models.checkpoint import serialize_weights
from sr.models.presets import describe
from sr.models.registry import build_for_training
from sr.models.run_files import BEST_WEIGHTS
from sr.pairs.batches import Batch, PairMaker, TrainingBatches, ValidationBatches
from sr.pairs.crop_cache import open_cache
from sr.pairs.crop_reader import CropReader
from sr.pairs.settings import check_patches
from sr.training.checkpoints import Checkpoint, CheckpointWriter, find_changes, load_latest_checkpoint
from sr.training.engine import TrainingEngine
from sr.training.initial_weights import load_initial_weights
from sr.training.job import RunOptions, TrainingJob
from sr.training.monitors import LossMonitor, StopVote
from sr.training.run_files import CHECKPOINTS, CLOCK, PLAN, RECORD
from sr.training.run_log import Pace, RunLog
from sr.training.run_plan import Announcements, describe_run
from sr.training.run_state import RunState, find_anomalies, format_db
from sr.training.schedule import learning_rate_at, plan_run
from sr.training.settings import check_settings
from sr.training.validation import bicubic_psnr_db, validate

PLOT_EVERY_STEPS = 50
SHOW_IMAGES_TIMES = 10
"""About how often validation images are shown during a run, besides after the first epoch."""


class _StopRequested(Exception):
    """A signal arrived while there was nothing to save."""


class Trainer:
    """One rank's part in a run."""

    def __init__(self, job: TrainingJob, run_dir: Path, rank: Rank, options: RunOptions) -> None:
        """Open the run at its latest checkpoint, if there is one.

        Args:
            job: everything that decides the result.
            run_dir: the run's directory; `job.selection` is relative to it.
            rank: this process.
            options: how to carry it out; `num_workers` must be 1 or more.

        Raises:
            UserError: the job is not valid, or the directory contains a run of another job.
        """
        check_settings(job)
        self.job, self.run_dir, self.options, self.rank = job, run_dir, options, rank
        self.engine = self._build_engine()
        training, validation = (
            open_split(run_dir / job.selection, name, job.selection_hash) for name in ("train", "validation")
        )
        self.plan = plan_run(job, training.samples * job.patches_per_image)
        self.run_state, self.best_weights = RunState(), dict[str, Tensor]()
        self._trained_before_s, self._started = 0.0, time.monotonic()
        if checkpoint := load_latest_checkpoint(run_dir / CHECKPOINTS, self._print):
            self._restore(checkpoint)
        self.batches, self.validation = self._open_data(training, validation)
        skips_steps = job.precision == "fp16"
        num_losses = 1 + len(self.engine.loss.names)
        self.losses = LossMonitor(num_losses, skips_steps, self.batches.describe)
        self.log = RunLog(run_dir, self.run_state.step, self.run_state.history) if not rank.number else None
        self.checkpoints = CheckpointWriter(run_dir / CHECKPOINTS)
        self.announcements = Announcements(run_dir / PLAN, job, self.run_state.step, self.plan.total_steps)
        self.pace = Pace(self.run_state.step)

    def _build_engine(self) -> TrainingEngine:
        """Build the network, with the job's initial weights or ones that depend only on its seed, and its engine."""
        job, options = self.job, self.options
        torch.manual_seed(number("weights", job.seed) % 2**63)
        start = load_initial_weights(self.run_dir, job.initial_weights) if job.initial_weights else None
        network = build_for_training(describe(job.preset, job.color_space, job.reparameterize), start)
        lpips = Path(options.lpips_weights) if options.lpips_weights else None
        return TrainingEngine(network, job, self.rank, options.micro_batch_size, lpips)

    def _open_data(self, training: Split, validation: Split) -> tuple[TrainingBatches, ValidationBatches]:
        """Open the training pairs and the validation images of this rank."""
        job, network, rank, workers = self.job, self.engine.network, self.rank, self.options.num_workers
        check_patches(job, network.scale * network.size_multiple, training.crop_size_px)
        maker = PairMaker(job, network.scale, rank.device, workers)
        options, scratch = self.options, self.run_dir / "run"
        caches = [
            open_cache(CropReader(split, options.decoder, workers), options.crop_cache, scratch, rank)
            for split in (training, validation)
        ]
        rows, steps = rank.share(job.batch_size), self.plan.total_steps
        return (
            TrainingBatches(caches[0], job, maker, rows, steps),
            ValidationBatches(caches[1], job.seed, maker, network.size_multiple, rank),
        )

    def run(self) -> bool:
        """Train to the end, or until a signal asks to stop.

        Returns:
            Whether the run is over; if not, a checkpoint is saved.

        Raises:
            UserError: the loss is not finite, or no epoch produced weights worth keeping.
        """
        state, plan = self.run_state, self.plan
        self._started = time.monotonic()
        left_s = self.job.max_hours * 3600.0 - self._trained_before_s if self.job.max_hours else math.inf
        self.vote = StopVote(self.rank, self.options.save_every_s, self.options.save_every_steps, left_s)
        self._out_of_time = left_s <= 0.0
        try:
            self._report_start()
            if state.validation_pending:
                self._end_epoch()
            while not (reason := self._stop_reason()):
                self._step()
                decision = self.vote.decide(state.step)
                self._out_of_time = decision.out_of_time
                last = plan.epoch_end((state.step - 1) // plan.steps_per_epoch)
                state.validation_pending = decision.out_of_time or state.step == last
                # The steps of an epoch are saved before validation, which may take longer than they did.
                if state.validation_pending or decision.stop or decision.save:
                    self._save()
                if decision.stop:
                    return False
                if state.validation_pending:
                    self._end_epoch()
            self._finish(reason)
            return True
        except _StopRequested:
            return False
        finally:
            self.checkpoints.wait()

    def _report_start(self) -> None:
        """Announce the plan, print the PSNR to beat, and warn if the network is not compiled as requested."""
        state, plan = self.run_state, self.plan
        if self.log:
            caches, kept = (self.batches.cache, self.validation.cache), self.options.save_total_limit
            self.announcements.add(describe_run(self.engine, self.rank, plan, state.step, caches, kept))
        if not state.bicubic_psnr_db:
            images = self._validation_images()
            state.bicubic_psnr_db = bicubic_psnr_db(self.engine.network.scale, images, self.rank)
            self._print(f"bicubic psnr {state.bicubic_psnr_db:.3f} dB, {plan.total_steps} steps to go")
        if self.engine.not_compiled:
            self._warn({"not_compiled": f"training runs without compiling: {self.engine.not_compiled}"})

    def _stop_reason(self) -> str:
        """Return why the run is over; empty while it is not."""
        state = self.run_state
        if state.step >= self.plan.total_steps:
            return "limit"
        if self._out_of_time:
            return "hours"
        epochs_since_best = len(state.history) - state.best_epoch
        return "patience" if epochs_since_best >= self.job.patience_epochs else ""

    def _step(self) -> None:
        step = self.run_state.step
        with self.pace.waiting():
            batch = self.batches.get(step)
        rate = learning_rate_at(self.job, step, self.plan.total_steps)
        losses = self.engine.step(batch, step, rate)
        self.run_state.step = step + 1
        self.losses.add(step + 1, losses)
        if self.log:
            self._write_progress(self.log)
            self.announcements.estimate_hours(step + 1)
            if (step + 1) % PLOT_EVERY_STEPS == 0:
                scalars = {
                    "step/loss": float(losses[0]),
                    "step/learning_rate": rate,
                    "step/gradient_norm": float(self.engine.gradient_norm),
                }
                self.log.add_scalars(step + 1, scalars)

    def _write_progress(self, log: RunLog, at_once: bool = False) -> None:
        note = self.run_state.describe_progress(self.plan.epochs, self.losses.latest)
        log.write_progress(self.run_state.step, self.plan.total_steps, note, at_once)

    def _end_epoch(self) -> None:
        """Validate, keep the weights if they are the best, append to the history, and save a checkpoint."""
        state, engine = self.run_state, self.engine
        rates = self.pace.rates(state.step, self.job.batch_size)
        images = self._validation_images()
        psnr_db, loss = validate(engine.evaluated_network, engine.total_loss, images, self.rank)
        if state.update_best(psnr_db, loss, self.job.monitor):
            self.best_weights = engine.export_weights()
            self._write_best_weights()
        mean, *terms = state.pop_mean_losses()
        rate = learning_rate_at(self.job, state.step - 1, self.plan.total_steps)
        state.end_epoch(mean, dict(zip(engine.loss.names, terms, strict=True)), psnr_db, loss, rate)
        epoch = len(state.history)
        loss_text = f"{mean:.5f}" if mean is not None else "not finite"
        self._print(f"epoch {epoch} step {state.step} loss {loss_text} psnr {format_db(psnr_db)} {rates}")
        if self.log:
            self.log.write_epoch(state.history, rates)
            self._show_images(self.log, epoch)
        self._warn(find_anomalies(state.history, self.job.patience_epochs))
        self._save()
        self.pace = Pace(state.step)

    def _validation_images(self) -> Iterator[Batch]:
        """Yield the validation images until a signal asks to stop: nothing unsaved is lost then."""
        for batch in self.validation:
            if self.vote.stop_requested:
                raise _StopRequested
            yield batch

    def _warn(self, anomalies: dict[str, str]) -> None:
        """Record the anomalies, and print each kind the first time."""
        for kind, text in anomalies.items():
            if self.run_state.add_warning(kind, text):
                self._print(f"warning at step {self.run_state.step}: {text}")

    def _print(self, text: str) -> None:
        if self.rank.number == 0:
            print(text, flush=True)

    def _collect_losses(self) -> None:
        """Add the losses of all ranks since the last call to the current epoch."""
        sums, steps = self.losses.collect()
        *sums, total_steps = self.rank.sum([*sums, float(steps)])
        self.run_state.add_losses(sums, total_steps)
        if self.job.precision == "fp16":
            self.run_state.skipped_steps = self.run_state.step - self.engine.applied_steps()

    def _show_images(self, log: RunLog, epoch: int) -> None:
        if epoch > 1 and epoch % max(1, self.plan.epochs // SHOW_IMAGES_TIMES):
            return
        shown = self.validation.first()
        with torch.inference_mode():
            output = self.engine.evaluated_network(shown.lr_image)
        log.add_images(self.run_state.step, shown.lr_image, output, shown.hr_image)

    def _save(self) -> None:
        """Begin to save a checkpoint; all ranks have the same state.

        Raises:
            StepError: a loss or a weight is not finite. The previous checkpoint then stays the latest.
        """
        self._collect_losses()
        if not self.engine.is_finite():
            message = f"The weights after step {self.run_state.step} are not finite numbers"
            hint = (
                "Train with a lower learning rate, or with fp32; the run resumes from the checkpoint before"
            )
            raise StepError(self.run_state.step, message, hint)
        if self.rank.number == 0:
            tensors, scaler = self.engine.get_state()
            tensors |= {f"best.{name}": weight for name, weight in self.best_weights.items()}
            metadata = {
                "job": to_plain(self.job),
                "run_state": copy.deepcopy(vars(self.run_state)),
                "scaler": scaler,
                "clock": {"trained_s": self._trained_s()},
            }
            # A checkpoint that awaits validation will be written a second time.
            keep = self.options.save_total_limit + self.run_state.validation_pending
            checkpoint = Checkpoint(self.run_state.step, tensors, metadata)
            self.checkpoints.save(checkpoint, keep, self.run_state.best_step)
        self.vote.mark_saved()

    def _trained_s(self) -> float:
        """Return the seconds of training so far, including the earlier sessions of the run."""
        return self._trained_before_s + time.monotonic() - self._started

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Restore everything; the training pairs follow from the step."""
        tensors, metadata = checkpoint.tensors, checkpoint.metadata
        changes = find_changes(metadata["job"], to_plain(self.job), checkpoint.step, str(self.run_dir))
        self.run_state = RunState(**metadata["run_state"])
        self._trained_before_s = metadata["clock"]["trained_s"]
        self.run_state.changes += changes
        self.engine.load_state(tensors, metadata["scaler"])
        best = {name: value for name, value in tensors.items() if name.startswith("best.")}
        self.best_weights = {name.removeprefix("best."): value for name, value in best.items()}
        if self.best_weights:
            self._write_best_weights()
        self._print(" ".join(map(str, [f"resumed at step {checkpoint.step}", *changes])))

    def _write_best_weights(self) -> None:
        if self.rank.number == 0:
            content = serialize_weights(self.best_weights, self.engine.network.description)
            write_bytes(self.run_dir / BEST_WEIGHTS, content)

    def _finish(self, reason: str) -> None:
        """Write training.json: the run is over, for a reason.

        Raises:
            UserError: no epoch produced weights worth keeping.
        """
        self.checkpoints.wait()
        weights = serialize_weights(self.best_weights, self.engine.network.description)
        record = self.run_state.build_record(self.job, reason, sha256_bytes(weights))
        if self.log:
            self._write_progress(self.log, at_once=True)
            self.log.close(self.run_state.history)
            write_json(self.run_dir / CLOCK, {"trained_s": round(self._trained_s(), 3)})
            write_json(self.run_dir / RECORD, record)
