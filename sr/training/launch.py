"""Starts a training run on its ranks, and passes on what it reports.

It loads neither torch nor DeepSpeed: the training runs in other processes, which report through files.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from data.atomic_files import read_json, write_json
from data.held_folders import make_folder
from data.progress import Progress, silent
from data.record_json import to_plain
from sr.distributed.launch import Program, launch
from sr.distributed.run_lock import hold_run
from sr.distributed.team import plan_team
from sr.models.run_files import JOB
from sr.training.job import RunOptions, TrainingJob
from sr.training.run_files import PLAN, PROGRESS, RECORD, RUN_OPTIONS
from sr.training.settings import check_settings

_DEFAULT_OPTIONS = RunOptions()


def train(
    job: TrainingJob,
    run_dir: Path,
    progress: Progress = silent,
    options: RunOptions = _DEFAULT_OPTIONS,
    say: Callable[[str], object] = print,
) -> None:
    """Train a model, resuming from the latest checkpoint in `run_dir`; write training.json at the end.

    If this process dies, even by SIGKILL, all ranks die with it. On SIGTERM or Ctrl+C, the ranks save a checkpoint
    first.

    Args:
        job: everything that decides the result.
        run_dir: the run's directory, created if missing. It gets job.json, checkpoints/, tensorboard/, history.jsonl,
            best.safetensors, run/ (options.json, progress.json, log.txt) and training.json.
        progress: called with the number of completed optimizer steps.
        options: how to carry it out.
        say: called with each line of the run's plan: devices, batch, steps, precision, memory and, soon, hours.

    Raises:
        UserError: the job is not valid, or the training failed.
    """
    check_settings(job)
    run_dir = Path(run_dir).resolve()
    make_folder(run_dir / "run")
    with hold_run(run_dir):
        team = plan_team(options.launcher, options.world_size, options.hostfile, job.batch_size, say)
        for stale in (RECORD, PROGRESS, PLAN):
            (run_dir / stale).unlink(missing_ok=True)
        write_json(run_dir / JOB, to_plain(job))
        resolved = dataclasses.replace(options, world_size=team.world_size)
        write_json(run_dir / RUN_OPTIONS, to_plain(resolved))
        plan = _PlanReader(run_dir / PLAN, say)

        def look() -> None:
            plan.report()
            _report(run_dir, progress)

        program = Program("sr.training.train", run_dir, run_dir / RECORD, (run_dir / job.selection,))
        launch(program, team, look, say)


def _report(run_dir: Path, progress: Progress) -> None:
    path = run_dir / PROGRESS
    if path.is_file():
        fields = read_json(path)
        progress(fields["done"], fields["total"], fields["note"])


class _PlanReader:
    """Passes on the lines of a run's plan, each once."""

    def __init__(self, path: Path, say: Callable[[str], object]) -> None:
        self._path, self._say, self._said = path, say, 0

    def report(self) -> None:
        """Pass on the lines that are new and complete."""
        if self._path.is_file():
            lines = self._path.read_text().split("\n")[:-1]
            for line in lines[self._said :]:
                self._say(line)
            self._said = len(lines)
