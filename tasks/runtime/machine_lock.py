"""Let tasks that use every core, or measure time, run one at a time on this machine.

On one machine Luigi's resource `machine` does that. luigid counts a resource for all hosts together, so among several
hosts each counts with a lock of its own.
"""

import contextlib
import os
from collections.abc import Iterator

import luigi

from data.mounts import lock_if_possible
from tasks.runtime.cluster_config import is_cluster
from tasks.runtime.progress_board import runs_directory

RESOURCE = "machine"


@contextlib.contextmanager
def machine_for(task: luigi.Task) -> Iterator[None]:
    """Wait until no other task of this host needs the whole machine, where this one does and hosts share a luigid."""
    if not (is_cluster() and RESOURCE in task.process_resources()):
        yield
        return
    path = runs_directory() / "machine.lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock_if_possible(handle)  # the system releases it when this process ends, however it ends
        yield
    finally:
        os.close(handle)
