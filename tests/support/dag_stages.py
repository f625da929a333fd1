"""Run every row of `dag_rows` once, undisturbed, and keep the disk as it was before and after each."""

import json
import shutil
from pathlib import Path
from typing import Any

from at_moment import Access, Watch
from dag_rows import ROWS, Row, row_of
from store_faults import Place
from task_runs import TaskRun

_PATIENCE_S = 600.0


class Stages:
    """The undisturbed runs.

    Args:
        scratch: folder of the suite.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._folder = scratch, scratch / "stages"

    def prepare(self) -> None:
        """Run all rows, unless that is done."""
        if (self._folder / "done").exists():
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        place = Place(self._scratch, 99)
        place.leave_others()
        place.new_disk()
        for row in ROWS:
            self._prepare_row(row, place)
        (self._folder / "done").touch()

    def _prepare_row(self, row: Row, place: Place) -> None:
        folder = self._folder / row.task
        folder.mkdir()
        for arguments in row.before:
            self._run(list(arguments), place, folder)
        if row.is_fresh:
            shutil.rmtree(place.store)
        if row.makes:
            self._run(list(row.arguments), place, folder, row.task)
            for path in [path for pattern in row.makes for path in place.disk.glob(pattern)]:
                shutil.rmtree(path)
        shutil.copytree(place.disk, folder / "before", symlinks=True)
        accesses, arguments = self._run(list(row.arguments), place, folder, row.task)
        shutil.copytree(place.disk, folder / "after", symlinks=True)
        if row.is_fresh:
            place.new_disk(self._folder / "PublishDataset" / "after")
        record = {"arguments": arguments, "accesses": [[one.kind, one.at_s] for one in accesses]}
        (folder / "run.json").write_text(json.dumps(record))

    def _run(
        self, words: list[str], place: Place, folder: Path, task: str = ""
    ) -> tuple[list[Access], list[str]]:
        crops = next(place.store.glob("crops/*"), None)
        names = {"inputs": place.inputs, "disk": place.disk, "store": place.store}
        names["dataset"] = f"crops/{crops.name}" if crops else ""
        arguments = [word.format(**names) for word in ([task] if task else []) + words]
        arguments += ["--store-root", str(place.store)]
        watched = place.own / "watch"
        shutil.rmtree(watched, ignore_errors=True)
        watched.mkdir()
        watch = Watch(watched, place.disk)
        environment = place.environment()
        environment |= watch.environment | {
            "PYTHONPATH": f"{watch.environment['PYTHONPATH']}:{environment['PYTHONPATH']}",
            "TASK_RUN_MODULES": str(folder / "modules.txt"),
        }
        run = TaskRun([*arguments, "--workers", "1"], folder / "log.txt", environment)
        run.wait(_PATIENCE_S)
        if run.poll() != 0:
            run.end()
            raise SystemExit(f"The undisturbed run {arguments} ended with {run.code}: {run.output()[-3000:]}")
        return watch.accesses(), arguments

    def modules(self) -> list[str]:
        """Return the modules that the runs had imported."""
        names: dict[str, None] = {}
        for path in sorted(self._folder.glob("*/modules.txt")):
            names |= dict.fromkeys(path.read_text().splitlines())
        return list(names)

    def cell(self, task: str) -> dict[str, Any]:
        """Return what a `fault_cells.Cell` of a task needs to know of its undisturbed run."""
        folder = self._folder / task
        record = json.loads((folder / "run.json").read_text())
        return {
            "row": row_of(task),
            "before": folder / "before",
            "after": folder / "after",
            "accesses": [Access(kind, at_s) for kind, at_s in record["accesses"]],
            "arguments": record["arguments"],
        }
