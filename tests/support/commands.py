"""Run luigi on the command line as a user does, and read what the run left in its store."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def luigi(
    store: Path,
    *arguments: str,
    path: str = os.environ["PATH"],
    when: str = "",
    by: str = "",
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a task of the DAG from the repository root, with its luigi.cfg.

    Args:
        store: the store's root.
        arguments: the task and its parameters.
        path: PATH of the run.
        when: the moment at which the run is disturbed: DISTURB_WHEN of `disturbed.py`; empty for no disturbance.
        by: how it is disturbed: DISTURB_BY of `disturbed.py`.
        timeout_s: after so many seconds, the run is ended.
    """
    module = "disturbed" if when else "tasks"
    command = [sys.executable, "-m", "luigi", "--module", module, *arguments, "--store-root", str(store)]
    environment = {name: value for name, value in os.environ.items() if name != "LUIGI_CONFIG_PATH"}
    if when:
        environment |= {"DISTURB_WHEN": when, "DISTURB_BY": by, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def files(store: Path) -> dict[str, bytes]:
    """Return the files of a store, content by path, without run/, which differs between equal runs."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and "run" not in path.relative_to(store).parts
    }
