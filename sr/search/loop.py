"""The loop of a search: one candidate after the other, until the study has enough. It loads no torch."""

import os
import time
from collections.abc import Callable

from data.errors import UserError
from data.progress import Progress, silent
from sr.search.study import Study, Turn

POLL_S = 1.0
MAX_FAILURES = 3
"""If so many candidates fail and none succeeds, the fault is not theirs, and the search ends."""


def work_through(
    study: Study, trials: int, attempt: Callable[[Turn, Progress], None], progress: Progress = silent
) -> None:
    """Try candidates until the study has enough, and no other process is trying one.

    Args:
        study: the study.
        trials: candidates in all.
        attempt: tries one, and writes its result to the study.
        progress: called with the number of candidates that are tried.

    Raises:
        UserError: the first candidates all failed.
    """
    while True:
        turn = study.next(trials)
        if turn is None and not study.is_running():
            return
        if turn is None:
            # Another process has the last candidates. If it dies, this one repeats them.
            time.sleep(POLL_S)
            continue
        done = len(study.tried()) - 1
        name = turn.candidate.name
        report = _make_report(progress, done, trials, name)
        try:
            report(0, 0, "timing")
            attempt(turn, report)
        except UserError:
            if study.failures() >= MAX_FAILURES and not study.successes():
                raise
        finally:
            os.close(turn.lock)
        progress(done + 1, trials, name)


def _make_report(progress: Progress, tried: int, trials: int, name: str) -> Progress:
    """Return a progress of one candidate's steps, which is shown beside the number of candidates."""

    def report(done: int, total: int, note: str = "") -> None:
        progress(tried, trials, f"{name}: step {done}/{total} {note}")

    return report
