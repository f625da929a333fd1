"""Whole runs: interrupted, or shared by two ranks; and how failures are reported."""

import dataclasses
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from selections import SELECTION_HASH, write_selection

import sr
from data.atomic_files import read_json, write_json
from data.errors import UserError
from data.record_json import to_plain
from sr.distributed import launch as ranks_launch
from sr.distributed import run_lock
from sr.training import launch
from sr.training.job import RunOptions, TrainingJob
from sr.training.launch import train

PATIENCE_S = 180.0
JOB = TrainingJob(
    "realtime-x2",
    "../selection/selection.json",
    SELECTION_HASH,
    patch_px=32,
    batch_size=8,
    learning_rate=2e-3,
    warmup_steps=2,
    max_epochs=3,
    steps_per_epoch=10,
    precision="fp32",
)
ONE = RunOptions(world_size=1, micro_batch_size=4)
"""Rounds like two ranks, whose micro-batches have four pairs."""
LAST = "checkpoints/step-000000030/state.safetensors"
START = """
import sys
from pathlib import Path
from data.atomic_files import read_json
from data.record_json import from_plain
from sr.training.job import RunOptions, TrainingJob
from sr.training.launch import train
run_dir = Path(sys.argv[1])
job = from_plain(TrainingJob, read_json(run_dir / "wanted.json"), "test")
train(job, run_dir, options=RunOptions(save_every_s=0.0, micro_batch_size=4))
"""
FAILING_RANKS = """
import sys
from pathlib import Path
from data.errors import UserError
from sr.distributed.rank_errors import StepError, write_error
run_dir = Path(sys.argv[-1])
write_error(run_dir, 0, StepError(13, "The loss of step 13 is nan", "Look at it"))
write_error(run_dir, 1, StepError(12, "The loss of step 12 is inf", "Look at it"))
sys.exit(1)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On tiny images threads wait for each other longer than they work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    write_selection(store, (7, 6), (3,), 64)
    return store


@pytest.fixture(scope="module")
def undisturbed(store):
    reported = []
    train(JOB, store / "undisturbed", lambda *progress: reported.append(progress), ONE)
    return store / "undisturbed", reported


def start_and_wait(run_dir: Path, step: int) -> tuple[subprocess.Popen, list[psutil.Process]]:
    """Start a training in another process; return it, and all below it, once it is past `step`."""
    write_json(run_dir / "wanted.json", to_plain(JOB))
    environment = os.environ | {"PYTHONPATH": str(Path(sr.__file__).parent.parent)}
    process = subprocess.Popen([sys.executable, "-c", START, str(run_dir)], env=environment)
    deadline = time.monotonic() + PATIENCE_S
    while not any(int(path.name[5:]) >= step for path in (run_dir / "checkpoints").glob("step-*")):
        assert process.poll() is None and time.monotonic() < deadline
        select.select([], [], [], 0.01)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 4, "supervisor, host program, its rank's supervisor, rank"
    return process, below


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=PATIENCE_S)[1]


def test_a_run_reports_its_progress_to_the_end(undisturbed):
    run_dir, reported = undisturbed
    done, total, note = reported[-1]
    assert (done, total) == (30, 30) and "epoch 3/3" in note and "dB" in note
    assert read_json(run_dir / "training.json")["steps"] == 30


def test_an_interrupted_run_leaves_no_process_behind_and_ends_with_equal_weights(store, undisturbed):
    run_dir = store / "pieces"
    process, below = start_and_wait(run_dir, 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert all_gone(below)
    process, below = start_and_wait(run_dir, 13)
    process.kill()
    process.wait()
    assert all_gone(below)
    assert not (run_dir / "training.json").exists()
    train(JOB, run_dir, options=ONE)
    for file in ("best.safetensors", "history.jsonl", "training.json"):
        assert (run_dir / file).read_bytes() == (undisturbed[0] / file).read_bytes()


def test_two_ranks_go_on_with_a_run_of_one_and_agree_with_it(store, undisturbed):
    run_dir = store / "two"
    train(dataclasses.replace(JOB, max_epochs=1), run_dir, options=ONE)
    said = []
    train(JOB, run_dir, options=RunOptions(world_size=2), say=said.append)
    assert "1 x 4 on each of 2 devices" in said[1] and "10 of them done" in said[2]
    expected, found = (load_file(path / "best.safetensors") for path in (undisturbed[0], run_dir))
    assert all(torch.allclose(found[name], expected[name], atol=2e-4) for name in expected)
    # AdamW's step is the same for gradients that are summed instead of averaged; its moments are not.
    squares = [
        sum(float(tensor.sum()) for name, tensor in state.items() if name.startswith("optimizer.exp_avg_sq."))
        for state in (load_file(path / LAST) for path in (undisturbed[0], run_dir))
    ]
    assert squares[1] == pytest.approx(squares[0], rel=0.1)
    one, two = (
        [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
        for path in (undisturbed[0], run_dir)
    )
    assert [line["psnr_db"] for line in two] == pytest.approx([line["psnr_db"] for line in one], abs=0.01)
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], rel=1e-3)


@pytest.fixture
def run_dir(tmp_path):
    """Give a run directory beside an (empty) selection, for ranks that do not read it."""
    write_json(tmp_path / "selection/selection.json", {})
    return tmp_path / "run"


def test_the_error_of_the_first_rank_that_failed_is_raised(run_dir, monkeypatch):
    # Instead of ranks, a program fails like ranks do, one because of the other.
    failing = [sys.executable, "-c", FAILING_RANKS, str(run_dir)]
    monkeypatch.setattr(ranks_launch, "ranks_command", lambda *arguments: failing)
    write_json(run_dir / "run/errors/000000000-0.json", {"message": "An earlier session failed", "hint": ""})
    with pytest.raises(UserError, match=r"The loss of step 12 is inf"):
        train(JOB, run_dir)


@pytest.mark.parametrize("lock", ["run/parent.lock", "run/lock"])
def test_a_running_training_is_left_alone(tmp_path, monkeypatch, lock):
    write_json(tmp_path / "job.json", {"theirs": True})
    write_json(tmp_path / "training.json", {})
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(run_lock.supervise, "LOCK_WAIT_S", 0.1)
    with open(tmp_path / lock, "w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="Another training is running"):
            train(JOB, tmp_path)
    assert read_json(tmp_path / "job.json") == {"theirs": True}
    assert (tmp_path / "training.json").exists() and not (tmp_path / "run/options.json").exists()


def test_any_other_failure_is_reported_with_the_end_of_the_log(run_dir, monkeypatch):
    monkeypatch.setattr(
        ranks_launch, "ranks_command", lambda *arguments: ["sh", "-c", "echo out of memory; exit 9"]
    )
    with pytest.raises(UserError, match=r"exit status 9 .*out of memory"):
        train(JOB, run_dir)


def test_a_selection_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"selection\.json"):
        train(JOB, tmp_path / "run")


def test_the_plan_of_a_run_is_passed_on_line_by_line(tmp_path):
    said, path = [], tmp_path / "plan.txt"
    plan = launch._PlanReader(path, said.append)
    plan.report()
    path.write_text("one\ntwo\nth")
    plan.report()
    path.write_text("one\ntwo\nthree\n")
    plan.report()
    assert said == ["one", "two", "three"]
