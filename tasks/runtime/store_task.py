"""The base class of every task: its result is a directory in the store that is named by its content.

A task lists what determines its result: its `parameters`, the tasks that it is made from, and a format version. The
sha256 of these names the directory `<stage>/<name>-<12 hex>/`. Another parameter gives another directory, so a stale
result is never mistaken for a finished one. Nothing here knows what any stage does.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import luigi
from luigi.event import Event
from luigi.task import flatten

from data.atomic_files import write_json
from data.hashing import spec_hash
from data.held_folders import holding, look_at_held
from tasks.runtime import store_errors
from tasks.runtime.machine_lock import RESOURCE
from tasks.runtime.record_target import RecordTarget
from tasks.runtime.store import store

INCOMPLETE_EXIT_CODE = 3
"""Exit code of a task that is done, but whose result lacks some of what its input should have held."""
WHOLE_MACHINE = {RESOURCE: 1}
"""A Luigi resource: tasks that use every core, or measure time, run one at a time."""

_LONGEST_NAME_BYTES = 200
"""Of the readable part of a directory's name: file systems take 255 bytes, and the hash follows."""


class StoreTask(luigi.Task):
    """A task whose result is a directory of the store; it is done when its record is there.

    A subclass sets the three attributes and defines `name`, `requires` and `make`, and the other methods as needed.
    """

    stage: ClassVar[str]
    """Folder of the store that holds its directories, e.g. "crops"."""
    record: ClassVar[str]
    """The file that is written last, relative to the directory, e.g. "dataset.json"."""
    format_version: ClassVar[int] = 1
    """Raised when the same parameters give other bytes than before; older directories are then left alone."""
    extra: ClassVar[str] = ""
    """The extra whose packages it needs, a name of `tasks.runtime.extras.MODULES`; empty: the base is enough."""
    trains: ClassVar[bool] = False
    """Whether it trains: among several hosts only those with a GPU take it."""

    if TYPE_CHECKING:

        def __init__(self, **parameters: Any) -> None: ...  # Luigi's has no types

    def requires(self) -> Any:
        """Return the tasks that this one is made from: one, a list, or a dict by role."""
        return []

    def name(self) -> str:
        """Return the readable part of the directory's name, e.g. "Sample"."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """Return everything that changes the output, as JSON data; never paths in the store or threads."""
        return {}

    def make(self) -> Iterator[Sequence[luigi.Task]] | None:
        """Write the result into `directory()`, the record last. A generator waits for the tasks that it yields."""
        raise NotImplementedError

    def dynamic_requires(self) -> Sequence["StoreTask"]:
        """Return the tasks that `make` would yield; none while they are not known."""
        return []

    def summary(self) -> str:
        """Return what is printed at the end: where the result is, and the numbers that matter."""
        return f"{self.task_family}: {self.record_path()}"

    def exit_code(self) -> int:
        """Return the exit code of a run of this task alone that has succeeded: 0, or `INCOMPLETE_EXIT_CODE`."""
        return 0

    def counts(self) -> str:
        """Return the few counts that `tasks.runtime.status` prints beside a finished task."""
        return ""

    def home(self) -> "StoreTask":
        """Return the task whose directory this one writes into: itself, unless it makes one part of it."""
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

    def write_spec(self) -> None:
        """Write `spec()` to spec.json, unless the file exists."""
        path = self.directory() / "spec.json"
        if not path.exists():
            write_json(path, self.home().spec())

    @cached_property
    def directory_name(self) -> str:
        """`<stage>/<name>-<12 hex>`; computed once, as Luigi keeps one instance for equal parameters."""
        home = self.home()
        if home is not self:
            return home.directory_name
        readable = re.sub(r"[^\w.-]+", "-", self.name()).strip(".-") or self.stage
        readable = readable.encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore")
        return f"{self.stage}/{readable}-{spec_hash(self.spec())}"

    @property
    def spec_hash(self) -> str:
        """The 12 hex digits at the end of the directory's name."""
        return self.directory_name.rpartition("-")[2]

    def directory(self) -> Path:
        """Return the directory that holds the result."""
        return Path(store().root) / self.directory_name

    def record_path(self) -> Path:
        """Return the path of the record."""
        return self.directory() / self.record

    def load_record(self) -> dict[str, Any]:
        """Return the content of the record."""
        return RecordTarget(self.record_path()).load()

    def output(self) -> RecordTarget:
        """Return the record."""
        return RecordTarget(self.record_path())

    def is_done(self) -> bool:
        """Return whether the record exists."""
        return self.output().exists()

    def complete(self) -> bool:
        """Return `is_done`, and fire an event with what it raises: Luigi itself would only log that."""
        look_at_held()  # a task process that is forked after this knows that there is a store
        try:
            with store_errors.explain_store_errors():
                return self.is_done()
        except Exception as error:
            luigi.Task.trigger_event(self, Event.BROKEN_TASK, self, error)
            raise

    def run(self) -> Iterator[Sequence[luigi.Task]] | None:
        """Write spec.json and make the result, unless another host has made it in the meantime.

        Raises:
            UserError: the store can't be written or read.
        """
        if self.complete():
            return None
        with holding(Path(store().root)), store_errors.explain_store_errors():
            self.write_spec()
            look_at_held()
            made = self.make()
        return None if made is None else _with_store_errors(made)


def remove_empty_directory(task: StoreTask, error: BaseException) -> None:
    """Remove the directory of a task that failed before it had made anything in it.

    Args:
        task: the task that failed.
        error: what it raised; not used.
    """
    directory = task.directory()
    if directory.is_dir() and [path.name for path in directory.iterdir()] == ["spec.json"]:
        (directory / "spec.json").unlink()
        # Another task of the same directory or stage may already be writing there: then it stays.
        with contextlib.suppress(OSError):
            directory.rmdir()
            directory.parent.rmdir()


StoreTask.event_handler(Event.FAILURE)(remove_empty_directory)  # type: ignore[no-untyped-call]  # Luigi has no type for it


def _with_store_errors(made: Iterator[Sequence[luigi.Task]]) -> Iterator[Sequence[luigi.Task]]:
    """Yield what `make` yields, and explain errors about the store as `run` does."""
    with holding(Path(store().root)), store_errors.explain_store_errors():
        yield from made


def _directory_names(tasks: Any) -> str | list[str]:
    names = [task.directory_name for task in flatten(tasks) if isinstance(task, StoreTask)]
    return names[0] if isinstance(tasks, luigi.Task) and names else names
