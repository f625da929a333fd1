"""Says what a run is going to do before it does it: devices, batch, steps, precision, memory, disk and, soon, hours."""

import time
from pathlib import Path

import torch

from sr.distributed.ranks import Rank
from sr.pairs.crop_cache import CropCache
from sr.pairs.settings import patch_px_at, patch_sizes_px
from sr.training.engine import TrainingEngine
from sr.training.job import TrainingJob
from sr.training.schedule import Plan

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


def describe_run(
    engine: TrainingEngine, rank: Rank, plan: Plan, step: int, caches: tuple[CropCache, CropCache], kept: int
) -> list[str]:
    """Return the plan as sentences.

    Args:
        engine, rank: in training.
        plan: its length.
        step: steps that earlier sessions have made.
        caches: the crops of the training and the validation split.
        kept: number of latest checkpoints that are kept.
    """
    job, (training, validation) = engine.job, caches
    weights = sum(weight.numel() for weight in engine.network.core.parameters())
    sides = ", then ".join(f"{side_px} px" for side_px in patch_sizes_px(job))
    micro_batches = job.batch_size // rank.world_size // engine.micro_batch_size
    compiled = "not compiled" if engine.not_compiled or not job.compile else "compiled"
    state_bytes = weights * 4 * (4 if job.ema_decay else 3) + weights * 4
    device, done = f"CPU with {torch.get_num_threads()} threads", f", {step:,} of them done" if step else ""
    if rank.device.type == "cuda":
        device = torch.cuda.get_device_name(rank.device)
    return [
        f"{job.preset} ({weights:,} weights in training) trains on {rank.world_size} x {device}, in "
        f"{_PRECISIONS[job.precision]}, {compiled}.",
        f"Each step takes {job.batch_size} pairs ({sides}): {micro_batches} x {engine.micro_batch_size} on each of "
        f"{rank.world_size} device{'s'[: rank.world_size - 1]}.",
        f"{plan.total_steps:,} steps at most{done}: {plan.epochs:,} epochs of {plan.steps_per_epoch:,}, each "
        f"validated on {validation.crops:,} crops.",
        f"The {training.crops:,} training crops are {training.describe()}.",
        f"Checkpoints take about {state_bytes / 1e6:,.0f} MB each; up to {kept + 1} are kept.",
    ]


class Announcements:
    """Writes the plan to a file of the run, which the launching process passes on."""

    def __init__(self, path: Path, job: TrainingJob, first_step: int, total_steps: int) -> None:
        """Begin a session after `first_step` of `total_steps` steps."""
        self._path, self._job = path, job
        self._first_step, self._total_steps = first_step, total_steps
        self._started = 0.0

    def add(self, lines: list[str]) -> None:
        """Write lines."""
        self._path.parent.mkdir(exist_ok=True)
        with open(self._path, "a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def estimate_hours(self, step: int) -> None:
        """Write how long the run will take, once enough of its `step` steps are of this session."""
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
