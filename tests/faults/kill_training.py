"""Kill a training at random steps, and check that its result equals that of an undisturbed training.

    PYTHONPATH=tests/support python tests/faults/kill_training.py [--steps 100] [--kills 4] [--seed 0]

One run is undisturbed. A second run of the same job is killed with SIGKILL at random steps, also within epochs, and
resumed each time. The victim is in turn the process that started the training, or a rank. After each kill, no process
of the run may be left. At the end, the weights, the history, the record and the last checkpoint must be equal, bit for
bit. It runs on the CPU, in fp32.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from safetensors import safe_open
from selections import SELECTION_HASH, write_selection

from data.atomic_files import read_json, write_json
from data.record_json import from_plain, to_plain
from sr.training.job import RunOptions, TrainingJob
from sr.training.launch import train

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.01
STEPS_PER_EPOCH = 7
LONGEST_WAIT_S = 0.2
"""Longest time from seeing a checkpoint to the kill, so that it falls anywhere within the next steps."""
LAST_STEPS = 40
"""No kill is planned in the last steps of a run: it must still be running."""
EQUAL_FILES = ("best.safetensors", "history.jsonl", "curve.svg", "training.json")


class FaultError(Exception):
    """The training did not survive a kill as it should."""


def job_of(steps: int) -> TrainingJob:
    return TrainingJob(
        "realtime-x2",
        "../selection/selection.json",
        SELECTION_HASH,
        patch_px=64,
        batch_size=16,
        loss="l1:1+frequency:0.1",
        learning_rate=2e-3,
        warmup_steps=5,
        schedule="cosine",
        max_steps=steps,
        steps_per_epoch=STEPS_PER_EPOCH,
        precision="fp32",
        ema_decay=0.9,
    )


def start(run_dir: Path, errors: int | None = None) -> subprocess.Popen:
    """Start the training in its own process: this program with `--train`."""
    command = [sys.executable, __file__, "--train", str(run_dir)]
    return subprocess.Popen(command, start_new_session=True, stderr=errors)


def resume(run_dir: Path) -> None:
    """Train in this process, with a checkpoint after every third step."""
    job = from_plain(TrainingJob, read_json(run_dir / "wanted.json"), str(run_dir))
    train(job, run_dir, options=RunOptions(world_size=1, micro_batch_size=8, save_every_steps=3))


def saved_step(run_dir: Path) -> int:
    """Return the step of the latest checkpoint; 0 if there is none."""
    return max((int(path.name[5:]) for path in (run_dir / "checkpoints").glob("step-*")), default=0)


def ranks_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes of the ranks, below their supervisors."""
    below = process.children(recursive=True)
    return [one for one in below if "sr.training.train" in one.cmdline() and not one.children()]


def kill_at(run_dir: Path, step: int, wait_s: float, rank: bool) -> int:
    """Start the run, and kill it `wait_s` after there is a checkpoint of `step` or later.

    Returns:
        The step of the latest checkpoint.

    Raises:
        FaultError: the run ended by itself, or left processes behind.
    """
    # It would only report that a rank was killed.
    started = start(run_dir, subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while saved_step(run_dir) < step:
        if started.poll() is not None or time.monotonic() > deadline:
            raise FaultError(f"The run ended or made no progress before step {step}.")
        time.sleep(LOOK_EVERY_S)
    time.sleep(wait_s)
    own = psutil.Process(started.pid)
    below = own.children(recursive=True)
    if not ranks_of(own):
        raise FaultError(f"No rank is running after step {step}.")
    reached = saved_step(run_dir)
    if rank:
        for one in ranks_of(own):
            one.kill()
    else:
        os.kill(started.pid, signal.SIGKILL)
    left = psutil.wait_procs(below, timeout=PATIENCE_S)[1]
    started.wait(PATIENCE_S)
    if left:
        raise FaultError(f"The kill left the processes {[one.pid for one in left]} behind.")
    return reached


def differences(expected: Path, found: Path, steps: int) -> list[str]:
    """Return the names of the files, and of the tensors of the last checkpoint, that differ."""
    names = [name for name in EQUAL_FILES if (expected / name).read_bytes() != (found / name).read_bytes()]
    last = f"checkpoints/step-{steps:09d}"
    with (
        safe_open(expected / last / "state.safetensors", "np") as one,
        safe_open(found / last / "state.safetensors", "np") as other,
    ):
        if one.keys() != other.keys():
            return [*names, "the names of the tensors"]
        names += [
            name  # safetensors' file is no mapping
            for name in one.keys()  # noqa: SIM118
            if one.get_tensor(name).tobytes() != other.get_tensor(name).tobytes()
        ]
    plain = [read_json(run / last / "state.json") for run in (expected, found)]
    return names + [
        part for part in ("job", "run_state", "scaler", "step") if plain[0][part] != plain[1][part]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="seed of the steps at which the run is killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_selection(root, (20, 17), (4,), 96)
        whole, pieces = root / "whole", root / "pieces"
        for run_dir in (whole, pieces):
            write_json(run_dir / "wanted.json", to_plain(job_of(options.steps)))
        if start(whole).wait():
            raise FaultError("The undisturbed run failed.")
        stream = random.Random(options.seed)
        planned = sorted(stream.sample(range(2, options.steps - LAST_STEPS), options.kills))
        print(f"seed {options.seed}: kills after steps {planned} of {options.steps}", flush=True)
        for number, step in enumerate(planned):
            reached = kill_at(pieces, step, stream.uniform(0.0, LONGEST_WAIT_S), rank=bool(number % 2))
            victim = "a rank" if number % 2 else "the parent"
            print(f"killed {victim} when the latest checkpoint was that of step {reached}", flush=True)
        if start(pieces).wait():
            raise FaultError("The last session failed.")
        differing = differences(whole, pieces, options.steps)
        if differing:
            raise FaultError(f"The results differ in {', '.join(differing)}.")
        print(f"{options.kills + 1} sessions equal one run: weights, history, record and last checkpoint.")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        resume(Path(sys.argv[2]))
    else:
        sys.exit(main())
