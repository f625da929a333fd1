"""Data is prepared where no file system has locks, neither the store's nor that of TMPDIR."""

import subprocess
import sys
from pathlib import Path

import no_locks
import pytest
from commands import REPOSITORY, files

PROGRAM = str(Path(no_locks.__file__))


def run(error: str, *command: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, PROGRAM, error, sys.executable, *command]
    return subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.fixture(params=["ENOSYS"])
def error(request):
    code = "import fcntl; fcntl.flock(open('luigi.cfg'), fcntl.LOCK_EX)"
    if no_locks.FLOCK is None or "OSError" not in run(request.param, "-c", code).stderr:
        pytest.skip("the kernel takes no filter of system calls here")
    return request.param


def test_a_dataset_is_made_without_locks_and_nothing_is_left(error, options, undisturbed, tmp_path):
    store = tmp_path / "store"
    command = ["-m", "luigi", "--module", "tasks", "MakeCrops", *options, "--workers", "2"]
    made = run(error, *command, "--store-root", str(store))
    assert made.returncode == 0 and "Crops: " in made.stdout, made.stderr
    assert files(store) == undisturbed
