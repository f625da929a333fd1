"""Show how far all hosts together are: on luigid's page for each task, and in a bar of this host's terminal.

It runs in the thread that pings luigid for this worker, so that it goes on while a task runs in the main thread.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from luigi.rpc import RPCError

from data.file_names import escape_name
from tasks.runtime.cluster.admission import INFO_KEY
from tasks.runtime.cluster.scheduler_client import PatientScheduler
from tasks.runtime.cluster.worker import ClusterWorker
from tasks.runtime.progress import refresh
from tasks.runtime.progress_board import Board, State
from tasks.runtime.store_task import StoreTask

TICK_S = 5.0


class HostProgress:
    """Reports what the tasks of this host have done, and reads what all hosts have done.

    Args:
        worker: this host's worker.
        scheduler: luigid.
        board: where this host's tasks write their numbers.
        clock: returns seconds.
    """

    def __init__(
        self,
        worker: ClusterWorker,
        scheduler: PatientScheduler,
        board: Board,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker, self._scheduler, self._board, self._clock = worker, scheduler, board, clock
        self._next_tick = 0.0
        self._sent: dict[str, str] = {}
        self._begun: dict[StoreTask, State] = {}
        """By result: what was there when this host first looked."""
        self._whole: set[StoreTask] = set()
        """The results all of whose parts are there."""

    def tick(self) -> None:
        """Report and draw, if it is time to; a luigid that does not answer costs a report, and nothing else."""
        if self._clock() < self._next_tick:
            return
        self._next_tick = self._clock() + TICK_S
        with contextlib.suppress(RPCError, OSError), self._scheduler.hurried():
            self._report()
            workers = self._read_workers()
            self._draw(len({one.get("host") for one in workers}))

    def _report(self) -> None:
        """Tell luigid how far each task of this host is."""
        with self._board.locked() as sheet:
            states = dict(sheet.states)
        for task_id in self._worker.running():
            state = states.get(task_id)
            if state is None:
                continue
            done = f"{state.done} of {state.total}" if state.total else f"{state.done}"
            message = f"{self._worker.host}: {done} {state.unit}" + (f", {state.note}" if state.note else "")
            if self._sent.get(task_id) == message:
                continue
            self._sent[task_id] = message
            self._scheduler.set_task_status_message(task_id=task_id, status_message=message)
            if state.total:
                self._scheduler.set_task_progress_percentage(
                    task_id=task_id, progress_percentage=int(100 * state.done / state.total)
                )

    def _read_workers(self) -> list[dict[str, Any]]:
        """Return the workers that take part; notice where luigid has forgotten this one."""
        workers: list[dict[str, Any]] = self._scheduler.worker_list(include_running=False)
        known = {one["name"] for one in workers if INFO_KEY in one}
        if self._worker.is_registered and self._worker._id not in known:
            self._scheduler.returns += 1
        return [one for one in workers if one["name"] in known and one["state"] != "disabled"]

    def _draw(self, hosts: int) -> None:
        """Put a bar for each result that hosts make together into the sheet; a whole one gets its closing line."""
        now = time.monotonic()
        with self._board.locked() as sheet:
            for home, records in self._worker.parts.records.copy().items():
                if home not in self._whole:
                    bar = self._measure(home, records, now)
                    if bar.done < bar.total:
                        bar = replace(bar, note=_count(hosts), pid=os.getpid())
                    else:
                        self._whole.add(home)
                        bar = replace(bar, ended=now)
                    if bar.ended is None or bar.done > bar.initial:
                        sheet.states["/".join((bar.label, bar.name, bar.unit))] = bar
            refresh(sheet, self._board.screen, now)

    def _measure(self, home: StoreTask, records: list[Path], now: float) -> State:
        """Return how many parts of a result are there."""
        done = _count_present(records)
        if home not in self._begun:
            name = f"{escape_name(home.name())}, all hosts"
            self._begun[home] = State(home.task_family, name, "parts", now, initial=done)
        return replace(self._begun[home], done=done, total=len(records))


def _count(hosts: int) -> str:
    return "1 host" if hosts == 1 else f"{hosts} hosts"


def _count_present(records: list[Path]) -> int:
    """Return how many records exist; one look at each folder, since a store may be far away."""
    present: dict[Path, set[str]] = {}
    for folder in {record.parent for record in records}:
        try:
            present[folder] = set(os.listdir(folder))
        except OSError:
            present[folder] = set()
    return sum(record.name in present[record.parent] for record in records)
