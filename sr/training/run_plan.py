"""Says what a run is going to do before it does it: devices, batch, steps, precision, memory, disk and, soon, hours."""

import dataclasses
import time
from pathlib import Path

import torch

from sr.distributed.ranks import Rank
from sr.training.crop_cache import CropCache
from sr.training.engine import TrainingEngine
from sr.training.job import TrainingJob
from sr.training.schedule import Plan, patch_px_at, patch_sizes_px

WARM_UP_STEPS, MEASURED_STEPS = 10, 50
"""Steps of a session that are left out of the estimate of its hours, and steps that it is made from."""
STAGE_SAMPLES = 200
"""Places among the steps to come whose patches the estimate looks at."""
_PRECISIONS = {
    "fp32": "fp32, without TF32",
    "tf32": "fp32, with products in TF32 where a GPU has it",
    "bf16": "bf16 with fp32 weights, without TF32",
    "fp16": "fp16 with fp32 weights and a loss scaler, without TF32",
}


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """What `describe` needs to know."""

    job: TrainingJob
    plan: Plan
    step: int
    """Steps that earlier sessions have made."""
    rank: Rank
    engine: TrainingEngine
    training: CropCache
    validation: CropCache
    kept_checkpoints: int

    def describe(self) -> list[str]:
        """Return the plan as sentences."""
        job, rank, engine = self.job, self.rank, self.engine
        weights = sum(weight.numel() for weight in engine.network.core.parameters())
        sides = ", then ".join(f"{side_px} px" for side_px in patch_sizes_px(job))
        micro_batches = job.batch_size // rank.world_size // engine.micro_batch_size
        compiled = "not compiled" if engine.not_compiled or not job.compile else "compiled"
        state_bytes = weights * 4 * (4 if job.ema_decay else 3) + weights * 4
        steps, done = self.plan.total_steps, f", {self.step:,} of them done" if self.step else ""
        return [
            f"{job.preset} ({weights:,} weights in training) trains on {_describe_devices(rank)}, in "
            f"{_PRECISIONS[job.precision]}, {compiled}.",
            f"Each step takes {job.batch_size} pairs ({sides}): {micro_batches} x {engine.micro_batch_size} on each of "
            f"{rank.world_size} device{'s'[: rank.world_size - 1]}.",
            f"{steps:,} steps at most{done}: {self.plan.epochs:,} epochs of {self.plan.steps_per_epoch:,}, each "
            f"validated on {self.validation.crops:,} crops.",
            f"The {self.training.crops:,} training crops are {self.training.describe()}.",
            f"Checkpoints take about {state_bytes / 1e6:,.0f} MB each; up to {self.kept_checkpoints + 1} are kept.",
        ]


def _describe_devices(rank: Rank) -> str:
    if rank.device.type == "cuda":
        name = torch.cuda.get_device_name(rank.device)
        return f"{rank.world_size} x {name}"
    return f"{rank.world_size} x CPU with {torch.get_num_threads()} threads"


class Announcements:
    """Writes the plan to a file of the run, which the launching process passes on."""

    def __init__(self, path: Path, job: TrainingJob, first_step: int, total_steps: int) -> None:
        """Begin a session.

        Args:
            path: the file.
            job: its patches.
            first_step: steps that earlier sessions have made.
            total_steps: steps of the whole run.
        """
        self._path, self._job = path, job
        self._first_step, self._total_steps = first_step, total_steps
        self._started = 0.0

    def add(self, lines: list[str]) -> None:
        """Write lines."""
        self._path.parent.mkdir(exist_ok=True)
        with open(self._path, "a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def estimate_hours(self, step: int) -> None:
        """Write how long the run will take, once enough steps have been made.

        Args:
            step: steps so far.
        """
        made = step - self._first_step
        if made == WARM_UP_STEPS:
            self._started = time.perf_counter()
        elif made == WARM_UP_STEPS + MEASURED_STEPS and step < self._total_steps:
            steps_per_s = MEASURED_STEPS / max(time.perf_counter() - self._started, 1e-9)
            hours = self._cost_of_rest(step) / steps_per_s / 3600.0
            text = f"{hours:,.1f} hours" if hours >= 1.0 else f"{hours * 60.0:,.0f} minutes"
            self.add([f"{steps_per_s:,.1f} steps a second: about {text} to go, validation not counted."])

    def _cost_of_rest(self, step: int) -> float:
        """Return the cost of the steps to come, in steps like the last one: it grows with the pixels of patches."""
        rest = self._total_steps - step
        places = [step + rest * number // STAGE_SAMPLES for number in range(STAGE_SAMPLES)]
        last, *sides = (patch_px_at(self._job, one, self._total_steps) for one in [step - 1, *places])
        return rest * sum((side / last) ** 2 for side in sides) / STAGE_SAMPLES
