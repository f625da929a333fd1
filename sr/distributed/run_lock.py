"""Keep two programs out of one run directory."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from data.errors import UserError
from data.mounts import LACKS_LOCKS, no_locks_error
from data.processes import supervise
from sr.distributed.run_files import LOCK, PARENT_LOCK


@contextlib.contextmanager
def hold_run(run_dir: Path) -> Iterator[None]:
    """Hold a run's directory while the block runs.

    Raises:
        UserError: another training holds it, or one whose parent was killed does not exit.
    """
    with _hold(run_dir, PARENT_LOCK):
        # Our own supervisor will take this one.
        with _hold(run_dir, LOCK):
            pass
        yield


@contextlib.contextmanager
def _hold(run_dir: Path, lock: str) -> Iterator[None]:
    try:
        handle = supervise.take_lock(run_dir / lock)
    except OSError as error:
        raise no_locks_error(run_dir / lock) if error.errno in LACKS_LOCKS else error from error
    if handle is None:
        raise UserError(f"Another training is running in {run_dir}", "Wait for it, or stop it")
    try:
        yield
    finally:
        os.close(handle)
