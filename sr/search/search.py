"""Searches an architecture: tries one candidate after the other, and writes what came of all of them.

Any number of processes may do so in one directory at the same time, also on several hosts.
"""

from pathlib import Path
from typing import Any

from data.atomic_files import write_json
from data.progress import Progress, silent
from sr.search.int8_speed import SpeedMeter
from sr.search.loop import work_through
from sr.search.page import make_record, write_files
from sr.search.settings import SearchSettings
from sr.search.study import Study, Turn
from sr.search.trial import try_candidate

RECORD = "search.json"


def search(settings: SearchSettings, directory: Path, progress: Progress = silent) -> dict[str, Any]:
    """Search, or go on with a search that was interrupted or shall try more; write search.json at the end.

    Args:
        settings: equal for all processes of the search.
        directory: of the search; created if missing.
        progress: called with the number of candidates that are tried.

    Returns:
        The content of search.json, see `page.make_record`.

    Raises:
        UserError: a setting is invalid, or nothing can be trained.
    """
    settings.space.check()
    study = Study(directory, settings.space, settings.seed)
    meter = SpeedMeter(settings.space.reference, settings.space.timed_planes, settings.size, settings.seconds)

    def attempt(turn: Turn, report: Progress) -> None:
        try_candidate(study, turn, meter, settings.budget, report)

    work_through(study, settings.trials, attempt, progress)
    record = make_record(study, settings.space, _describe(settings))
    write_files(record, directory)
    write_json(directory / RECORD, record)
    return record


def _describe(settings: SearchSettings) -> dict[str, Any]:
    """Return what the record says of how it was searched."""
    budget, (height, width) = settings.budget, settings.size
    return {
        "trials": settings.trials,
        "seed": settings.seed,
        "steps": budget.steps,
        "validations": budget.validations,
        "prune_db": budget.prune_db,
        "selection_hash": budget.selection_hash,
        "width_px": width,
        "height_px": height,
        "seconds": settings.seconds,
        "training": dict(budget.training),
    }
