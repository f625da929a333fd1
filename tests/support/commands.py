"""The command line, run from the repository root as a person does."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def luigi(store: Path, *arguments: str, when: str = "", by: str = "") -> subprocess.CompletedProcess:
    """Run `luigi --module tasks` with a store; with `when` and `by` disturbed as `disturbed.py` says."""
    module = "disturbed" if when else "tasks"
    command = [sys.executable, "-m", "luigi", "--module", module, *arguments, "--store-root", str(store)]
    environment = {name: value for name, value in os.environ.items() if name != "LUIGI_CONFIG_PATH"}
    if when:
        environment |= {"DISTURB_WHEN": when, "DISTURB_BY": by, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def files(directory: Path) -> dict[str, bytes]:
    """Return the files below a directory, without those that differ between equal runs."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and "run" not in path.relative_to(directory).parts
    }
