"""Inflict every fault on every task of the DAG, and check what it says, what it leaves, and that a second run mends it.

    PYTHONPATH=.:tests/support python tests/faults/every_task.py [--task T …] [--fault F …] [--jobs 2] [--keep DIR]

Each task is run alone, by its own command, on a copy of a small store in which its inputs are done. The moment of the
fault is drawn among the task's accesses to the store's disk, or between two of them. Then no traceback may be printed,
the thing that is wrong must be named, no process may be left, and no file may be half. The same command is run again,
undisturbed: it must end with 0, and its result must be that of an undisturbed run, byte for byte.

Every task is tried under the first fault, then every task under the second, so that a run that is cut short has been
everywhere. With --keep the store, the finished cells and the log of each are kept, and the same command goes on after
an end; cells that never ran are named. It needs Linux, the right to mount file systems (root, or user namespaces) and,
for the clock, Debian's libfaketime. The exit code is 1 if a cell shows a problem, or never ran.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import importlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import namespaces

ROOT = Path(__file__).parents[2]
PRELOADED = ("data.", "pipeline.", "sr.", "tasks.")
RESULTS = "results.jsonl"
LIBRARIES = {"torch", "openvino", "onnx", "av", "cv2", "skimage", "pyarrow", "safetensors", "fsspec"}


def main(argv: list[str]) -> int:
    """Run the chosen cells; return the exit code."""
    options = parse(argv)
    if reason := namespaces.enter():
        print(f"skipped: this kernel gives no namespaces of network and mounts ({reason})")
        return 0
    begun = time.monotonic()
    with kept_or_temporary(options.keep) as scratch:
        os.environ["LUIGI_CONFIG_PATH"] = str(scratch / "inputs" / "luigi.cfg")
        (scratch / "cwd").mkdir(exist_ok=True)
        os.chdir(scratch / "cwd")
        from dag_material import serve_archive, write_inputs_apart

        write_inputs_apart(scratch / "inputs")
        with serve_archive(scratch / "inputs"):
            return run_all(options, scratch, begun)


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", nargs="+", default=[], help="only these")
    parser.add_argument("--fault", nargs="+", default=[], help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="cells at once")
    parser.add_argument("--moments", type=int, default=1, help="cells with another moment each")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument(
        "--keep", type=Path, help="folder for the store and the results, which are used again"
    )
    return parser.parse_args(argv)


@contextlib.contextmanager
def kept_or_temporary(keep: Path | None) -> Iterator[Path]:
    """Give the folder of the suite."""
    if keep is None:
        # Not a TemporaryDirectory: each fork would remove it when it ends.
        folder = Path(tempfile.mkdtemp(prefix="every-task-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    keep = keep.resolve()
    keep.mkdir(parents=True, exist_ok=True)
    stamp = keep / f"code-{hash_code()}"
    if not stamp.exists() and (content := list(keep.iterdir())):
        if not any(path.name.startswith("code-") for path in content):
            raise SystemExit(f"every_task: {keep} holds files of something else: name another folder")
        print(f"every_task: {keep} is of other code: its {len(read(keep / RESULTS))} cells count no more")
        for path in content:
            (shutil.rmtree if path.is_dir() else Path.unlink)(path)
    stamp.touch()
    yield keep


def hash_code() -> str:
    """Return a hash of the product, and of the rows."""
    files = [
        path for top in ("data", "pipeline", "sr", "tasks") for path in sorted((ROOT / top).rglob("*.*"))
    ]
    files += [ROOT / "tests" / "support" / name for name in ("dag_rows.py", "dag_material.py")]
    whole = hashlib.sha256()
    for path in files:
        if path.suffix in (".py", ".toml"):
            whole.update(path.read_bytes())
    return whole.hexdigest()[:12]


def run_all(options: argparse.Namespace, scratch: Path, begun: float) -> int:
    """Prepare, run the cells in several workers, and print the table."""
    from dag_rows import NO_ROW_YET, ROWS, without_row
    from dag_stages import Stages
    from store_faults import FAKETIME, FAULTS

    import tasks

    if missing := without_row(tasks.__all__):
        print(f"every_task: no row for {', '.join(missing)}: add them to tests/support/dag_rows.py")
        return 1
    if uncovered := sorted(set(NO_ROW_YET) & set(tasks.__all__)):
        print(f"not covered: {', '.join(uncovered)}", flush=True)
    chosen = [row.task for row in ROWS if row.task in (options.task or tasks.__all__)]
    stages = Stages(scratch)
    stages.prepare(chosen)
    preload(stages.modules(chosen))
    print(f"prepared: {time.monotonic() - begun:.0f} s", flush=True)
    faults = [one for one in FAULTS if one.name in (options.fault or [fault.name for fault in FAULTS])]
    if FAKETIME is None:
        print("skipped: clock, as libfaketime is not installed (apt-get install libfaketime)")
        faults = [one for one in faults if not one.name.startswith("clock")]
    cells = [
        (task, fault.name, moment)
        for fault in faults
        for task in chosen
        for moment in range(options.moments if fault.at else 1)
    ]
    results = scratch / RESULTS
    done = {tuple(one["cell"]) for one in read(results) if one["seed"] == options.seed}
    left = [cell for cell in cells if cell not in done]
    work(left, options, scratch, stages, results)
    found = {tuple(one["cell"]): one for one in read(results) if one["seed"] == options.seed}
    never = [cell for cell in cells if cell not in found]
    return report([found[cell] for cell in cells if cell in found], never, time.monotonic() - begun)


def preload(names: list[str]) -> None:
    """Import what the tasks import, so that forks need not."""
    for name in names:
        if name.startswith(PRELOADED) or name in LIBRARIES:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    if threading.active_count() > 1:
        print(f"every_task: the imports left threads: {threading.enumerate()}")


def work(cells: list, options: argparse.Namespace, scratch: Path, stages, results: Path) -> None:
    """Run cells in several processes, each of which takes the next one that is left."""
    (scratch / "next").write_text("0")
    workers = []
    for number in range(options.jobs):
        if pid := os.fork():
            workers.append(pid)
            continue
        code = 1
        try:
            take_cells(number, cells, options, scratch, stages, results)
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    for pid in workers:
        if os.waitpid(pid, 0)[1]:
            raise SystemExit("every_task: a worker failed")


def take_cells(number: int, cells: list, options: argparse.Namespace, scratch: Path, stages, results: Path):
    """Be one of the workers."""
    from fault_cells import Cell
    from store_faults import FAULTS, Place

    place = Place(scratch, number)
    place.leave_others()
    logs = scratch / "logs"
    logs.mkdir(exist_ok=True)
    faults = {fault.name: fault for fault in FAULTS}
    while (taken := take_next(scratch / "next")) < len(cells):
        task, fault, moment = cells[taken]
        cell = Cell(**stages.cell(task), fault=faults[fault], place=place, seed=f"{options.seed} {moment}")
        outcome = cell.run()
        for log in ("log.txt", "again.txt"):
            if (place.own / log).exists():
                shutil.copy(place.own / log, logs / f"{task}-{fault.replace('/', '_')}-{moment}-{log}")
        line = {"cell": cells[taken], "seed": options.seed, **dataclasses.asdict(outcome)}
        with open(results, "a") as file:
            file.write(json.dumps(line) + "\n")
        said = "; ".join(outcome.problems) or "ok"
        print(
            f"{task:18} {fault:12} {outcome.moment:14} exit {outcome.code}, {outcome.seconds:.1f} s: {said}",
            flush=True,
        )


def take_next(path: Path) -> int:
    """Return the number of the next cell, which no other worker gets."""
    with open(path, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        number = int(file.read())
        file.seek(0)
        file.write(str(number + 1))
        file.flush()
        return number


def read(results: Path) -> list[dict]:
    """Return the finished cells."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def report(found: list[dict], never: list[tuple[str, str, int]], seconds: float) -> int:
    """Print the table, all problems, and which cells never ran; return the exit code."""
    faults = list(dict.fromkeys(one["fault"] for one in found))
    codes: dict[tuple[str, str], list[str]] = {}
    for one in found:
        text = f"{one['code']}{' !' if one['problems'] else ''}"
        codes.setdefault((one["task"], one["fault"]), []).append(text)
    print(f"\n| task | {' | '.join(faults)} |\n|---|{'---|' * len(faults)}")
    for task in dict.fromkeys(one["task"] for one in found):
        cells = [", ".join(dict.fromkeys(codes.get((task, fault), ["-"]))) for fault in faults]
        print(f"| {task} | {' | '.join(cells)} |")
    wrong = [one for one in found if one["problems"]]
    for one in wrong:
        print(f"\n{one['task']}, {one['fault']}, {one['moment']}: exit code {one['code']}: {one['words']}")
        for problem in one["problems"]:
            print(f"  {problem}")
    for fault in dict.fromkeys(fault for _, fault, _ in never):
        print(f"\nnever ran, {fault}: {', '.join(task for task, its, _ in never if its == fault)}")
    cells = f"{len(found)} of {len(found) + len(never)} cells"
    print(f"\n{cells} in {seconds:.0f} s: {len(wrong)} with a problem")
    return bool(wrong or never)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
