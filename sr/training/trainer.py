"""A training run from its first step to its last: learning, validation, early stopping, and saved states.

All ranks walk through it together. It reads the job and the state of its directory, and nothing else decides
what it does: no clock has a part in the weights.
"""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from data.digests import number, sha256_bytes
from data.files import write_bytes, write_json
from data.plain import to_plain
from data.records import TrainingJob
from sr.models.registry import build
from sr.selection import open_split
from sr.training.engine import TrainingEngine, sum_over_ranks
from sr.training.history import Telling
from sr.training.loader import TrainingStream, ValidationSet
from sr.training.run_files import BEST_WEIGHTS, RECORD, STATES
from sr.training.schedule import learning_rate_at, plan_run
from sr.training.states import TrainingState, changes_of, load_newest, save_state
from sr.training.validation import bicubic, mean_psnr_db
from sr.training.watch import LossWatch, StopVote

VALIDATION_BATCH = 4
PICTURE_TIMES = 10
"""How often in a whole run the fixed pictures are shown, about; after the first epoch always."""


@dataclasses.dataclass
class Standing:
    """Where a run stands, apart from its tensors: plain data, saved with every state."""

    step: int = 0
    bicubic_psnr_db: float = 0.0
    best_psnr_db: float = -math.inf
    best_epoch: int = 0
    """0: none yet."""
    loss_sum: float = 0.0
    """Of the steps of the running epoch, over all ranks."""
    loss_steps: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One line for each epoch that is over."""
    changes: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Settings that were changed on the way."""

    def to_plain(self) -> dict[str, Any]:
        """JSON data: an infinite best is left out."""
        plain = dataclasses.asdict(self)
        return plain if math.isfinite(self.best_psnr_db) else plain | {"best_psnr_db": None}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> "Standing":
        """Build it again."""
        best = plain["best_psnr_db"]
        return Standing(**plain | {"best_psnr_db": -math.inf if best is None else best})


class Trainer:
    """One rank's part in a run."""

    def __init__(
        self,
        job: TrainingJob,
        run_dir: Path,
        rank: int,
        ranks: int,
        device: torch.device,
        threads: int,
        save_every_s: float,
    ) -> None:
        """Open everything, at the newest state where there is one.

        Args:
            job: what to do.
            run_dir: where `job.selection` is relative to, and everything goes.
            rank: this process, 0 to `ranks` - 1.
            ranks: number of processes.
            device: where this one computes.
            threads: CPU threads for decoding.
            save_every_s: seconds between states within an epoch.

        Raises:
            UserError: the job cannot be done so, or is not the one that the directory's run was begun with.
        """
        self.job, self.run_dir, self.rank, self.ranks, self.device = job, run_dir, rank, ranks, device
        torch.manual_seed(number("weights", job.seed) % 2**63)
        network = build(job.preset)
        self.engine = TrainingEngine(network, job, ranks, device)
        training, validation = (
            open_split(run_dir / job.selection, name, job.selection_hash) for name in ("train", "validation")
        )
        self.plan = plan_run(job, training.samples * job.patches_per_picture)
        self.standing, self.best, lanes = Standing(), dict[str, Tensor](), None
        if state := load_newest(run_dir / STATES):
            lanes = self._restore(state)
        # Micro batches are dealt to ranks like cards: that of number n to rank n modulo ranks.
        self.lanes = range(rank, job.accumulation, ranks)
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
            ranks,
            device,
            threads,
        )
        self.vote = StopVote(ranks, rank, device, save_every_s)
        self.watch = LossWatch(patient=job.precision == "fp16")
        self.telling = Telling(run_dir, self.standing.step, self.standing.history) if rank == 0 else None
        self._waited_s, self._since = 0.0, (time.perf_counter(), self.standing.step)

    def run(self) -> bool:
        """Train to the end, or until a signal asks to stop.

        Returns:
            Whether the run is over; if not, its state is saved.

        Raises:
            UserError: the loss is not finite.
        """
        if not self.standing.bicubic_psnr_db:
            scale = self.engine.network.scale
            self.standing.bicubic_psnr_db = mean_psnr_db(bicubic(scale), self.validation, self.device)
            print(
                f"bicubic psnr {self.standing.bicubic_psnr_db:.3f} dB, {self.plan.total_steps} steps to go",
                flush=True,
            )
        while not self._stopped_by():
            self._step()
            step = self.standing.step
            ended = step == self.plan.epoch_end((step - 1) // self.plan.steps_per_epoch)
            if ended:
                self._close_epoch()
            stop, due = self.vote.ask(step)
            if ended or stop or due:
                self._save()
            if stop:
                return False
        if self.telling:
            self._tell_progress(at_once=True)
            self.telling.close()
            self._write_record()
        return True

    def _stopped_by(self) -> str:
        """Why the run is over; empty while it is not."""
        standing = self.standing
        if standing.step >= self.plan.total_steps:
            return "limit"
        unrewarded = len(standing.history) - standing.best_epoch
        return "patience" if standing.best_epoch and unrewarded >= self.job.patience_epochs else ""

    def _step(self) -> None:
        waiting = time.perf_counter()
        batches = [next(self.stream) for _ in self.lanes]
        self._waited_s += time.perf_counter() - waiting
        rate = learning_rate_at(self.job, self.standing.step, self.plan.total_steps)
        loss = self.engine.step(batches, rate)
        self.standing.step += 1
        self.watch.add(self.standing.step, loss, batches)
        if self.telling:
            self._tell_progress()

    def _tell_progress(self, at_once: bool = False) -> None:
        standing = self.standing
        epoch = min(len(standing.history) + 1, self.plan.epochs)
        note = f"epoch {epoch}/{self.plan.epochs} loss {self.watch.latest:.4f}"
        if standing.history:
            note += f" psnr {standing.history[-1]['psnr_db']:.2f} dB"
        self.telling.progress(standing.step, self.plan.total_steps, note, at_once)

    def _close_epoch(self) -> None:
        """Judge the weights, keep them if they are the best, and write the epoch down."""
        self._collect_losses()
        standing, rates = self.standing, self._rates()
        psnr = mean_psnr_db(self.engine.judged, self.validation, self.device)
        epoch = len(standing.history) + 1
        if psnr > standing.best_psnr_db:
            standing.best_psnr_db, standing.best_epoch = psnr, epoch
            self.best = self.engine.kept_weights()
            self._write_best()
        line = {
            "epoch": epoch,
            "step": standing.step,
            # Rounded, since where the sum was interrupted must not show in its last digits.
            "loss": round(standing.loss_sum / standing.loss_steps, 9),
            "psnr_db": psnr,
            "bicubic_psnr_db": standing.bicubic_psnr_db,
            "best": standing.best_epoch == epoch,
            "learning_rate": learning_rate_at(self.job, standing.step - 1, self.plan.total_steps),
        }
        standing.loss_sum, standing.loss_steps = 0.0, 0
        standing.history.append(line)
        if self.telling:
            self.telling.epoch(standing.history, rates)
            print(
                f"epoch {epoch} step {standing.step} loss {line['loss']:.5f} psnr {psnr:.3f} dB {rates}",
                flush=True,
            )
            self._show_pictures(epoch)
        self._since = (time.perf_counter(), standing.step)
        self._waited_s = 0.0

    def _collect_losses(self) -> None:
        """Add the losses that only this rank knows to the running epoch's sum."""
        total, steps = self.watch.collect()
        self.standing.loss_sum += sum_over_ranks([total], self.device)[0] / self.ranks
        self.standing.loss_steps += steps

    def _rates(self) -> dict[str, float]:
        """Speed and waiting since the last epoch ended: of this rank, and of its clock."""
        began, step = self._since
        seconds = max(time.perf_counter() - began, 1e-9)
        pictures = (self.standing.step - step) * self.job.micro_batch * self.job.accumulation
        return {"speed/pairs_per_s": pictures / seconds, "speed/data_wait_share": self._waited_s / seconds}

    def _show_pictures(self, epoch: int) -> None:
        if epoch > 1 and epoch % max(1, self.plan.epochs // PICTURE_TIMES):
            return
        shown = self.validation.first
        with torch.inference_mode():
            self.telling.pictures(self.standing.step, shown.low, self.engine.judged(shown.low), shown.high)

    def _save(self) -> None:
        """Write the state of all ranks. The loss must be finite up to here."""
        self._collect_losses()
        own = {f"lane.{lane}": _bytes_tensor(state) for lane, state in self.stream.states().items()}
        own[f"random.cpu.{self.rank}"] = torch.get_rng_state()
        if self.device.type == "cuda":
            own[f"random.cuda.{self.rank}"] = torch.cuda.get_rng_state(self.device)
        gathered: list[dict[str, Tensor]] = [{} for _ in range(self.ranks)]
        torch.distributed.all_gather_object(gathered, own)
        if self.rank == 0:
            tensors, scaler = self.engine.state()
            tensors |= {f"best.{name}": weight for name, weight in self.best.items()}
            for of_rank in gathered:
                tensors |= of_rank
            plain = {"job": to_plain(self.job), "standing": self.standing.to_plain(), "scaler": scaler}
            save_state(self.run_dir / STATES, TrainingState(self.standing.step, tensors, plain))
        self.vote.saved()

    def _restore(self, state: TrainingState) -> dict[int, bytes]:
        """Take up a state; return the position of every lane."""
        changes = changes_of(state.plain["job"], to_plain(self.job), state.step, str(self.run_dir))
        self.standing = Standing.from_plain(state.plain["standing"])
        self.standing.changes += changes
        tensors = state.tensors
        self.engine.restore(tensors, state.plain["scaler"])
        for kind, put in (("cpu", torch.set_rng_state), ("cuda", torch.cuda.set_rng_state)):
            if (own := tensors.get(f"random.{kind}.{self.rank}")) is not None and kind in (
                "cpu",
                self.device.type,
            ):
                put(own)
        self.best = {
            name.removeprefix("best."): value for name, value in tensors.items() if name.startswith("best.")
        }
        if self.best:
            self._write_best()
        print(f"taken up at step {state.step}", *changes, flush=True)
        lanes = (name for name in tensors if name.startswith("lane."))
        return {int(name.removeprefix("lane.")): bytes(tensors[name].numpy()) for name in lanes}

    def _write_best(self) -> None:
        if self.rank == 0:
            write_bytes(self.run_dir / BEST_WEIGHTS, save(self.best))

    def _write_record(self) -> None:
        """training.json: the run is over."""
        standing = self.standing
        write_json(
            self.run_dir / RECORD,
            {
                "schema": 1,
                "preset": self.job.preset,
                "steps": standing.step,
                "epochs": len(standing.history),
                "best_epoch": standing.best_epoch,
                "best_psnr_db": standing.best_psnr_db,
                "bicubic_psnr_db": standing.bicubic_psnr_db,
                "stopped_by": self._stopped_by(),
                "changes": standing.changes,
                "weights_sha256": sha256_bytes(save(self.best)),
            },
        )


def _bytes_tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
