"""The target of a task: its record, the JSON file that is written last."""

from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json


class RecordTarget(luigi.LocalTarget):
    """A JSON file in the store.

    Args:
        record: path of the file.
    """

    def __init__(self, record: Path) -> None:
        super().__init__(str(record))  # type: ignore[no-untyped-call]  # Luigi has no types here
        self.record = record

    def exists(self) -> bool:
        """Return whether the file exists."""
        return bool(super().exists())  # type: ignore[no-untyped-call]

    def load(self) -> dict[str, Any]:
        """Return the content of the file.

        Raises:
            UserError: it is not valid JSON.
        """
        content: dict[str, Any] = read_json(self.record)
        return content
