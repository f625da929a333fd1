"""The base class of tasks whose result is valid for one run only, such as a verification or a timing."""

import secrets
from functools import cached_property
from pathlib import Path

from data.errors import UserError
from tasks.runtime.record_target import RecordTarget
from tasks.runtime.store_task import StoreTask


class ThisRunTarget(RecordTarget):
    """A JSON file that counts as existing only when its field `run` names this run.

    Args:
        record: path of the file.
        run_id: of this run.
    """

    def __init__(self, record: Path, run_id: str) -> None:
        super().__init__(record)
        self.run_id = run_id

    def exists(self) -> bool:
        """Return whether this run has written the file."""
        try:
            return super().exists() and bool(self.load()["run"] == self.run_id)
        except (UserError, KeyError, TypeError):
            return False


class EveryRunTask(StoreTask):
    """A task that runs again in every run, since its answer may be another one tomorrow."""

    @cached_property
    def run_id(self) -> str:
        """A random id of this run. Luigi asks for the output, and so for this, before it forks."""
        return secrets.token_hex(8)

    def output(self) -> RecordTarget:
        """Return the record, which counts for this run only."""
        return ThisRunTarget(self.record_path(), self.run_id)
