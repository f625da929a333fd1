"""Measures the trainer's steps per second against a bare PyTorch loop of the same network.

    PYTHONPATH=tests/support python tests/bench/train.py [--rounds 9] [--steps 20] [--preset realtime-x2]

The job is that of luigi.demo.cfg, in each of CASES. Three ways of training are measured:

    bare    the loop that anybody would write: the network, L1, autocast, AdamW, clipping and EMA, on batches in memory,
            in a process with PyTorch's own settings
    memory  the trainer on batches in memory; its difference from "bare" is the trainer's own cost
    whole   the complete trainer: crops from shards, decoded once, DeepSpeed, checks of the losses, progress,
            TensorBoard; its difference from "memory" is cutting and augmenting, which on a CPU takes the same cores

Each runs in its own process; they take turns, and the table has medians over the rounds. Ratios are medians of the
ratios within a round. The crops are decoded before, in a time that is printed. The exit code is 1 if one of
MIN_SHARES is missed.
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

from data.cpu_count import usable_cores
from sr.distributed.network import find_free_port
from sr.training.job import RunOptions, TrainingJob

CROPS, SIDE_PX = 96, 512
IN_MEMORY = 8
"""Number of batches that the loops on memory cycle through."""
WAYS = ("bare", "memory", "whole")
WARM_UP_STEPS = 10
MIN_SHARES = {"memory": {"fp32": 0.95, "bf16": 0.95}, "whole": {"fp32": 0.85, "bf16": 0.75}}
"""Required shares of the speed of "bare" by precision, in the median of the cases."""
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
            # Like a rank.
            environment |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": str(usable_cores())}
            environment |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
            environment |= {"MASTER_PORT": str(find_free_port())}
        command = [sys.executable, __file__, "--worker", way, str(root), settings]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True)
        self.steps(WARM_UP_STEPS)

    def steps(self, count: int) -> dict[str, float]:
        """Take `count` steps; return wall_s, cpu_s, wait_s and decode_s."""
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
    run_dir = root / f"{way}-{job.precision}-{job.ema_decay}"
    run_dir.mkdir()
    trainer, decode_s = None, 0.0
    if way == "bare":
        step = bare_step(job, [make_batch(root, job, number) for number in range(IN_MEMORY)])
    else:
        from sr.distributed.ranks import start_ranks
        from sr.training.trainer import Trainer

        trainer = Trainer(job, run_dir, start_ranks(), RunOptions(num_workers=usable_cores()))
        began = time.perf_counter()
        trainer.batches.cache.load(np.arange(CROPS))
        decode_s = time.perf_counter() - began
        if way == "memory":
            batches = [trainer.batches.get(number) for number in range(IN_MEMORY)]
            trainer.batches.get = lambda number: batches[number % IN_MEMORY]
        step = trainer._step
    for line in sys.stdin:
        waited = trainer.pace.waited_s if trainer else 0.0
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        figures = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        figures |= {"decode_s": decode_s, "wait_s": trainer.pace.waited_s - waited if trainer else 0.0}
        print(json.dumps(figures), flush=True)


def make_batch(root: Path, job: TrainingJob, step: int):
    """Return the batch of a step."""
    import torch

    from data.selection import open_split
    from sr.distributed.ranks import Rank
    from sr.pairs.batches import PairMaker, TrainingBatches
    from sr.pairs.crop_cache import open_cache
    from sr.pairs.crop_reader import CropReader

    split = open_split(root / "selection" / "selection.json", "train", job.selection_hash)
    cache = open_cache(CropReader(split, "opencv", 1), "off", root, Rank(0, 1, torch.device("cpu")))
    return TrainingBatches(cache, job, PairMaker(job, 2, torch.device("cpu"), 1), slice(None), 0).make(step)


def measure(root: Path, job: TrainingJob, rounds: int, steps: int) -> dict[str, float]:
    """Run the ways in turn and print a row; return the shares of the speed of the bare loop."""
    workers = {way: Worker(way, root, job) for way in WAYS}
    taken = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS if number % 2 else reversed(WAYS):
            taken[way].append(workers[way].steps(steps))
    for worker in workers.values():
        worker.close()
    rates = {way: [steps / one["wall_s"] for one in taken[way]] for way in WAYS}
    cells = [f"{statistics.median(rates[way]):.2f}" for way in WAYS]
    shares = {}
    for way in ("memory", "whole"):
        found = [one / other for one, other in zip(rates[way], rates["bare"], strict=True)]
        shares[way] = statistics.median(found)
        cells += [f"{shares[way]:.3f} ({min(found):.2f} to {max(found):.2f})"]
    making = statistics.median(one["wait_s"] / one["wall_s"] for one in taken["whole"])
    cells += [f"{making:.1%}", f"{taken['whole'][0]['decode_s']:.2f}"]
    ema = "on" if job.ema_decay else "off"
    print("| " + " | ".join([job.preset, job.precision, ema, *cells]) + " |", flush=True)
    return shares


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20, help="steps of each way in a round")
    parser.add_argument("--preset", help="train another preset than the demo's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_selection(root, (CROPS,), (4,), SIDE_PX, photograph)
        job = demo_job()
        job = dataclasses.replace(job, preset=options.preset or job.preset)
        print(
            f"{usable_cores()} cores, {job.batch_size} patches of {job.patch_px} px a step, {CROPS} crops.\n"
        )
        print(
            "| network | precision | EMA | steps/s: bare loop | trainer, batches in memory | trainer |",
            end="",
        )
        print(" in memory / bare | trainer / bare | time making pairs | s to decode the crops |")
        print("|" + "---|" * 10, flush=True)
        shares = {way: {precision: [] for precision, _ in CASES} for way in MIN_SHARES}
        for precision, ema_decay in CASES:
            case = dataclasses.replace(job, precision=precision, ema_decay=ema_decay)
            for way, share in measure(root, case, options.rounds, options.steps).items():
                shares[way][precision].append(share)
    missed = 0
    for way, least in MIN_SHARES.items():
        for precision, found in shares[way].items():
            share = statistics.median(found)
            missed += share < least[precision]
            print(f"{way} / bare in {precision}: {share:.3f} by the median (at least {least[precision]})")
    return int(missed > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], Path(sys.argv[3]), TrainingJob(**json.loads(sys.argv[4])))
    else:
        sys.exit(main())
