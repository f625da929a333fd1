"""Luigi's worker_scheduler_factory for a run of several hosts."""

import time
from pathlib import Path
from typing import Any

import luigi

from data.code_hash import hash_code
from data.mounts import refresh_names
from tasks.runtime.cluster.admission import INFO_KEY, HostIdentity, check_same
from tasks.runtime.cluster.host_progress import HostProgress
from tasks.runtime.cluster.scheduler_client import PatientScheduler
from tasks.runtime.cluster.store_identity import ensure_identity, read_identity
from tasks.runtime.cluster.task_ids import TaskIds
from tasks.runtime.cluster.worker import ClusterWorker
from tasks.runtime.cluster_config import cluster
from tasks.runtime.progress_board import Board, run_board
from tasks.runtime.store import store


class ClusterFactory:
    """Makes the worker of a host, once the host is admitted.

    Args:
        root: the task that the command names.
    """

    def __init__(self, root: luigi.Task) -> None:
        self.root = root
        self._board: Board = run_board()
        self._store = Path(store().root)

    def create_local_scheduler(self) -> Any:
        """Never called: a run with Luigi's local scheduler is no cluster."""
        raise NotImplementedError

    def create_remote_scheduler(self, url: str) -> PatientScheduler:
        """Return the client of the luigid at `url`."""
        return PatientScheduler(
            url,
            TaskIds([]),
            say=self._say,
            timeout_s=cluster().scheduler_timeout_s,
            is_over=self.root.complete,
        )

    def create_worker(
        self, scheduler: PatientScheduler, worker_processes: int, assistant: bool = False
    ) -> ClusterWorker:
        """Return this host's worker.

        Raises:
            RefusedHost: this host differs from those that have begun the same run.
        """
        # In this order: a host that luigid knows has given the store its identity before.
        begun = _others(scheduler, self.root, "")
        refresh_names(self._store)
        if begun:
            check_same(HostIdentity.of_this_host(self.root, read_identity(self._store) or ""), begun[0])
        mine = HostIdentity.of_this_host(self.root, ensure_identity(self._store))
        scheduler.ids = TaskIds([hash_code(), dict(mine.libraries), mine.store])
        worker = ClusterWorker(
            root=self.root,
            has_store=lambda: read_identity(self._store) == mine.store,
            say=self._say,
            info={INFO_KEY: mine.to_plain()},
            scheduler=scheduler,
            worker_processes=worker_processes,
            assistant=False,
        )
        worker.register()
        try:
            for other in _others(scheduler, self.root, worker._id):
                check_same(mine, other)
        except BaseException:
            worker.withdraw()
            raise
        scheduler.after_ping = HostProgress(worker, scheduler, self._board).tick
        return worker

    def _say(self, text: str) -> None:
        self._board.print_once(text, cause=f"{text} {time.monotonic()}")


def _others(scheduler: PatientScheduler, root: luigi.Task, own_id: str) -> list[HostIdentity]:
    """Return the hosts that have begun the same run earlier and are still there, the first one first.

    Args:
        scheduler: luigid.
        root: the task that the command names.
        own_id: of this host's worker; empty if luigid does not know it yet.
    """
    workers = sorted(
        scheduler.worker_list(include_running=False), key=lambda one: (one["started"], one["name"])
    )
    found = []
    for one in workers:
        if one["name"] == own_id:
            break
        other = HostIdentity.from_plain(one.get(INFO_KEY))
        if other and other.root == root.task_id and one["state"] != "disabled":
            found.append(other)
    return found
