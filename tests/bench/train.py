"""Measures the trainer's steps per second against a bare PyTorch loop of the same network.

    PYTHONPATH=tests/support python tests/bench/train.py [--rounds 9] [--steps 20] [--preset realtime-x2]

The job is that of luigi.demo.cfg, in each of CASES. Four ways of training are measured:

    bare    the loop that anybody would write: the network, L1, autocast, AdamW and clipping, on batches in memory,
            in a process with PyTorch's own settings
    alike   the same loop with the launcher's settings: idle threads soon sleep, which slows a loop that has the cores
            to itself, and helps if decoders need them
    memory  the trainer on batches in memory; its difference from "alike" is the trainer's own cost
    whole   the complete trainer: DALI, DeepSpeed, checks of the losses, progress, TensorBoard; its difference from
            "memory" is decoding, which on a CPU takes the same cores

Each runs in its own process; they take turns, and the table has medians over the rounds. Ratios are medians of the
ratios within a round. The exit code is 1 if MIN_SHARE or MAX_WAITING is missed.
"""

import argparse
import configparser
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from selections import SELECTION_HASH, write_selection

from sr.training.job import RunOptions, TrainingJob
from sr.training.launch import _environment, _free_port

CROPS, SIDE_PX = 96, 512
IN_MEMORY = 8
"""Number of batches that the loops on memory cycle through."""
WAYS = ("bare", "alike", "memory", "whole")
WARM_UP_STEPS = 10
MIN_SHARE, MAX_WAITING = 0.95, 0.02
"""Required share of the speed of "alike", for "memory", in the median of the cases; permitted waiting in any case."""
CASES = (("fp32", 0.0), ("fp32", 0.999), ("bf16", 0.0), ("bf16", 0.999))


def demo_job() -> TrainingJob:
    """Return the job of luigi.demo.cfg."""
    demo = configparser.ConfigParser()
    demo.read(Path(__file__).parents[2] / "luigi.demo.cfg")
    kinds = {field.name: type(field.default) for field in dataclasses.fields(TrainingJob)}
    settings = {name: kinds[name](value) for name, value in demo["training"].items()}
    return TrainingJob(demo["model"]["preset"], "../selection/selection.json", SELECTION_HASH, **settings)


def photograph(key: str, side_px: int) -> np.ndarray:
    """Cut a square from a photograph of scikit-image, mirrored at the edges if it is too small."""
    import skimage

    names = ("astronaut", "coffee", "chelsea", "hubble_deep_field", "retina", "rocket")
    _, shard, number = key.split("-")
    stream = np.random.default_rng(int(number) + 1000 * int(shard))
    image = getattr(skimage.data, names[int(number) % len(names)])()
    spare = [max(0, side_px - length) for length in image.shape[:2]]
    image = np.pad(image, ((0, spare[0]), (0, spare[1]), (0, 0)), mode="symmetric")
    top, left = (int(stream.integers(length - side_px + 1)) for length in image.shape[:2])
    return np.ascontiguousarray(image[top : top + side_px, left : left + side_px])


class Worker:
    """A process that takes steps in one of the ways on request."""

    def __init__(self, way: str, root: Path, job: TrainingJob) -> None:
        settings = json.dumps(dataclasses.asdict(job))
        environment = dict(os.environ)
        if way != "bare":
            # Like the launcher.
            environment = _environment(False, len(os.sched_getaffinity(0)))
            environment |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
            environment |= {"MASTER_PORT": str(_free_port())}
        command = [sys.executable, __file__, "--worker", way, str(root), settings]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True)
        self.steps(WARM_UP_STEPS)

    def steps(self, count: int) -> dict[str, float]:
        """Take `count` steps; return wall_s, wait_s and decode_cpu_s."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline()).startswith("{"):
            if not line:
                raise RuntimeError(f"The process {self.process.args[3]} ended without a measurement.")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def bare_step(job: TrainingJob, batches: list):
    """Return a function that takes a step of the bare loop."""
    import torch

    from sr.models.presets import describe
    from sr.models.registry import build_for_training

    torch.manual_seed(0)
    network = build_for_training(describe(job.preset, job.color_space, job.reparameterize))
    network = network.to(memory_format=torch.channels_last)
    decays = {"betas": (job.beta1, job.beta2), "weight_decay": job.weight_decay}
    optimizer = torch.optim.AdamW(network.parameters(), lr=job.learning_rate, fused=True, **decays)
    ema = [weight.detach().clone() for weight in network.parameters()] if job.ema_decay else []
    endless = itertools.cycle(batches)

    def step() -> float:
        batch = next(endless)
        with torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bf16"):
            prediction = network.predict(batch.lr_image)
            loss = torch.nn.functional.l1_loss(prediction, network.normalize(batch.hr_image))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), job.max_grad_norm)
        optimizer.step()
        if ema:
            weights = [weight.detach() for weight in network.parameters()]
            torch._foreach_lerp_(ema, weights, 1.0 - job.ema_decay)
        return loss.item()

    return step


def work(way: str, root: Path, job: TrainingJob) -> None:
    """Read numbers of steps from standard input, take them, and print the time that they took."""
    import torch

    from data.selection import open_split
    from sr.training.loader import TrainingStream

    run_dir = root / f"{way}-{job.precision}-{job.ema_decay}"
    run_dir.mkdir()
    split = open_split(run_dir / job.selection, "train", job.selection_hash)
    trainer = None
    if way != "whole":
        stream = TrainingStream(split, job, 2, 2, [0], torch.device("cpu"), 2)
        batches = list(itertools.islice(stream, IN_MEMORY))
        del stream
    if way in ("bare", "alike"):
        step = bare_step(job, batches)
    else:
        from sr.training.engine import start_ranks
        from sr.training.trainer import Trainer

        start_ranks()
        trainer = Trainer(job, run_dir, 0, 1, torch.device("cpu"), RunOptions(num_workers=2))
        if way == "memory":
            trainer.stream = itertools.cycle(batches)
        step = trainer._step
    for line in sys.stdin:
        waited = trainer.pace.waited_s if trainer else 0.0
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        figures = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        figures["wait_s"] = trainer.pace.waited_s - waited if trainer else 0.0
        print(json.dumps(figures), flush=True)


def decoding_alone(root: Path, job: TrainingJob, steps: int) -> tuple[float, float]:
    """Measure the loader alone: return batches per second, and CPU ms per batch."""
    import torch

    from data.selection import open_split
    from sr.training.loader import TrainingStream

    split = open_split(root / "selection" / "selection.json", "train", job.selection_hash)
    stream = TrainingStream(split, job, 2, 2, [0], torch.device("cpu"), len(os.sched_getaffinity(0)))
    for _ in range(WARM_UP_STEPS):
        next(stream)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        next(stream)
    return steps / (time.perf_counter() - began), 1000.0 * (time.process_time() - cpu) / steps


def measure(root: Path, job: TrainingJob, rounds: int, steps: int, decode_ms: float) -> tuple[float, float]:
    """Run the four ways in turn and print a row; return memory / alike, and the share of time spent waiting."""
    workers = {way: Worker(way, root, job) for way in WAYS}
    taken = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS if number % 2 else reversed(WAYS):
            taken[way].append(workers[way].steps(steps))
    for worker in workers.values():
        worker.close()
    rates = {way: [steps / one["wall_s"] for one in taken[way]] for way in WAYS}

    def ratios(way: str, reference: str) -> list[float]:
        return [one / other for one, other in zip(rates[way], rates[reference], strict=True)]

    waiting = statistics.median(one["wait_s"] / one["wall_s"] for one in taken["whole"])
    cpu_ms = statistics.median(1000.0 * one["cpu_s"] / steps for one in taken["whole"])
    cells = [f"{statistics.median(rates[way]):.2f}" for way in WAYS]
    for way, reference in (("memory", "alike"), ("memory", "bare"), ("whole", "bare")):
        found = ratios(way, reference)
        cells += [f"{statistics.median(found):.3f} ({min(found):.2f} to {max(found):.2f})"]
    cells += [f"{waiting:.1%}", f"{decode_ms / cpu_ms:.1%}"]
    ema = "on" if job.ema_decay else "off"
    print("| " + " | ".join([job.preset, job.precision, ema, *cells]) + " |", flush=True)
    return statistics.median(ratios("memory", "alike")), waiting


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20, help="steps of each way in a round")
    parser.add_argument("--preset", help="train another preset than the demo's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_selection(root, (CROPS,), (4,), SIDE_PX, photograph)
        job = demo_job()
        job = dataclasses.replace(job, preset=options.preset or job.preset)
        a_second, decode_ms = decoding_alone(root, job, options.rounds * options.steps // 2)
        images = job.micro_batch_size // job.patches_per_image
        print(
            f"{len(os.sched_getaffinity(0))} cores; the loader alone gives {a_second:.1f} batches per second "
            f"({images} images of {SIDE_PX} px decoded, {job.micro_batch_size} patches of {job.patch_px} px), "
            f"{decode_ms:.1f} ms CPU each.\n"
        )
        print(
            "| network | precision | EMA | steps/s: bare loop | alike | trainer, batches in memory | trainer |",
            end="",
        )
        print(" memory / alike | memory / bare | trainer / bare | waiting | decoding's share of CPU time |")
        print("|" + "---|" * 12, flush=True)
        found = [
            measure(
                root,
                dataclasses.replace(job, precision=precision, ema_decay=ema_decay),
                options.rounds,
                options.steps,
                decode_ms,
            )
            for precision, ema_decay in CASES
        ]
    share, waiting = statistics.median(one for one, _ in found), max(one for _, one in found)
    print(f"\nmemory / alike {share:.3f} by the median (at least {MIN_SHARE}), ", end="")
    print(f"at most {waiting:.1%} waiting (at most {MAX_WAITING:.0%})")
    return int(share < MIN_SHARE or waiting > MAX_WAITING)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], Path(sys.argv[3]), TrainingJob(**json.loads(sys.argv[4])))
    else:
        sys.exit(main())
