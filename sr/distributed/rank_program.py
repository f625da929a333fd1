"""What every rank runs around its own work."""

import os
from collections.abc import Callable
from pathlib import Path

from data.errors import UserError
from data.processes.parent_death import die_with_supervisor
from sr.distributed.rank_errors import write_error


def run_rank(run_dir: Path, work: Callable[[], object]) -> int:
    """Do this rank's work, and end with the process that started it.

    Args:
        run_dir: the run's directory, where an error is recorded.
        work: imports what loads slowly itself, so that the rank is watched before.

    Returns:
        The exit status.
    """
    die_with_supervisor()
    try:
        work()
    except UserError as error:
        write_error(run_dir, int(os.environ["RANK"]), error)
        return 1
    return 0
