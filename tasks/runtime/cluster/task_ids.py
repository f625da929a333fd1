"""Name tasks for luigid: Luigi's id, and a digest of all that makes two hosts' tasks different.

Luigi's id has the task's class and parameters, and nothing of the settings. With it alone luigid would give a shard of
512 pixels to a host that makes shards of 256.
"""

from typing import Any

import luigi

from data.hashing import canonical_json, sha256_bytes
from tasks.runtime.every_run_task import EveryRunTask
from tasks.runtime.store_task import StoreTask

_DIGITS = 8
_LISTS = ("deps", "new_deps", "current_tasks")


class TaskIds:
    """Translates between this process's ids of tasks and luigid's.

    Args:
        common: what must be equal on all hosts that share a task, apart from its settings: code and store.
    """

    def __init__(self, common: Any) -> None:
        self._common = common
        self._to_luigid: dict[str, str] = {}
        self._from_luigid: dict[str, str] = {}

    def register(self, task: luigi.Task) -> str:
        """Return luigid's id of a task, and translate it from now on."""
        if task.task_id not in self._to_luigid:
            known = f"{task.task_id}_{self._digest(task)}"
            self._to_luigid[task.task_id] = known
            self._from_luigid[known] = task.task_id
        return self._to_luigid[task.task_id]

    def here(self, known: str) -> str | None:
        """Return this process's id of a task by luigid's; None for a task that is not of this run."""
        return self._from_luigid.get(known)

    def outgoing(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call to luigid with luigid's ids."""
        sent = dict(data)
        if isinstance(sent.get("task_id"), str):
            sent["task_id"] = self._translate(sent["task_id"])
        for name in _LISTS:
            if sent.get(name) is not None:
                sent[name] = list(map(self._translate, sent[name]))
        return sent

    def incoming(self, response: Any) -> Any:
        """Return luigid's answer to a request for work with this process's ids; any other answer unchanged."""
        if not isinstance(response, dict) or "running_tasks" not in response:
            return response
        running = [
            one | {"task_id": self.here(one["task_id"]) or one["task_id"]}
            for one in response["running_tasks"]
        ]
        answer = response | {"running_tasks": running}
        if answer.get("task_id"):
            answer["task_id"] = self.here(answer["task_id"]) or answer["task_id"]
        return answer

    def _translate(self, task_id: str) -> str:
        return self._to_luigid.get(task_id, task_id)

    def _digest(self, task: luigi.Task) -> str:
        of_task: list[str] = []
        if isinstance(task, StoreTask):
            try:
                of_task.append(task.directory_name)
            except Exception:  # it says so itself when Luigi asks whether it is complete
                of_task.append("")
        if isinstance(task, EveryRunTask):
            of_task.append(task.run_id)
        return sha256_bytes(canonical_json([self._common, of_task]))[:_DIGITS]
