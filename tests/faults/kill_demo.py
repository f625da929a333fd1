"""Kill the demo's main process at many moments, and check that no process is left and the result is the same.

    python tests/faults/kill_demo.py [--kills 10] [--config luigi.demo.cfg] [--seed 0]

An undisturbed run gives the reference and a timeline: when each file appeared in its store. Then a second store is made
by runs that are killed (kill -9) again and again, at moments spread over that timeline. A moment is a delay after a
file's appearance, so kills move with the work if the machine is slower or faster. After each kill no process of the run
may be left. At the end the crops must be the same, byte for byte.
"""

import argparse
import contextlib
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.hashing import sha256_file

MARK = "SUPER_RESOLUTION_KILL_DEMO"
POLL_S = 0.02
GONE_WITHIN_S = 15
LAST_KILL = 0.95
"""Fraction of the undisturbed run's duration. Later there is nothing left to kill."""
MILESTONES = (".json", ".jsonl", ".tar", ".idx", ".onnx", ".xml", ".safetensors")
COMPARED = tuple(f"crops/*/{one}" for one in ("*", "shards/*", "index/*", "manifest/*"))
"""Patterns of the files of a store that must be the same."""
DEMO = ["--module", "tasks", "FullPipeline", "--workers", "2"]


class FaultError(Exception):
    """A check failed."""


@dataclass(frozen=True)
class Moment:
    """When to kill: some time after a file appeared.

    Args:
        file: path relative to the store; empty for the start.
        wait_s: seconds after its appearance.
        at_s: seconds after the start of the undisturbed run.
    """

    file: str
    wait_s: float
    at_s: float


class Run:
    """One start of the DAG. All its processes carry a mark in their environment.

    Args:
        arguments: command line of luigi.
        config: a luigi.cfg on top of the default one.
        store: directory of the store; the log is written beside it.
    """

    def __init__(self, arguments: list[str], config: Path, store: Path) -> None:
        self.store, self.log = store, store.with_suffix(".log")
        value = uuid.uuid4().hex
        self._mark = f"{MARK}={value}".encode()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "luigi", *arguments, "--store-root", str(store)],
                env=os.environ | {MARK: value, "LUIGI_CONFIG_PATH": str(config)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def alive(self) -> dict[int, str]:
        """Return the command of each of this run's processes by pid: those with its mark or in its session."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                    marked = self._mark in (entry / "environ").read_bytes().split(b"\0")
                    if state not in "ZX" and (marked or int(session) == self.process.pid):
                        found[int(entry.name)] = (
                            (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        )
        return found

    def kill(self) -> None:
        """Kill only the main process.

        Raises:
            FaultError: another process of the run survives.
        """
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + GONE_WITHIN_S
        while left := self.alive():
            if time.monotonic() > deadline:
                raise FaultError(f"these processes are left {GONE_WITHIN_S} s after the kill: {left}")
            time.sleep(POLL_S)

    def has_finished(self) -> bool:
        """Return whether the main process has ended.

        Raises:
            FaultError: it has ended with an error.
        """
        if self.process.poll() not in (None, 0):
            last = self.log.read_text(errors="replace").splitlines()[-20:]
            raise FaultError("\n".join([f"the run failed with {self.process.returncode}:", *last]))
        return self.process.poll() == 0


@contextlib.contextmanager
def started(arguments: list[str], config: Path, store: Path) -> Iterator[Run]:
    """Start a run, and kill whatever is left of it at the end of the block, also after an error."""
    run = Run(arguments, config, store)
    try:
        yield run
    finally:
        for pid in run.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.wait()


def run_undisturbed(arguments: list[str], config: Path, store: Path) -> tuple[dict[str, float], float]:
    """Run to the end; return when each milestone appeared, and how long the run took, in seconds."""
    seen = {"": 0.0}
    with started(arguments, config, store) as run:
        begun = time.monotonic()
        while not run.has_finished():
            now = time.monotonic() - begun
            for folder, _, files in os.walk(store):
                for file in files:
                    path = (Path(folder) / file).relative_to(store)
                    if path.suffix in MILESTONES and not any(part.startswith(".") for part in path.parts):
                        seen.setdefault(str(path), now)
            time.sleep(POLL_S)
        return seen, time.monotonic() - begun


def choose_moments(seen: dict[str, float], duration_s: float, kills: int, seed: int) -> list[Moment]:
    """Return one moment in each of `kills` equal parts of the run."""
    chance, moments = random.Random(seed), []
    for part in range(kills):
        at_s = LAST_KILL * duration_s * (part + chance.random()) / kills
        file = max((name for name, first in seen.items() if first <= at_s), key=seen.__getitem__)
        moments.append(Moment(file, at_s - seen[file], at_s))
    return moments


def wait_for(moment: Moment, run: Run, reached_s: float) -> bool:
    """Wait for a moment; return False if the run ends first.

    Args:
        moment: the moment to wait for.
        run: a run that has just begun.
        reached_s: the time in the undisturbed run that corresponds to the state of the store when this run began.
    """
    begun = time.monotonic()
    is_there = (run.store / moment.file).exists()
    wait_s = min(moment.wait_s, moment.at_s - reached_s) if is_there else moment.wait_s
    since = begun if is_there else None
    while since is None or time.monotonic() < since + wait_s:
        if run.has_finished():
            return False
        if since is None and (run.store / moment.file).exists():
            since = time.monotonic()
        time.sleep(POLL_S)
    return True


def compare(reference: Path, store: Path, compared: Sequence[str] = COMPARED) -> None:
    """Compare the results in two stores.

    Raises:
        FaultError: a file differs, or exists in one store only.
    """
    expected, got = _digests(reference, compared), _digests(store, compared)
    different = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    if different or not expected:
        raise FaultError(
            f"{len(different)} of {len(expected)} files of results differ or are missing: {different}"
        )


def kill_and_compare(
    arguments: list[str],
    config: Path,
    scratch: Path,
    *,
    kills: int,
    seed: int,
    compared: Sequence[str] = COMPARED,
) -> Path:
    """Make a reference store, then a store under kills, and compare their results; return the reference.

    Raises:
        FaultError: the results differ, a run failed, or a process survived a kill.
    """
    reference, store, number = scratch / "reference", scratch / "killed-0", 0
    seen, duration_s = run_undisturbed(arguments, config, reference)
    print(f"undisturbed: {duration_s:.0f} s", flush=True)
    left, reached_s = choose_moments(seen, duration_s, kills, seed), 0.0
    while left:
        moment = left[0]
        with started(arguments, config, store) as run:
            if wait_for(moment, run, reached_s):
                run.kill()
                print(
                    f"killed {moment.wait_s:.1f} s after {moment.file or 'the start'}: none left", flush=True
                )
                left, reached_s = left[1:], moment.at_s
                continue
        # The run was faster than the undisturbed one: continue with a new store, and kill sooner.
        compare(reference, store, compared)
        number, reached_s = number + 1, 0.0
        store = scratch / f"killed-{number}"
        left[0] = dataclasses.replace(moment, wait_s=moment.wait_s / 2)
    with started(arguments, config, store) as run:
        while not run.has_finished():
            time.sleep(POLL_S)
    compare(reference, store, compared)
    return reference


def main(argv: list[str]) -> int:
    """Run the checks, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument(
        "--config", type=Path, default=Path("luigi.demo.cfg"), help="a luigi.cfg on top of the default one"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("arguments", nargs="*", default=DEMO, help="arguments of luigi, after --")
    options = parser.parse_args(argv)
    scratch = Path(tempfile.mkdtemp(prefix="kill-demo-"))
    try:
        kill_and_compare(options.arguments, options.config, scratch, kills=options.kills, seed=options.seed)
    except FaultError as fault:
        print(f"kill_demo: {fault}\nStores and logs are kept in {scratch}", file=sys.stderr)
        return 1
    shutil.rmtree(scratch)
    print(f"{options.kills} kills: no process was left behind, and the crops are the same byte for byte")
    return 0


def _digests(store: Path, compared: Sequence[str]) -> dict[str, str]:
    found = [path for pattern in compared for path in store.glob(pattern)]
    return {str(path.relative_to(store)): sha256_file(path) for path in found if path.is_file()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
