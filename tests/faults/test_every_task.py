"""The suite over every task has a row for each, and stops a program where it says."""

import os
import subprocess
import sys
import time

from at_moment import Watch
from dag_rows import ROWS, without_row

import tasks

PROGRAM = """
import sys
from pathlib import Path
root = Path(sys.argv[1])
(root / "one").write_text("1")
(root / "one").rename(root / "two")
(root / "two").read_text()
"""


def test_every_task_has_a_row_and_every_row_a_task():
    assert without_row(tasks.__all__) == []
    assert {row.task for row in ROWS} <= set(tasks.__all__)


def test_a_program_waits_before_its_chosen_access_until_it_may_go_on(tmp_path):
    below, folder = tmp_path / "below", tmp_path / "watch"
    below.mkdir()
    folder.mkdir()
    watch = Watch(folder, below, number=2)
    command = [sys.executable, "-c", PROGRAM, str(below)]
    with subprocess.Popen(command, env=os.environ | watch.environment) as program:
        deadline = time.monotonic() + 30
        while not watch.is_waiting():
            assert program.poll() is None and time.monotonic() < deadline
        assert sorted(path.name for path in below.iterdir()) == ["one"], "the renaming waits"
        watch.go_on()
        assert program.wait(30) == 0
    assert "".join(access.kind for access in watch.accesses()) == "wmr"
    assert sorted(path.name for path in below.iterdir()) == ["two"]
