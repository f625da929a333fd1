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


def parts_of(task: luigi.Task) -> Sequence[StoreTask]:
    """Return the parts of a task; none where they can't be read: Luigi reports that when it asks about the task."""
    if isinstance(task, StoreTask):
        with contextlib.suppress(UserError, OSError):
            return task.dynamic_requires()
    return []


class Parts:
    """The parts that are known so far."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        """Luigi's ids of all parts."""
        self.records: dict[StoreTask, list[Path]] = {}
        """For each result that is made in parts, the records of its parts."""
        self._divided: set[str] = set()
        """The tasks whose parts are known."""
        self._folders: set[Path] = set()
        """Where the records of all tasks are."""

    def note(self, tasks: Iterable[luigi.Task]) -> bool:
        """Note the parts of those tasks whose parts were not known so far; return whether there are any."""
        found = {
            task: parts_of(task)
            for task in tasks
            if isinstance(task, StoreTask) and self._may_have_parts(task)
        }
        self._divided |= {task.task_id for task, parts in found.items() if parts}
        new = [part for parts in found.values() for part in parts]
        for part in new:
            record = part.record_path()
            self._folders.add(record.parent)
            if (home := part.home()) is not part:
                self.ids.add(part.task_id)
                self.records.setdefault(home, []).append(record)
        return bool(new)

    def note_record(self, task: luigi.Task) -> None:
        """Note where the record of a task is that may be no part."""
        if task.task_id not in self.ids:
            self._folders |= record_folders([task])

    def refresh(self) -> None:
        """Look anew at the folders of all records, to see what other hosts have finished."""
        for folder in self._folders:
            refresh_names(folder)

    def _may_have_parts(self, task: StoreTask) -> bool:
        is_divisible = type(task).dynamic_requires is not StoreTask.dynamic_requires
        return is_divisible and task.task_id not in self._divided
