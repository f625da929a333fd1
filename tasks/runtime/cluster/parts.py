"""Keep account of the parts that results are made of, such as the shards of a dataset, and of where records are.

Luigi needs about a millisecond to make a task object, so with 2,000 shards nothing here is done twice.
"""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import luigi

from data.errors import UserError
from data.mounts import refresh_names
from tasks.runtime.fresh_view import record_folders
from tasks.runtime.store_task import StoreTask


class Parts:
    """The parts that are known so far."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        """Luigi's ids of all parts of results."""
        self.records: dict[StoreTask, list[Path]] = {}
        """For each result that is made in parts, the records of its parts."""
        self._of: dict[str, Sequence[StoreTask]] = {}
        """By id of the task that waits for them."""
        self._folders: set[Path] = set()
        """Where the records of all tasks are."""

    def of(self, task: luigi.Task) -> Sequence[StoreTask]:
        """Return the parts that a task waits for; none while they are not known, or can't be read.

        What can't be read is reported by Luigi when it asks whether the task is complete.
        """
        if not isinstance(task, StoreTask) or task.task_id in self._of:
            return self._of.get(task.task_id, ())
        found: Sequence[StoreTask] = ()
        with contextlib.suppress(UserError, OSError):
            found = task.dynamic_requires()
        if found:
            self._of[task.task_id] = found
        for part in found:
            record, home = part.record_path(), part.home()
            self._folders.add(record.parent)
            if home is not part:
                self.ids.add(part.task_id)
                self.records.setdefault(home, []).append(record)
        return found

    def find(self, tasks: Iterable[luigi.Task]) -> set[str]:
        """Return the ids of all parts of some tasks that are known by now."""
        return {part.task_id for task in list(tasks) for part in self.of(task)}

    def note_record(self, task: luigi.Task) -> None:
        """Note where the record of a task is that may be no part."""
        if task.task_id not in self.ids:
            self._folders |= record_folders([task])

    def refresh(self) -> None:
        """Look anew at the folders of all records, to see what other hosts have finished."""
        for folder in self._folders:
            refresh_names(folder)
