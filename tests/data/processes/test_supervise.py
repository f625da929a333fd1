import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_trees import FOR_EVER, PATIENCE_S, alive, supervised, wait_until

from data.processes import supervise

# A launcher that starts a rank in its own session, which starts another in its own session. Each writes its id.
TREE = """
import os, subprocess, sys, time
depth, out = int(sys.argv[1]), sys.argv[2]
if depth:
    subprocess.Popen([sys.executable, "-c", os.environ["TREE"], str(depth - 1), out], start_new_session=True)
with open(f"{out}/{depth}.part", "w") as file:
    file.write(str(os.getpid()))
os.rename(f"{out}/{depth}.part", f"{out}/{depth}.pid")
time.sleep(600)
"""

# A parent that starts the supervisor with a pipe, as sr.training.launch does, and then only waits.
PARENT = """
import subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
print(process.pid, flush=True)
process.wait()
"""


def wait_for_tree(tmp_path: Path) -> list[int]:
    """Wait for the whole tree; return its process ids."""
    wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 3, "the tree")
    return [int(file.read_text()) for file in tmp_path.glob("*.pid")]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Give the command of a launcher with two generations of processes below it; kill what is left of them."""
    monkeypatch.setenv("TREE", TREE)
    yield [sys.executable, "-c", TREE, "2", str(tmp_path)]
    for file in tmp_path.glob("*.pid"):
        if alive(int(file.read_text())):
            os.kill(int(file.read_text()), signal.SIGKILL)


def test_all_processes_die_when_the_parent_is_killed(tmp_path, tree):
    command = [sys.executable, "-c", PARENT, *supervised(tmp_path, *tree)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE)
    supervisor = int(parent.stdout.readline())
    pids = [supervisor, *wait_for_tree(tmp_path)]
    assert all(map(alive, pids))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not any(map(alive, pids)), "them to end")


def test_orphans_in_other_sessions_die_with_the_launcher(tmp_path, tree):
    process = subprocess.Popen(supervised(tmp_path, *tree), stdin=subprocess.PIPE)
    pids = wait_for_tree(tmp_path)
    os.kill(int((tmp_path / "2.pid").read_text()), signal.SIGKILL)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGKILL
    assert not any(map(alive, pids))
    process.stdin.close()


def test_the_exit_status_is_the_programs(tmp_path):
    process = subprocess.Popen(supervised(tmp_path, "sh", "-c", "exit 7"), stdin=subprocess.PIPE)
    assert process.wait(PATIENCE_S) == 7
    process.stdin.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_gives_the_program_time_to_save(tmp_path, number):
    script = f'trap "echo saved > {tmp_path}/saved; exit 3" TERM; echo > {tmp_path}/up; {FOR_EVER}'
    process = subprocess.Popen(supervised(tmp_path, "sh", "-c", script), stdin=subprocess.PIPE)
    wait_until((tmp_path / "up").exists, "the program")
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 3
    assert (tmp_path / "saved").read_text() == "saved\n"
    process.stdin.close()


def test_a_saving_rank_outlives_its_launcher(tmp_path):
    # The launcher dies from the signal at once; the supervisor still waits for its orphaned rank.
    saving = f"sleep 0.3; echo saved > {tmp_path}/saved; exit 0"
    rank = f'trap "{saving}" TERM; echo > {tmp_path}/up; {FOR_EVER}'
    command = supervised(tmp_path, "sh", "-c", 'sh -c "$1" & wait', "launcher", rank)
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    wait_until((tmp_path / "up").exists, "the rank")
    process.terminate()
    assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert (tmp_path / "saved").exists()
    process.stdin.close()


def test_a_second_supervisor_of_the_same_place_gives_up(tmp_path, monkeypatch):
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.setattr(supervise, "LOCK_WAIT_S", 0.1)
        assert supervise.supervise(tmp_path / "lock", ["false"]) == supervise.EXIT_LOCKED


def test_a_mount_without_locks_is_named_and_nothing_runs(tmp_path, monkeypatch, capsys):
    def refuse(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(supervise.fcntl, "flock", refuse)
    assert supervise.supervise(tmp_path / "lock", ["touch", str(tmp_path / "ran")]) == supervise.EXIT_LOCKED
    (line,) = capsys.readouterr().err.splitlines()
    assert "No locks available" in line and str(tmp_path / "lock") in line
    assert not (tmp_path / "ran").exists()
