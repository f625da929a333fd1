"""See what other hosts have just finished: NFS remembers for up to a minute that a file was not there."""

from collections.abc import Iterable
from pathlib import Path

import luigi

from data.mounts import refresh_names
from tasks.runtime.cluster_config import is_cluster
from tasks.runtime.store_task import StoreTask

_MANY = 20


def refresh_view(task: luigi.Task) -> None:
    """Look anew, in a run of several hosts, at the folders of a task's record and of the records that it needs."""
    if is_cluster() and isinstance(task, StoreTask):
        refresh_folders([task, *task.deps()])  # type: ignore[no-untyped-call]  # Luigi has no types here
        parts = task.dynamic_requires()  # known once the records above are seen
        refresh_folders(
            parts[:1] if len(parts) > _MANY else parts
        )  # many are parts of one result, in one folder


def refresh_folders(tasks: Iterable[luigi.Task]) -> None:
    """Look anew at each folder that holds a record of these tasks."""
    for folder in record_folders(tasks):
        refresh_names(folder)


def record_folders(tasks: Iterable[luigi.Task]) -> set[Path]:
    """Return the folders that hold the records of these tasks."""
    return {task.record_path().parent for task in tasks if isinstance(task, StoreTask)}
