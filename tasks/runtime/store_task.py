"""What every task of the DAG shares: a directory in the store that is named by what is in it.

A task says what makes its result what it is (`parameters`, the tasks it is made from, a format version); the
sha256 of that names `<stage>/<name>-<12 hex>/`, so another parameter is another directory and nothing stale
is ever taken for done. Nothing here knows what any stage does.
"""

import contextlib
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import luigi
from luigi.event import Event
from luigi.task import flatten

from data.atomic_files import write_json
from data.hashing import spec_hash
from tasks.config import store
from tasks.runtime import store_errors


class StoreTask(luigi.Task):
    """A task whose result is a directory of the store, done when its record is there.

    A subclass sets the three attributes and gives `name`, `requires`, `make` and, where they apply, the rest.
    """

    stage: str
    """Folder of the store that its directories stand in, e.g. "crops"."""
    record: str
    """The file that is written last, relative to the directory, e.g. "dataset.json"."""
    format_version: int = 1
    """Raised when the same parameters make other bytes than before; older directories are then left alone."""

    def name(self) -> str:
        """Return the readable half of the directory's name, e.g. "Sample"."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """Return everything that changes the output, as JSON data; never paths in the store or threads."""
        return {}

    def write_spec(self) -> None:
        """Write what the directory is named by, unless it stands there."""
        path = self.directory() / "spec.json"
        if not path.exists():
            write_json(path, self.home().spec())

    def make(self) -> Iterator[luigi.Task] | None:
        """Write the result into `directory()`, the record last. A generator waits for what it yields."""
        raise NotImplementedError

    def dynamic_requires(self) -> list[luigi.Task]:
        """Return the tasks that `make` would yield; none while that is not known."""
        return []

    def summary(self) -> str:
        """Return what a person wants to read at the end: where the result is, and the numbers that matter."""
        return f"{self.task_family}: {self.output().path}"

    def counts(self) -> str:
        """Return the few counts that `tasks.runtime.status` prints beside a finished task."""
        return ""

    def home(self) -> "StoreTask":
        """Return the task whose directory this one writes into: itself, unless it makes a part of it."""
        return self

    def made_from(self) -> dict[str, str | list[str]]:
        """Return the upstream directories, `<stage>/<name>-<hex>`, by role.

        The role is the key in `requires()` where that is a dict, otherwise the task's own name. Upstream
        tasks that are not StoreTasks have no hash: what they stand for belongs in `parameters`.
        """
        required = self.requires()
        if not isinstance(required, dict):
            roles: dict[str, list[luigi.Task]] = {}
            for task in flatten(required):
                roles.setdefault(task.task_family, []).append(task)
            required = {role: tasks if len(tasks) > 1 else tasks[0] for role, tasks in roles.items()}
        named = {role: _directory_names(tasks) for role, tasks in required.items()}
        return {role: names for role, names in named.items() if names}

    def spec(self) -> dict[str, Any]:
        """Return what the directory is named by."""
        return {
            "stage": self.stage,
            "format_version": self.format_version,
            "parameters": self.parameters(),
            "made_from": self.made_from(),
        }

    @cached_property
    def directory_name(self) -> str:
        """`<stage>/<name>-<12 hex>`; taken once, as Luigi keeps one instance for equal parameters."""
        home = self.home()
        if home is not self:
            return home.directory_name
        readable = re.sub(r"[^\w.-]+", "-", self.name()).strip(".-") or self.stage
        return f"{self.stage}/{readable}-{spec_hash(self.spec())}"

    def directory(self) -> Path:
        """Return the directory that holds the result."""
        return Path(store().root) / self.directory_name

    def output(self) -> luigi.LocalTarget:
        """Return the record."""
        return luigi.LocalTarget(str(self.directory() / self.record))

    def is_done(self) -> bool:
        """Return whether the record is there."""
        return self.output().exists()

    def complete(self) -> bool:
        """Return `is_done`.

        Luigi only logs what is raised here and fires no event that carries it, so that is done for it.
        """
        try:
            return self.is_done()
        except Exception as error:
            self.trigger_event(Event.BROKEN_TASK, self, error)
            raise

    def run(self) -> Iterator[luigi.Task] | None:
        """Write spec.json and make the result, unless another host has made it since this one looked.

        Raises:
            UserError: the store can't be written or read.
        """
        if self.complete():
            return None
        with store_errors.told():
            self.write_spec()
            made = self.make()
        return None if made is None else _told_throughout(made)


@StoreTask.event_handler(Event.FAILURE)
def leave_nothing(task: StoreTask, error: BaseException) -> None:
    """Remove the directory of a task that failed before it had made anything in it."""
    directory = task.directory()
    if directory.is_dir() and [path.name for path in directory.iterdir()] == ["spec.json"]:
        (directory / "spec.json").unlink()
        # Another task of the same directory or stage may be writing there by now: then it stays.
        with contextlib.suppress(OSError):
            directory.rmdir()
            directory.parent.rmdir()


def _told_throughout(made: Iterator[luigi.Task]) -> Iterator[luigi.Task]:
    """Yield what `make` yields; what it meets in the store is told as in `run`."""
    with store_errors.told():
        yield from made


def _directory_names(tasks: Any) -> str | list[str]:
    names = [task.directory_name for task in flatten(tasks) if isinstance(task, StoreTask)]
    return names[0] if isinstance(tasks, luigi.Task) and names else names
