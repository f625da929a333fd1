"""Luigi's worker, made to stay: it takes whatever can run, until the result that the command names is there.

Luigi's own worker leaves when luigid has nothing for it: because another host plans the shards just now, because this
host was frozen and luigid has given its work away, or because luigid was started anew and knows nothing.
"""

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import luigi
from luigi.rpc import RPCError
from luigi.task_status import DISABLED, DONE, FAILED, RUNNING
from luigi.worker import GetWorkResponse, Worker

from data.errors import UserError
from tasks.runtime.cluster.parts import Parts
from tasks.runtime.cluster.scheduler_client import PatientScheduler, ResultIsThere
from tasks.runtime.cluster_config import cluster
from tasks.runtime.fresh_view import refresh_folders
from tasks.runtime.machine_lock import RESOURCE

_ADDING_SHARE = 0.1
"""Of a worker's time at most, for adding the same tasks again: 2,000 shards take seconds."""
_POLLING_SHARE = 0.05
"""Of luigid's time at most, for one idle worker."""
_LONGEST_POLL_S = 15.0
_PAUSE_S = 30.0
FAILED_EXIT_CODE, SCHEDULING_EXIT_CODE = 30, 35


class ClusterWorker(Worker):
    """A worker that ends with exit code 0 if the result is there, also where other hosts made it.

    Args:
        root: the task that the command names.
        has_store: returns whether the store is still the one that the run began with.
        say: prints a line.
        info: what luigid shows of this worker.
        clock: returns seconds.
        options: what Luigi's worker takes.
    """

    _scheduler: PatientScheduler

    def __init__(
        self,
        *,
        root: luigi.Task,
        has_store: Callable[[], bool],
        say: Callable[[str], None],
        info: dict[str, Any],
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # as are all of Luigi's below
        self.root, self.has_store, self.say, self.clock = root, has_store, say, clock
        self._worker_info += list(info.items())
        self.exit_code: int | None = None
        """Set where this worker gives up."""
        self.made: list[str] = []
        """Luigi's ids of the tasks that this host has done."""
        self._failures, self._failed_adds = 0, 0
        self._known_returns = self._scheduler.returns
        self._added_at, self._adding_s = 0.0, 0.0
        self._asking_s = 0.0
        self.parts = Parts()
        self._said: set[str] = set()
        self._paused_at, self._pause_began, self._is_pause_said = -1e9, 0.0, False
        self.is_registered = False
        """Whether luigid should know this worker."""

    def register(self) -> None:
        """Tell luigid that this worker exists, and what it is."""
        self._scheduler.add_worker(self._id, self._worker_info)
        self.is_registered = True

    def withdraw(self) -> None:
        """Tell luigid that this worker has left."""
        with contextlib.suppress(RPCError), self._scheduler.hurried():
            self._scheduler.disable_worker(self._id)

    def __exit__(self, *error: object) -> Literal[False]:
        """End the tasks that still run, and leave: luigid would take this worker for alive for a while."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.withdraw()
        return False

    def add(self, task: luigi.Task, multiprocess: bool = False, processes: int = 0) -> bool:
        """Add a task and all that it needs; the parts of a dataset as well, once their number is known."""
        begun = self.clock()
        if task == self.root:
            self.parts.refresh()
        self._scheduler.ids.register(task)
        succeeded = bool(super().add(task, multiprocess, processes))  # type: ignore[no-untyped-call]
        if task == self.root:
            self._added_at = self.clock()
            self._adding_s = self._added_at - begun
            self._failed_adds = 0 if succeeded else self._failed_adds + 1
            self.parts.find(self._scheduled_tasks.values())
        return succeeded

    def running(self) -> list[str]:
        """Return the ids of the tasks that run on this host."""
        return list(self._running_tasks.copy())

    def count_made(self) -> str:
        """Return how many of the parts this host has made, in words; empty where nothing is made in parts."""
        known = self.parts.ids
        return f"This host made {len(known.intersection(self.made))} of {len(known)} parts." if known else ""

    def run(self) -> bool:
        """Work until the root is complete; return whether it is."""
        with contextlib.suppress(ResultIsThere):
            self.enable_again()
            super().run()  # type: ignore[no-untyped-call]
        return self._is_done()

    def _add(self, task: luigi.Task, is_complete: Any) -> Iterator[luigi.Task]:
        """Yield what a task needs, also the parts that Luigi would learn of when it runs: so hosts share them."""
        parts = self.parts.of(task) if is_complete is False else ()
        for needed in itertools.chain(parts, super()._add(task, is_complete)):  # type: ignore[no-untyped-call]
            self._scheduler.ids.register(needed)
            yield needed
        if isinstance(is_complete, bool):
            self.parts.note_record(task)

    def _add_task(self, *args: Any, **kwargs: Any) -> None:
        """Tell luigid of a task. What counts for one machine is not its business: it would count for all together."""
        task = self._scheduled_tasks.get(kwargs["task_id"])
        if kwargs.get("deps") is not None and task is not None:
            kwargs["deps"] = [*kwargs["deps"], *(part.task_id for part in self.parts.of(task))]
        resources = kwargs.get("resources") or {}
        kwargs["resources"] = {name: amount for name, amount in resources.items() if name != RESOURCE}
        if kwargs.get("runnable") and task is not None and not self._may_run(task):
            kwargs["runnable"] = False
        super()._add_task(*args, **kwargs)  # type: ignore[no-untyped-call]
        if kwargs["runnable"] is None:  # it ran here
            self._note_end(kwargs["task_id"], kwargs["status"])

    def _note_end(self, task_id: str, status: str) -> None:
        if status == DONE:
            self._failures = 0
            self.made.append(task_id)
        elif status == FAILED:
            self._failures += 1
        if self._failures >= cluster().max_failures:
            self._give_up(f"This host leaves: its last {self._failures} tasks failed. Others may go on.")

    def _may_run(self, task: luigi.Task) -> bool:
        """Return whether this host does such work; say so where it does not."""
        if not getattr(task, "trains", False) or trains_here():
            return True
        if task.task_id not in self._said:
            self._said.add(task.task_id)
            what = f"{task.task_family} is left to hosts that have a GPU"
            self.say(f"{what}; --cluster-train yes lets this host train, too.")
        return False

    def _add_worker(self) -> None:
        """Tell luigid of this worker; Luigi calls it once the tasks are added, before the work begins."""
        first = self._scheduler.ids.register(self.root)
        self._scheduler.add_worker(self._id, [*self._worker_info, ("first_task", first)])

    def _get_work(self) -> GetWorkResponse:
        if self._scheduler.returns != self._known_returns:
            self._return()
        begun = self.clock()
        response: GetWorkResponse = super()._get_work()  # type: ignore[no-untyped-call]
        self._asking_s = self.clock() - begun
        if response.task_id is None and not self._stop_requesting_work:
            self._look_again(response)
        return response

    def _handle_next_task(self) -> None:
        if self._scheduler.returns != self._known_returns:
            self._return()
        known = len(self._scheduled_tasks)
        super()._handle_next_task()  # type: ignore[no-untyped-call]
        if len(self._scheduled_tasks) != known:
            self.parts.find(self._scheduled_tasks.values())

    def _keep_alive(self, get_work_response: GetWorkResponse) -> bool:
        if self._stop_requesting_work:
            return False
        refresh_folders([self.root])
        return not self._is_done()

    def _is_done(self) -> bool:
        """Return whether the root is complete; not where that can't be read now: the next look may tell."""
        with contextlib.suppress(UserError, OSError):
            return bool(self.root.complete())
        return False

    def _sleeper(self) -> Iterator[None]:
        """Wait between two questions to luigid: longer where it takes long to answer, since many hosts ask."""
        ordinary = super()._sleeper()  # type: ignore[no-untyped-call]
        while True:
            longer_s = min(_LONGEST_POLL_S, self._asking_s / _POLLING_SHARE) - self._config.wait_interval
            if longer_s > 0:
                time.sleep(longer_s)
            next(ordinary)
            yield

    def _look_again(self, response: GetWorkResponse) -> None:
        """Add the tasks again where there are new ones, or where luigid has nothing left for this host; or give up."""
        rest_s = max(cluster().look_again_s, self._adding_s / _ADDING_SHARE)
        if self.clock() - self._added_at < rest_s or self._is_done():
            return
        self._added_at = self.clock()
        self.parts.refresh()
        if self._failed_adds >= cluster().max_failures:
            self._give_up("This host leaves: it cannot find out what is to be done.", SCHEDULING_EXIT_CODE)
            return
        has_nothing = response.n_pending_tasks == 0 and not response.running_tasks
        if has_nothing and (failed := self._find_disabled()):
            self._give_up(self._describe_failed(failed))
        elif has_nothing or self._failed_adds or self._has_new_parts():
            self._add_again()
        elif not response.running_tasks and not self._running_tasks:
            self._note_pause(response.n_pending_tasks)

    def _has_new_parts(self) -> bool:
        """Return whether luigid does not know of this host yet as one that can make some part."""
        return not self.parts.find(self._scheduled_tasks.values()) <= self._scheduled_tasks.keys()

    def _note_pause(self, waiting: int) -> None:
        """Say that no host does anything, once it has been so for a while."""
        now = self.clock()
        if now - self._paused_at > 2 * _PAUSE_S:  # a new pause, or the first look at it
            self._pause_began, self._is_pause_said = now, False
        self._paused_at = now
        if now - self._pause_began > _PAUSE_S and not self._is_pause_said:
            self._is_pause_said = True
            self.say(
                f"No host has work: {waiting} tasks wait for another try (luigid's retry_delay), or for a host that "
                "may do them. luigid's page shows which."
            )

    def _add_again(self) -> None:
        if self.has_store():
            self.add(self.root)
        else:
            self._give_up(
                "This host leaves: its store is no longer there. Mount it, and run the same command again."
            )

    def _return(self) -> None:
        """Come back after this host was away: luigid may have given up this worker, or be another one."""
        self._known_returns = self._scheduler.returns
        self._add_worker()
        for task_id in list(self._running_tasks):
            task = self._scheduled_tasks[task_id]
            # Otherwise an idle host would get them; luigid keeps them where another host already has.
            self._scheduler.add_task(
                worker=self._id,
                task_id=task_id,
                status=RUNNING,
                runnable=True,
                params=task.to_str_params(),
                family=task.task_family,
                module=task.task_module,
            )
        self._add_again()

    def _find_disabled(self) -> list[str]:
        """Return luigid's ids of the tasks of this run that failed too often."""
        listed = self._scheduler.task_list(status=DISABLED, upstream_status="")
        return [known for known in listed if self._scheduler.ids.here(known)]

    def enable_again(self) -> None:
        """Let tasks that failed too often be tried again: that is why the command was started again."""
        for known in self._find_disabled():
            self._scheduler.re_enable_task(task_id=known)
            self._scheduler.forgive_failures(task_id=known)

    def _describe_failed(self, failed: list[str]) -> str:
        error = self._scheduler.fetch_error(task_id=failed[0])
        with contextlib.suppress(ValueError, TypeError):
            error["error"] = json.loads(error["error"])
        last = str(error.get("error") or "no error is known").strip().splitlines()[-1]
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"{error.get('displayName', failed[0])}{more} failed too often, on whatever host; the last error: {last}"

    def _give_up(self, reason: str, exit_code: int = FAILED_EXIT_CODE) -> None:
        if self.exit_code is not None:
            return
        self.say(reason)
        self.exit_code = exit_code
        self._start_phasing_out()  # type: ignore[no-untyped-call]


def trains_here() -> bool:
    """Return whether this host trains."""
    chosen = cluster().train
    if chosen != "auto":
        return chosen == "yes"
    from sr.distributed.gpus import find_usable_gpus

    return bool(find_usable_gpus())
