"""A training run from its first step to its last: learning, validation, early stopping, and saved states.

All ranks walk through it together. It reads the job and the state of its directory, and nothing else decides
what it does: no clock has a part in the weights.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from data.atomic_files import write_bytes, write_json
from data.hashing import number, sha256_bytes
from data.record_json import to_plain
from data.records import TrainingConduct, TrainingJob
from data.selection import open_split
from sr.models.checkpoint import weights_file
from sr.models.presets import describe
from sr.models.registry import build_for_training
from sr.training.checkpoints import TrainingState, changes_of, load_newest, save_state
from sr.training.engine import TrainingEngine, sum_over_ranks
from sr.training.loader import Batch, TrainingStream, ValidationSet
from sr.training.monitors import LossWatch, StopVote
from sr.training.rank_errors import StepError
from sr.training.rank_state import gather, lanes_of, restore_random
from sr.training.run_files import BEST_WEIGHTS, CLOCK, RECORD, STATES
from sr.training.run_log import Pace, Telling
from sr.training.run_state import Standing, in_db, oddities
from sr.training.schedule import learning_rate_at, plan_run
from sr.training.settings import check_settings
from sr.training.validation import bicubic, judge, mean_psnr_db

VALIDATION_BATCH = 4
PLOT_EVERY_STEPS = 50
IMAGE_TIMES = 10
"""How often in a whole run the fixed images are shown, about; after the first epoch always."""


class _StopAskedError(Exception):
    """A signal came while there was nothing to save."""


class Trainer:
    """One rank's part in a run."""

    def __init__(
        self,
        job: TrainingJob,
        run_dir: Path,
        rank: int,
        world_size: int,
        device: torch.device,
        conduct: TrainingConduct,
    ) -> None:
        """Open everything, at the newest state where there is one.

        Args:
            job: what to do.
            run_dir: where `job.selection` is relative to, and everything goes.
            rank: this process, 0 to `world_size` - 1.
            ranks: number of processes.
            device: where this one computes.
            conduct: how it is carried out; of it, `threads` (1 or more), the states and LPIPS.

        Raises:
            UserError: the job cannot be done so, or is not the one that the directory's run was begun with.
        """
        check_settings(job)
        self.job, self.run_dir, self.rank, self.world_size, self.device = (
            job,
            run_dir,
            rank,
            world_size,
            device,
        )
        self.conduct = conduct
        torch.manual_seed(number("weights", job.seed) % 2**63)
        network = build_for_training(describe(job.preset, job.color_space, job.reparameterize))
        lpips_weights = Path(conduct.lpips_weights) if conduct.lpips_weights else None
        self.engine = TrainingEngine(network, job, world_size, device, lpips_weights)
        training, validation = (
            open_split(run_dir / job.selection, name, job.selection_hash) for name in ("train", "validation")
        )
        self.plan = plan_run(job, training.samples * job.patches_per_image)
        self.standing, self.best, lanes = Standing(), dict[str, Tensor](), None
        self._trained_before_s, self._began = 0.0, time.monotonic()
        if state := load_newest(run_dir / STATES, self._print):
            lanes = self._restore(state)
        # Micro batches are dealt to ranks like cards: that of number n to rank n modulo ranks.
        self.lanes = range(rank, job.gradient_accumulation_steps, world_size)
        threads = conduct.threads
        self.stream = TrainingStream(
            training,
            job,
            network.scale,
            network.size_multiple,
            self.lanes,
            device,
            threads,
            lanes,
            self.plan.total_steps,
        )
        self.validation = ValidationSet(
            validation,
            job,
            network.scale,
            network.size_multiple,
            VALIDATION_BATCH,
            rank,
            world_size,
            device,
            threads,
        )
        self.monitor = LossWatch(1 + len(self.engine.loss.names), patient=job.precision == "fp16")
        self.telling = Telling(run_dir, self.standing.step, self.standing.history) if rank == 0 else None
        self.pace = Pace(self.standing.step)

    def run(self) -> bool:
        """Train to the end, or until a signal asks to stop.

        Returns:
            Whether the run is over; if not, its state is saved.

        Raises:
            UserError: the loss is not finite, or no epoch gave weights worth keeping.
        """
        self._began = time.monotonic()
        left_s = self.job.max_hours * 3600.0 - self._trained_before_s if self.job.max_hours else math.inf
        every_s, every_steps = self.conduct.save_every_s, self.conduct.save_every_steps
        self.vote = StopVote(self.world_size, self.rank, self.device, every_s, every_steps, left_s)
        self._late = left_s <= 0.0
        try:
            self._tell_the_start()
            if self.standing.unjudged:
                self._close_epoch()
            return self._go_on()
        except _StopAskedError:
            return False

    def _go_on(self) -> bool:
        """Take steps to the end; return whether it was reached."""
        standing = self.standing
        while not self._stopped_by():
            self._step()
            verdict = self.vote.ask(standing.step)
            self._late = verdict.late
            last = self.plan.epoch_end((standing.step - 1) // self.plan.steps_per_epoch)
            standing.unjudged = verdict.late or standing.step == last
            # An epoch's steps are saved before they are judged, which may take longer than they did.
            if standing.unjudged or verdict.stop or verdict.save:
                self._save()
            if verdict.stop:
                return False
            if standing.unjudged:
                self._close_epoch()
        self._end()
        return True

    def _tell_the_start(self) -> None:
        """Say what is to be beaten, and what is not as it was asked for."""
        standing, plan = self.standing, self.plan
        if not standing.bicubic_psnr_db:
            upscale = bicubic(self.engine.network.scale)
            standing.bicubic_psnr_db = mean_psnr_db(upscale, self._images(), self.device)
            self._print(f"bicubic psnr {standing.bicubic_psnr_db:.3f} dB, {plan.total_steps} steps to go")
        if self.engine.not_compiled:
            self._warn({"not_compiled": f"training goes on without compiling: {self.engine.not_compiled}"})

    def _stopped_by(self) -> str:
        """Why the run is over; empty while it is not."""
        standing = self.standing
        if standing.step >= self.plan.total_steps:
            return "limit"
        if self._late:
            return "hours"
        unrewarded = len(standing.history) - standing.best_epoch
        return "patience" if unrewarded >= self.job.patience_epochs else ""

    def _step(self) -> None:
        with self.pace.waiting():
            batches = [next(self.stream) for _ in self.lanes]
        rate = learning_rate_at(self.job, self.standing.step, self.plan.total_steps)
        plotted = (self.standing.step + 1) % PLOT_EVERY_STEPS == 0
        losses = self.engine.step(batches, rate, measure=plotted)
        self.standing.step += 1
        self.monitor.add(self.standing.step, losses, batches)
        if self.telling:
            self._tell_progress()
            if plotted:
                figures = {
                    "step/loss": float(losses[0]),
                    "step/learning_rate": rate,
                    "step/gradient_norm": self.engine.gradient_norm,
                }
                self.telling.step(self.standing.step, figures)

    def _tell_progress(self, at_once: bool = False) -> None:
        standing = self.standing
        epoch = min(len(standing.history) + 1, self.plan.epochs)
        note = f"epoch {epoch}/{self.plan.epochs} loss {self.monitor.latest:.4f}"
        if standing.history:
            note += f" psnr {in_db(standing.history[-1]['psnr_db'])}"
        if standing.warnings:
            note += f" ({standing.warnings[-1]['text']})"
        self.telling.progress(standing.step, self.plan.total_steps, note, at_once)

    def _close_epoch(self) -> None:
        """Judge the weights, keep them if they are the best, write the epoch down, and save."""
        standing = self.standing
        rates = self.pace.rates(
            standing.step, self.job.micro_batch_size * self.job.gradient_accumulation_steps
        )
        psnr, loss = judge(self.engine.judged, self.engine.whole_loss, self._images(), self.device)
        if standing.take_best(psnr, loss, self.job.monitor):
            self.best = self.engine.kept_weights()
            self._write_best()
        mean, *terms = standing.take_losses()
        rate = learning_rate_at(self.job, standing.step - 1, self.plan.total_steps)
        standing.close_epoch(mean, dict(zip(self.engine.loss.names, terms, strict=True)), psnr, loss, rate)
        epoch = len(standing.history)
        loss_text = f"{mean:.5f}" if mean is not None else "not finite"
        self._print(f"epoch {epoch} step {standing.step} loss {loss_text} psnr {in_db(psnr)} {rates}")
        if self.telling:
            self.telling.epoch(standing.history, rates)
            self._show_images(epoch)
        self._warn(oddities(standing.history, self.job.patience_epochs))
        self._save()
        self.pace = Pace(standing.step)

    def _images(self) -> Iterator[Batch]:
        """The validation images, until a signal asks to stop: all that would be lost is saved."""
        for batch in self.validation:
            if self.vote.asked_to_stop:
                raise _StopAskedError
            yield batch

    def _warn(self, found: dict[str, str]) -> None:
        """Note what is odd, and say it the first time."""
        for kind, text in found.items():
            if self.standing.warn(kind, text):
                self._print(f"warning at step {self.standing.step}: {text}")

    def _print(self, text: str) -> None:
        if self.rank == 0:
            print(text, flush=True)

    def _collect_losses(self) -> None:
        """Add the losses that only this rank knows to the running epoch's sums."""
        sums, steps = self.monitor.collect()
        *sums, steps = sum_over_ranks([*sums, steps], self.device)
        self.standing.add_losses(sums, steps)
        if self.job.precision == "fp16":
            self.standing.skipped_steps = self.standing.step - self.engine.applied_steps()

    def _show_images(self, epoch: int) -> None:
        if epoch > 1 and epoch % max(1, self.plan.epochs // IMAGE_TIMES):
            return
        shown = self.validation.first
        with torch.inference_mode():
            self.telling.images(
                self.standing.step, shown.lr_image, self.engine.judged(shown.lr_image), shown.hr_image
            )

    def _save(self) -> None:
        """Write the state of all ranks.

        Raises:
            StepError: a loss up to here was not finite, or the weights are not: then the state before stays the newest.
        """
        self._collect_losses()
        if not self.engine.is_finite():
            where = f"the weights after step {self.standing.step}"
            remedy = "train with a lower learning rate, or with fp32; the run goes on from the state before"
            raise StepError(self.standing.step, "finite numbers", "others", where, remedy)
        gathered = gather(self.stream, self.rank, self.world_size, self.device)
        if self.rank == 0:
            tensors, scaler = self.engine.state()
            tensors |= {f"best.{name}": weight for name, weight in self.best.items()} | gathered
            plain = {
                "job": to_plain(self.job),
                "standing": vars(self.standing),
                "scaler": scaler,
                "clock": {"trained_s": self._trained_s()},
            }
            state = TrainingState(self.standing.step, tensors, plain)
            # A state that is not judged yet is to be written again.
            kept = self.conduct.save_total_limit + self.standing.unjudged
            save_state(self.run_dir / STATES, state, kept, self.standing.best_step)
        self.vote.saved()

    def _trained_s(self) -> float:
        """Seconds of training so far, those of the run's earlier pieces included."""
        return self._trained_before_s + time.monotonic() - self._began

    def _restore(self, state: TrainingState) -> dict[int, bytes]:
        """Take up a state; return the position of every lane."""
        changes = changes_of(state.plain["job"], to_plain(self.job), state.step, str(self.run_dir))
        self.standing = Standing(**state.plain["standing"])
        self._trained_before_s = state.plain["clock"]["trained_s"]
        self.standing.changes += changes
        tensors = state.tensors
        self.engine.restore(tensors, state.plain["scaler"])
        restore_random(tensors, self.rank, self.device)
        self.best = {
            name.removeprefix("best."): value for name, value in tensors.items() if name.startswith("best.")
        }
        if self.best:
            self._write_best()
        self._print(" ".join(map(str, [f"taken up at step {state.step}", *changes])))
        return lanes_of(tensors)

    def _write_best(self) -> None:
        if self.rank == 0:
            write_bytes(self.run_dir / BEST_WEIGHTS, self._best_file())

    def _best_file(self) -> bytes:
        return weights_file(self.best, self.engine.network.description)

    def _end(self) -> None:
        """Write training.json: the run is over.

        Raises:
            UserError: no epoch gave weights worth keeping.
        """
        record = self.standing.record(self.job, self._stopped_by(), sha256_bytes(self._best_file()))
        if self.telling:
            self._tell_progress(at_once=True)
            self.telling.close(self.standing.history)
            write_json(self.run_dir / CLOCK, {"trained_s": round(self._trained_s(), 3)})
            write_json(self.run_dir / RECORD, record)
