import os
import subprocess
import sys
from pathlib import Path

import psutil
from process_trees import alive, supervised, wait_until

from data.processes import supervise


def test_ranks_die_when_the_supervisor_itself_is_killed(tmp_path):
    rank = (
        "import sys, time; from data.processes.parent_death import die_with_supervisor; die_with_supervisor();"
        f"open(r'{tmp_path}/up', 'w').write('up'); time.sleep(600)"
    )
    command = supervised(tmp_path, sys.executable, "-c", rank)
    environment = os.environ | {"PYTHONPATH": str(Path(supervise.__file__).parents[2])}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    wait_until(lambda: (tmp_path / "up").exists(), "the rank")
    below = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    process.stdin.close()
    wait_until(lambda: not any(alive(child.pid) for child in below), "it to end")
