"""One cell of the matrix task x fault: start the task, inflict the fault, look at what is left, run again, compare."""

import fnmatch
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from at_moment import NEVER, Access, Watch
from dag_rows import Row
from store_faults import TWO, Fault, Place, second_store
from task_runs import TaskRun

PATIENCE_S = 240.0
_TRIES = 3
"""How often a moment is chosen anew, and earlier, where the task was done before it came."""
_SHOWN = 4
_ALL_RUNS_VARY = ("*/run/*", "*/tensorboard/*")


@dataclass
class Outcome:
    """What happened in a cell."""

    task: str
    fault: str
    moment: str = ""
    code: int | None = None
    words: str = ""
    """The last line of its output."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class Cell:
    """A task under a fault.

    Args:
        row: the task.
        fault: the fault.
        place: where it runs.
        before: the disk's content before the task, with its inputs done.
        after: the disk's content after an undisturbed run.
        accesses: those of the undisturbed run.
        arguments: the command line.
        seed: of the moment.
    """

    def __init__(
        self,
        row: Row,
        fault: Fault,
        place: Place,
        before: Path,
        after: Path,
        accesses: list[Access],
        arguments: list[str],
        seed: str,
    ) -> None:
        self.row, self.fault, self.place, self.arguments = row, fault, place, arguments
        self._before, self._after, self._accesses = before, after, accesses
        self._chance = random.Random(f"{seed} {row.task} {fault.name}")
        self.outcome = Outcome(row.task, fault.name)

    def run(self) -> Outcome:
        """Do it all."""
        begun = time.monotonic()
        for number in range(_TRIES):
            self.place.new_disk(self._before)
            if self._disturb(2.0**-number):
                break
        else:
            self._complain("the task was done before the fault")
        if self.fault.name == TWO:
            self._compare("two runs at once")
        self._run_again()
        self.outcome.seconds = time.monotonic() - begun
        return self.outcome

    def _complain(self, text: str) -> None:
        self.outcome.problems.append(text)

    def _disturb(self, share: float) -> bool:
        """Run the task under the fault; return whether the fault came.

        Args:
            share: of the accesses, from the first, among which the moment is.
        """
        number, wait_s = self._choose(share)
        folder = self.place.own / "watch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        watch = Watch(folder, self.place.disk, number)
        environment = self.place.environment() | self.fault.variables(self.place)
        environment |= watch.environment | {
            "PYTHONPATH": f"{watch.environment['PYTHONPATH']}:{environment['PYTHONPATH']}"
        }
        workers = self._chance.choice(("1", "2"))
        log = self.place.own / "log.txt"
        log.unlink(missing_ok=True)
        runs = []
        for _ in range(2 if self.fault.name == TWO else 1):
            runs.append(TaskRun([*self.arguments, "--workers", workers], log, environment, self.fault.anew))
        try:
            came = self._inflict(runs[0], watch, wait_s) if self.fault.at else True
            self._conclude(runs)
        finally:
            for run in runs:
                run.end()
        return came

    def _choose(self, share: float) -> tuple[int, float]:
        """Return the number of the access, and how long to wait after it."""
        numbers = [n for n, one in enumerate(self._accesses, 1) if one.kind in self.fault.at]
        if not self.fault.at or not numbers:
            return NEVER, 0.0
        number = numbers[int(self._chance.random() * share * len(numbers))]
        self.outcome.moment = f"{self._accesses[number - 1].kind}{number}/{len(self._accesses)}"
        if not self.fault.is_between() or self._chance.random() < 0.5 or number == len(self._accesses):
            return number, 0.0
        gap_s = self._accesses[number].at_s - self._accesses[number - 1].at_s
        wait_s = self._chance.random() * max(0.0, gap_s)
        self.outcome.moment += f"+{wait_s:.2f}s"
        return number, wait_s

    def _inflict(self, run: TaskRun, watch: Watch, wait_s: float) -> bool:
        """Inflict the fault at the chosen access; return whether the task got there."""
        while run.wait(PATIENCE_S, watch.is_waiting) and run.poll() is None:
            if wait_s:
                watch.go_on()
                run.wait(wait_s)
                return run.poll() is None and self.fault.inflict(run, self.place)
            if self.fault.inflict(run, self.place):
                watch.go_on()
                return True
            watch.wait_at_next()
        return False

    def _conclude(self, runs: list[TaskRun]) -> None:
        """Wait for the end, and look at what was said and what is left."""
        for run in runs:
            if not run.wait(PATIENCE_S):
                run.show_stacks()
                self._complain(f"it hangs: no end within {PATIENCE_S:.0f} s; the log has the stacks")
            elif left := run.left_behind():
                self._complain(f"processes are left: {left}")
            run.end()
        if made := second_store(self.place) if self.fault.name in ("unmounted", "moved away") else []:
            self._complain(f"a second store was made: {_first(made)}")
        self.fault.heal(self.place)
        output = runs[0].output()
        self.outcome.words = (output.strip().splitlines() or [""])[-1][:200]
        if "Traceback" in output:
            self._complain("traceback: " + " | ".join(output.strip().splitlines()[-3:]))
        for run in runs:
            self._check_code(run.code, output)
        self._check_left(runs[-1].code)

    def _check_code(self, code: int | None, output: str) -> None:
        self.outcome.code = code if self.outcome.code in (None, 0) else self.outcome.code
        if code == 0:
            return
        if code != self.fault.code and self.fault.code is not None:
            self._complain(f"exit code {code}, not {self.fault.code}")
        missing = self.fault.missing_words(output)
        if missing and self._differences():  # after its end a program leaves without a word
            self._complain(f"exit code {code} without the words {missing!r}")

    def _check_left(self, code: int | None) -> None:
        """Check the files: no final name has other content than it should, and nothing half is left after an end."""
        if code == 0:
            self._compare("exit code 0")
        expected, found = _files(self._after), _files(self.place.disk)
        old = _files(self._before)
        damaged = [
            name
            for name in found.keys() & (expected.keys() | old.keys())
            if not self._varies(name)
            and not any(fnmatch.fnmatch(name, one) for one in self.row.may_be_half)
            and not any(_same(found[name], tree[name]) for tree in (expected, old) if name in tree)
        ]
        if damaged:
            self._complain(f"not whole: {_first(damaged)}")
        if lost := [name for name in old.keys() - found.keys() if name in expected]:
            self._complain(f"lost: {_first(lost)}")
        parts = [name for name in found if name.endswith(".part") or "/.srf-" in name]
        if parts and not self.fault.may_leave_parts:
            self._complain(f"parts are left: {_first(parts)}")
        strays = [path.name for path in self.place.temporary.rglob("*") if path.is_file()]
        strays = [name for name in strays if name != "machine.lock"]
        if strays and self.outcome.code != -9:
            self._complain(f"left in TMPDIR: {_first(strays)}")

    def _run_again(self) -> None:
        """Run the same command undisturbed, and compare its result."""
        log = self.place.own / "again.txt"
        log.unlink(missing_ok=True)
        run = TaskRun([*self.arguments, "--workers", "1"], log, self.place.environment())
        try:
            if not run.wait(PATIENCE_S):
                run.show_stacks()
            if run.poll() != 0 or "Traceback" in run.output():
                last = " | ".join(run.output().strip().splitlines()[-3:])
                self._complain(f"the run after it ended with {run.code}: {last}")
            else:
                self._compare("the run after it")
        finally:
            run.end()

    def _compare(self, what: str) -> None:
        if different := self._differences():
            self._complain(f"{what}: {len(different)} files differ: {_first(different)}")

    def _differences(self) -> list[str]:
        """Return the files that are not as after an undisturbed run."""
        expected, found = _files(self._after), _files(self.place.disk)
        return [
            name
            for name in expected.keys() | found.keys()
            if not self._varies(name) and not _same(expected.get(name), found.get(name))
        ]

    def _varies(self, name: str) -> bool:
        return any(fnmatch.fnmatch(name, one) for one in (*_ALL_RUNS_VARY, *self.row.varies))


def _files(root: Path) -> dict[str, Path]:
    """Return the files, except second names of finished ones: a kill leaves one between the link and the unlinking."""
    return {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*")
        if path.is_symlink() or (path.is_file() and not _is_second_name(path))
    }


def _is_second_name(path: Path) -> bool:
    return path.suffix == ".part" and path.stat().st_nlink > 1


def _same(one: Path | None, other: Path | None) -> bool:
    if one is None or other is None:
        return False
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more
