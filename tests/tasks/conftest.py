"""Run the toy DAG, or any module, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))


class ToyProgram:
    """Starts programs in a directory of their own, with the repository's luigi.cfg and the toy DAG."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "tmp").mkdir()
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)]),
            "LUIGI_CONFIG_PATH": str(REPOSITORY / "luigi.cfg"),
            "TMPDIR": str(directory / "tmp"),
        }

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=self.directory, env=self.environment, **options
        )

    def luigi(self, task: str, *arguments: str) -> subprocess.CompletedProcess:
        return self.module("luigi", "--module", "toy_dag", task, *arguments)

    def module(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def program(tmp_path: Path) -> ToyProgram:
    return ToyProgram(tmp_path)
