"""Measures training on a GPU, setting by setting, within a few minutes; on a machine without one, on the CPU.

    PYTHONPATH=.:tests/support python tests/gpu/check.py [--images DIR…] [--minutes 8] [--out DIR]

It needs torch, numpy, Pillow, OpenCV, safetensors and xxhash, and no network. DeepSpeed is used where it is installed;
its engine is replaced by the same step in plain torch where it is not. DALI is not used: crops are cut from the images
of the folders when it starts, and kept in memory.

For each of CASES it prints

    bare     steps/s of a loop that anybody would write, around the same compiled network, on a batch in memory
    memory   steps/s of our step on that batch
    whole    steps/s and pairs/s of our step on batches that are cut, augmented and copied meanwhile
    waiting  share of the time of "whole" that the program waits for a batch
    syncs    calls in a step that wait for the GPU, as the profiler sees them
    memory   the most memory that tensors took, GB

and, for the fastest setting of each preset, the PSNR after a fixed time. `--out` gets check.json and check.md. Cases
that no time is left for are listed as such. The exit status is 1 if a case failed.
"""

import argparse
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from plain_deepspeed import MISSING

from sr.distributed.ranks import Rank
from sr.models.presets import describe
from sr.models.registry import build_for_training
from sr.pairs.batches import Batch, PairMaker, TrainingBatches, ValidationBatches
from sr.training import graph
from sr.training.engine import TrainingEngine
from sr.training.job import TrainingJob
from sr.training.recipes import apply_recipe
from sr.training.validation import bicubic_psnr_db, validate

WAITING_CALLS = {
    "cudaStreamSynchronize",
    "cudaDeviceSynchronize",
    "cudaEventSynchronize",
    "cudaMemcpy",
    "aten::_local_scalar_dense",
}
"""Names of the profiler's events that wait for a device. On a CPU, only the last one occurs."""
WARM_UP_STEPS, PROFILED_STEPS, CHUNK_STEPS = 5, 10, 10
SPAN = "measured steps"
"""The profiler's name of the steps in which waiting calls are counted."""
VALIDATION_SHARE = 0.1
NO_GRAPHS, GRAPHS = 0, 10**9
"""Largest network that is compiled to CUDA graphs, in weights."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A setting that is measured."""

    preset: str
    precision: str = "bf16"
    compile: bool = False
    graphs: bool = False
    channels_last: bool = True

    @property
    def name(self) -> str:
        """A name for the table."""
        compiled = "graphs" if self.graphs else "compiled" if self.compile else "eager"
        return f"{compiled}{'' if self.channels_last else ', not channels_last'}"


def cases_of(preset: str) -> list[Case]:
    """Return what is measured of a preset, the most important first."""
    fast = [Case(preset, one, True, True) for one in ("bf16", "fp16", "tf32", "fp32")]
    return [
        fast[0],
        Case(preset),
        Case(preset, compile=True),
        Case(preset, channels_last=False),
        *fast[1:],
    ]


CASES = [case for pair in zip(cases_of("realtime-x2"), cases_of("vapsr3x3-x2"), strict=True) for case in pair]


class ImageCrops:
    """Crops of images in memory, in place of shards: what `sr.training.crop_cache.CropCache` is to its users."""

    keeps = True

    def __init__(self, images: list[np.ndarray], side_px: int) -> None:
        """Cut squares from each image, side by side."""
        self.side_px = side_px
        self._crops = [
            np.ascontiguousarray(image[top : top + side_px, left : left + side_px])
            for image in images
            for top in range(0, image.shape[0] - side_px + 1, side_px)
            for left in range(0, image.shape[1] - side_px + 1, side_px)
        ]
        self.crops = len(self._crops)

    def load(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Return crops by number."""
        return [self._crops[number] for number in numbers.tolist()]

    def locate(self, number: int) -> str:
        """Return a name of a crop, for errors."""
        return f"crop {number}"


def load_images(folders: list[Path], side_px: int) -> list[np.ndarray]:
    """Read the images of folders that are large enough for a crop."""
    suffixes = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
    paths = sorted(path for one in folders for path in one.rglob("*") if path.suffix.lower() in suffixes)
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return [image for image in images if min(image.shape[:2]) >= side_px]


@dataclasses.dataclass
class Bench:
    """What all cases share."""

    device: torch.device
    training: ImageCrops
    validation: ImageCrops
    batch_size: int
    patch_px: int
    seconds: float
    """How long each loop is timed."""

    def job(self, case: Case) -> TrainingJob:
        """Return the training of a case, by its preset's recipe."""
        fields: dict[str, Any] = dict.fromkeys(
            ("learning_rate", "weight_decay", "ema_decay", "flip_probability", "rotate_probability")
        )
        fields = apply_recipe(case.preset, fields | {"brightness_probability": None})
        return TrainingJob(
            case.preset,
            "",
            "",
            patch_px=self.patch_px,
            batch_size=self.batch_size,
            precision=case.precision,
            compile=case.compile,
            **fields,
        )

    def wait(self) -> None:
        """Wait for the GPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def rate(self, step: Callable[[int], object]) -> float:
        """Return how many times a second `step` runs; it gets numbers from 0 on."""
        number = 0
        for number in range(WARM_UP_STEPS):
            step(number)
        self.wait()
        began, first = time.perf_counter(), number
        while time.perf_counter() - began < self.seconds:
            for _ in range(CHUNK_STEPS):
                number += 1
                step(number)
            self.wait()
        return (number - first) / (time.perf_counter() - began)


class Run:
    """A case under measurement."""

    def __init__(self, bench: Bench, case: Case) -> None:
        """Build the network, its engine and its batches."""
        self.bench, self.case, self.job = bench, case, bench.job(case)
        torch.manual_seed(0)
        network = build_for_training(describe(case.preset))
        graph.GRAPH_MAX_WEIGHTS = GRAPHS if case.graphs else NO_GRAPHS
        self.rank = Rank(0, 1, bench.device)
        self.engine = TrainingEngine(network, self.job, self.rank, self.job.batch_size)
        if not case.channels_last:
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.network = network
        self.maker = PairMaker(self.job, network.scale, bench.device, 4)
        self.batches = TrainingBatches(bench.training, self.job, self.maker, slice(None), 0)
        self.waited_s = 0.0

    def whole_step(self, number: int) -> None:
        """Take a step as the trainer does."""
        began = time.perf_counter()
        batch = self.batches.get(number)
        self.waited_s += time.perf_counter() - began
        self.engine.step(self._laid_out(batch), number, self.job.learning_rate)

    def _laid_out(self, batch: Batch) -> Batch:
        if self.case.channels_last:
            return batch
        return Batch(batch.lr_image.contiguous(), batch.hr_image.contiguous())

    def bare_loop(self, batch: Batch) -> Callable[[int], object]:
        """Return the step of a plain loop around the same module."""
        module, device = self.engine._engine.module, self.bench.device.type
        weights = [one for one in self.network.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=self.job.learning_rate, fused=True)
        ema = [one.detach().clone() for one in weights]
        dtype = graph.AUTOCAST[self.job.precision]
        scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)

        def step(number: int) -> None:
            with torch.autocast(device, dtype or torch.bfloat16, enabled=dtype is not None):
                loss, _ = module(batch.lr_image, batch.hr_image)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(weights, self.job.max_grad_norm, foreach=True)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            torch._foreach_lerp_(ema, [one.detach() for one in weights], 1.0 - self.job.ema_decay)

        return step

    def measure(self) -> dict[str, Any]:
        """Measure all ways of training; return a row."""
        bench = self.bench
        if bench.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(bench.device)
        batch = self._laid_out(self.batches.get(0))
        memory = bench.rate(lambda number: self.engine.step(batch, number, self.job.learning_rate))
        self.waited_s = 0.0
        began = time.perf_counter()
        whole = bench.rate(self.whole_step)
        waiting = self.waited_s / (time.perf_counter() - began)
        syncs = self.count_syncs()
        gpu = bench.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(bench.device) / 1e9 if gpu else None
        bare = bench.rate(self.bare_loop(batch))
        return {
            "bare_steps_per_s": bare,
            "memory_steps_per_s": memory,
            "steps_per_s": whole,
            "pairs_per_s": whole * self.job.batch_size,
            "memory_to_bare": memory / bare,
            "whole_to_bare": whole / bare,
            "waiting_share": waiting,
            "syncs_per_step": syncs,
            "peak_gb": peak,
            "not_compiled": self.engine.not_compiled,
        }

    def count_syncs(self) -> float:
        """Return how many calls in a step wait for the GPU, by the profiler."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self.bench.device.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self.whole_step(0)
        self.bench.wait()
        with torch.profiler.profile(activities=activities) as profile:
            with torch.profiler.record_function(SPAN):
                for number in range(1, PROFILED_STEPS + 1):
                    self.whole_step(number)
            self.bench.wait()
        # The profiler's own list of events would take seconds to make.
        events = profile.profiler.kineto_results.events()
        (begin_ns, end_ns), *_ = [
            (one.start_ns(), one.start_ns() + one.duration_ns()) for one in events if one.name() == SPAN
        ]
        inside = [
            one for one in events if one.name() in WAITING_CALLS and begin_ns <= one.start_ns() <= end_ns
        ]
        return len(inside) / PROFILED_STEPS

    def train(self, seconds: float) -> dict[str, float]:
        """Train for a time, and return what became of it."""
        began, number = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            for _ in range(CHUNK_STEPS):
                self.whole_step(number)
                number += 1
            self.bench.wait()
        images = ValidationBatches(
            self.bench.validation, self.job.seed, self.maker, self.network.size_multiple, self.rank
        )
        psnr_db, _ = validate(self.engine.evaluated_network, self.engine.total_loss, images, self.rank)
        bicubic_db = bicubic_psnr_db(self.network.scale, images, self.rank)
        return {"steps": number, "seconds": seconds, "psnr_db": psnr_db, "bicubic_psnr_db": bicubic_db}


def free_memory() -> None:
    """Forget compiled code, and give memory back."""
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure_cases(bench: Bench, cases: list[Case], deadline: float) -> Iterator[dict[str, Any]]:
    """Yield the row of each case; those that no time is left for, and those that fail, say so."""
    for case in cases:
        row: dict[str, Any] = {**dataclasses.asdict(case), "name": case.name, "problem": ""}
        if time.monotonic() > deadline:
            yield row | {"problem": "no time left"}
            continue
        try:
            yield row | Run(bench, case).measure()
        except Exception as error:  # a case that fails leaves the others to measure
            yield row | {"problem": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        free_memory()


def train_fastest(bench: Bench, rows: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """Train the fastest setting of each preset for a time."""
    trained = []
    for preset in dict.fromkeys(row["preset"] for row in rows):
        measured = [row for row in rows if row["preset"] == preset and not row["problem"]]
        if measured:
            best = max(measured, key=lambda row: row["steps_per_s"])
            fields = {field.name: best[field.name] for field in dataclasses.fields(Case)}
            run = Run(bench, Case(**fields))
            for number in range(WARM_UP_STEPS):
                run.whole_step(number)
            trained.append({"preset": preset, "name": best["name"], **fields, **run.train(seconds)})
            free_memory()
    return trained


HEADS = "network | precision | setting | bare, steps/s | in memory | whole | pairs/s | memory / bare | whole / bare"
HEADS += " | waiting | syncs a step | GB"


def format_row(row: dict[str, Any]) -> str:
    """Return a row of the table, as Markdown."""
    cells = [row["preset"], row["precision"], row["name"]]
    if row["problem"]:
        return "| " + " | ".join([*cells, row["problem"], *[""] * 8]) + " |"
    rates = (row[name] for name in ("bare_steps_per_s", "memory_steps_per_s", "steps_per_s"))
    cells += [f"{rate:.2f}" for rate in rates] + [f"{row['pairs_per_s']:.0f}"]
    cells += [f"{row[name]:.3f}" for name in ("memory_to_bare", "whole_to_bare")]
    peak = "–" if row["peak_gb"] is None else f"{row['peak_gb']:.2f}"
    cells += [f"{row['waiting_share']:.1%}", f"{row['syncs_per_step']:.1f}", peak]
    if row["not_compiled"]:
        cells[2] += f" (not compiled: {row['not_compiled'][:60]})"
    return "| " + " | ".join(cells) + " |"


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Describe what was measured on."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "gpu": gpu,
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "threads": torch.get_num_threads(),
        "engine": "plain torch" if "deepspeed" in MISSING else "DeepSpeed",
    }


@contextlib.contextmanager
def one_rank() -> Iterator[None]:
    """Join a group of this process alone, which DeepSpeed's engine needs."""
    if "deepspeed" not in MISSING:
        import os
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
        os.environ |= alone | {"MASTER_PORT": str(port)}
        if not torch.cuda.is_available():
            os.environ["DS_ACCELERATOR"] = "cpu"
        from sr.distributed.ranks import start_ranks

        start_ranks()
    yield


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, nargs="+", default=[Path("../shared/images")])
    parser.add_argument("--minutes", type=float, default=8.0, help="no case begins after these")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each timed loop")
    parser.add_argument("--train-seconds", type=float, default=60.0, help="of each training; 0: none")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--patch-px", type=int, default=128)
    parser.add_argument("--crop-px", type=int, default=256)
    parser.add_argument(
        "--only", default="", help="cases of a preset, or one setting of it: realtime-x2:eager"
    )
    parser.add_argument("--out", type=Path, help="folder for check.json and check.md")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure, print and write; return the exit status."""
    options = parse(arguments)
    began = time.monotonic()
    images = load_images(options.images, options.crop_px)
    held_out = max(1, round(len(images) * VALIDATION_SHARE))
    if len(images) < 2:
        print(f"There are no two images of {options.crop_px} px or more in {options.images}.")
        return 1
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    bench = Bench(
        device,
        ImageCrops(images[held_out:], options.crop_px),
        ImageCrops(images[:held_out], options.crop_px),
        options.batch_size,
        options.patch_px,
        options.seconds,
    )
    preset, _, setting = options.only.partition(":")
    chosen = [case for case in CASES if preset in ("", case.preset) and setting in ("", case.name)]
    machine = describe_machine(device)
    lines = [", ".join(f"{name} {value}" for name, value in machine.items() if value), ""]
    lines += [f"| {HEADS} |", "|---" * (HEADS.count("|") + 1) + "|"]
    print("\n".join(lines), flush=True)
    rows = []
    reserved_s = 2 * options.train_seconds
    with one_rank():
        for row in measure_cases(bench, chosen, began + 60.0 * options.minutes - reserved_s):
            rows.append(row)
            lines.append(format_row(row))
            print(lines[-1], flush=True)
        trained = train_fastest(bench, rows, options.train_seconds) if options.train_seconds else []
    for one in trained:
        gain = one["psnr_db"] - one["bicubic_psnr_db"]
        lines.append(
            f"\n{one['preset']}, {one['precision']}, {one['name']}: {one['psnr_db']:.2f} dB after "
            f"{one['seconds']:.0f} s and {one['steps']} steps, {gain:+.2f} over bicubic"
        )
        print(lines[-1], flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        record = {"machine": machine, "options": vars(options), "rows": rows, "trained": trained}
        (options.out / "check.json").write_text(json.dumps(record, indent=1, default=str) + "\n")
        (options.out / "check.md").write_text("\n".join(lines) + "\n")
    return int(any(row["problem"].startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
