"""Kill an architecture search at random times: the same study goes on, and nothing is tried twice.

    PYTHONPATH=tests/support python tests/faults/kill_search.py [--trials 12] [--kills 2] [--seed 0] [--steps 20]

The search trains small networks on made images through DeepSpeed's launcher, and times them in int8. It is killed with
SIGKILL within trials that the seed chooses; after each kill no process of it may be left. At the end each candidate has
one result, each killed trial is marked as failed and was repeated next, and the candidates are those of an undisturbed
study with the same results. The search's page is written.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from optuna.trial import TrialState
from selections import SELECTION_HASH, write_selection

from data.atomic_files import read_json
from sr.search.loop import work_through
from sr.search.search import search
from sr.search.settings import Budget, SearchSettings
from sr.search.space import SearchSpace
from sr.search.study import REPEATS, SPEED, Study, Turn
from sr.training.job import RunOptions
from sr.training.recipes import apply_recipe

PATIENCE_S = 300.0
LOOK_EVERY_S = 0.02
SPACE = SearchSpace(2, (3, 4, 5), (8, 16, 32), ("luma",), (2, 4), ("relu", "prelu"), ("on", "off"))


class FaultError(Exception):
    """The search did not survive a kill as it should."""


def settings_of(root: Path, trials: int, steps: int) -> SearchSettings:
    """Return a search of small trainings."""
    names = ("learning_rate", "warmup_steps", "schedule", "ema_decay", "weight_decay")
    recipe = apply_recipe("realtime-x2", dict.fromkeys(names))
    training = recipe | {"patch_px": 32, "batch_size": 4, "precision": "fp32"}
    selection = root / "selection" / "selection.json"
    options = RunOptions(world_size=1, num_workers=1)
    budget = Budget(selection, SELECTION_HASH, training, steps, 2, 0.1, options)
    return SearchSettings(SPACE, trials, 0, (64, 96), 0.05, budget)


def start(root: Path, trials: int, steps: int) -> subprocess.Popen:
    """Start the search in its own process: this program with `--search`."""
    command = [sys.executable, __file__, "--search", str(root), str(trials), str(steps)]
    return subprocess.Popen(command, start_new_session=True)


def kill_in_trial(root: Path, trials: int, steps: int, count: int, wait_s: float) -> str:
    """Start the search, and kill it some time after it began its candidate of this number.

    Returns:
        The candidate that was lost; empty if the kill fell between two.

    Raises:
        FaultError: it ended by itself, or left processes behind.
    """
    started = start(root, trials, steps)
    deadline = time.monotonic() + PATIENCE_S
    while not running_at(root, count):
        if started.poll() is not None or time.monotonic() > deadline:
            raise FaultError(f"The search ended or made no progress before its candidate {count}.")
        time.sleep(LOOK_EVERY_S)
    time.sleep(wait_s)
    below = psutil.Process(started.pid).children(recursive=True)
    started.send_signal(signal.SIGKILL)
    started.wait(PATIENCE_S)
    left = psutil.wait_procs(below, timeout=PATIENCE_S)[1]
    if left:
        raise FaultError(f"The kill left the processes {[one.pid for one in left]} behind.")
    return running_at(root, count)


def running_at(root: Path, count: int) -> str:
    """Return the running candidate, if it is the one of this number or a later one."""
    if not (root / "search" / "study.jsonl").is_file():
        return ""
    tried = Study(root / "search", SPACE, 0).tried()
    running = [name for name, trial in tried.items() if trial.state == TrialState.RUNNING]
    return running[0] if running and len(tried) >= count else ""


def check(root: Path, trials: int, lost: list[str]) -> None:
    """Compare the study with an undisturbed one that has the same results.

    Raises:
        FaultError: they differ.
    """
    study = Study(root / "search", SPACE, 0)
    tried = study.tried()
    record = read_json(root / "search" / "search.json")
    if len(tried) != trials or record["counts"]["tried"] != trials or study.lost() != len(lost):
        raise FaultError(f"{len(tried)} of {trials} candidates, {study.lost()} of {len(lost)} lost trials.")
    repeated = [name for name, trial in tried.items() if REPEATS in trial.user_attrs]
    if sorted(repeated) != sorted(set(lost)):
        raise FaultError(f"Repeated were {repeated}, lost were {lost}.")
    undisturbed, names = Study(root / "whole", SPACE, 0), []

    def attempt(turn: Turn, report: object) -> None:
        names.append(turn.candidate.name)
        known = tried[turn.candidate.name]
        turn.note(SPEED, known.user_attrs[SPEED])
        if known.state == TrialState.PRUNED:
            undisturbed.prune(turn)
        else:
            undisturbed.complete(turn, *known.values)

    work_through(undisturbed, trials, attempt)
    if names != list(tried):
        raise FaultError(f"An undisturbed study tries {names}, and not {list(tried)}.")
    page = (root / "search" / "search.html").read_text()
    if not record["front"] or any(f"<h3>{name}</h3>" not in page for name in record["front"]):
        raise FaultError("The search has no front, or its page does not show it.")
    for row in record["rows"]:
        expected_ms = record["reference"]["ms"] * row["ratio"]
        if abs(row["ms"] - expected_ms) > 0.01 * expected_ms:
            raise FaultError(f"{row['name']} takes {row['ms']} ms, and not {expected_ms:.4f}.")
    print(f"{record['counts']}, front: {', '.join(record['front'])}")


def main() -> int:
    """Kill and check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the trials in which the search is killed"
    )
    options = parser.parse_args()
    began = time.monotonic()
    stream = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_selection(root, (20,), (4,), 64)
        counts = sorted(stream.sample(range(2, options.trials), options.kills))
        lost = []
        for count in counts:
            wait_s = stream.uniform(0.0, 8.0)
            name = kill_in_trial(root, options.trials, options.steps, count, wait_s)
            print(f"killed at candidate {count}, while {name or 'none'} was tried", flush=True)
            lost += [name] if name else []
        if start(root, options.trials, options.steps).wait():
            raise FaultError("The last session failed.")
        check(root, options.trials, lost)
    print(f"{options.trials} candidates, killed {options.kills} times: {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--search"]:
        place = Path(sys.argv[2])
        search(settings_of(place, *map(int, sys.argv[3:5])), place / "search")
    else:
        sys.exit(main())
