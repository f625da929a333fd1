"""Run every row of `dag_rows` once, undisturbed, and keep the disk as it was before and after each."""

import json
import shutil
from collections.abc import Collection
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

    def prepare(self, tasks: Collection[str]) -> None:
        """Run the rows up to the last one of these tasks, except those that were run before."""
        last = max(number for number, row in enumerate(ROWS) if row.task in tasks)
        self._folder.mkdir(exist_ok=True)
        place = Place(self._scratch, 99)
        place.leave_others()
        content = None
        for row in ROWS[: last + 1]:
            folder = self._folder / row.task
            if not (folder / "run.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                place.new_disk(content)
                self._prepare_row(row, place, folder)
            if not row.is_fresh:
                content = folder / "after"

    def _prepare_row(self, row: Row, place: Place, folder: Path) -> None:
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
        record = {"arguments": arguments, "accesses": [[one.kind, one.at_s] for one in accesses]}
        (folder / "run.json").write_text(json.dumps(record))

    def _run(
        self, words: list[str], place: Place, folder: Path, task: str = ""
    ) -> tuple[list[Access], list[str]]:
        crops = next(place.disk.glob("*/crops/*"), None)
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

    def modules(self, tasks: Collection[str]) -> list[str]:
        """Return the modules that the runs of these tasks had imported."""
        names: dict[str, None] = {}
        for path in (self._folder / task / "modules.txt" for task in tasks):
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
