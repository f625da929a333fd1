"""Work on a study without training: python search_worker.py DIRECTORY TRIALS [HANG_AT].

Each candidate prints its name; at the one with the number HANG_AT, counted from 1, the process waits to be killed.
"""

import sys
import threading
from pathlib import Path

from sr.search.loop import work_through
from sr.search.space import SearchSpace
from sr.search.study import SPEED, Study, Turn

SPACE = SearchSpace(2, (3, 4, 5), (8, 16, 32), ("luma",), (2, 4), ("relu", "prelu"), ("on",))
SEED = 5


def open_study(directory: Path) -> Study:
    """Open the study that these workers share."""
    return Study(directory, SPACE, SEED)


def results(turn: Turn) -> tuple[float, float]:
    """Return PSNR and milliseconds that follow from the candidate."""
    candidate = turn.candidate
    return 30.0 + candidate.layers / 10 + candidate.channels / 100, candidate.layers * candidate.channels / 10


def work(directory: Path, trials: int, hang_at: int = 0) -> list[str]:
    """Try candidates to the end; return their names."""
    study, names = open_study(directory), []

    def attempt(turn: Turn, report: object) -> None:
        names.append(turn.candidate.name)
        print(turn.candidate.name, flush=True)
        if len(names) == hang_at:
            threading.Event().wait()
        psnr_db, ms = results(turn)
        turn.note(SPEED, {"ms": ms})
        study.complete(turn, psnr_db, ms)

    work_through(study, trials, attempt)
    return names


if __name__ == "__main__":
    work(Path(sys.argv[1]), *map(int, sys.argv[2:]))
