"""The ranks of one host: their variables, and how they end."""

import os
import sys
from pathlib import Path

import psutil
import pytest
from process_trees import wait_until

import sr
from data.errors import UserError
from sr.distributed import host_program
from sr.distributed.host_program import rank_environments
from sr.distributed.rank_errors import read_first_error
from sr.distributed.session import SESSION_VARIABLE, open_session
from sr.distributed.supervised import run_supervised
from sr.distributed.team import HostRanks, Team

TEAM = Team(5, "ssh", (HostRanks("a", 2), HostRanks("b", 3)))
RANK = """
import os, sys, time
from pathlib import Path
run_dir, rank = Path(sys.argv[1]), os.environ["RANK"]
(run_dir / f"pid-{rank}").write_text(str(os.getpid()))
if rank == (run_dir / "killed").read_text():
    os.kill(os.getpid(), 9)
time.sleep(600)
"""


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    (tmp_path / "run").mkdir()
    return open_session(tmp_path, TEAM, ())


def test_each_rank_gets_its_number_and_its_share_of_the_host(session, monkeypatch):
    monkeypatch.setattr(host_program, "usable_cores", lambda: 12)
    monkeypatch.setattr(host_program, "find_usable_gpus", lambda environment: [])
    found = rank_environments(session, 1, {"MASTER_PORT": "1"})
    assert [one["RANK"] for one in found] == ["2", "3", "4"]
    assert [one["LOCAL_RANK"] for one in found] == ["0", "1", "2"]
    expected = {"WORLD_SIZE": "5", "LOCAL_WORLD_SIZE": "3", "OMP_NUM_THREADS": "4", "DS_ACCELERATOR": "cpu"}
    assert expected.items() <= found[0].items() and "MASTER_PORT" not in found[0]
    assert rank_environments(session, 1, {"OMP_NUM_THREADS": "7"})[0]["OMP_NUM_THREADS"] == "7"


def test_a_host_uses_its_own_gpus_and_too_few_are_refused(session, monkeypatch):
    monkeypatch.setattr(host_program, "find_usable_gpus", lambda environment: [5, 3, 2])
    (rank,) = {one["CUDA_VISIBLE_DEVICES"] for one in rank_environments(session, 0, {})}
    assert rank == "5,3"
    monkeypatch.setattr(host_program, "find_usable_gpus", lambda environment: [0])
    with pytest.raises(UserError, match="3 ranks are to train here, but only 1 GPUs"):
        rank_environments(session, 1, {})


def test_how_threads_wait_is_left_to_torch(session, monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    assert (
        not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & rank_environments(session, 0, dict(os.environ))[0].keys()
    )


@pytest.fixture
def toy_ranks(tmp_path, session):
    """Give the command and variables that run toy ranks of host b."""
    (tmp_path / "toy_rank.py").write_text(RANK)
    (tmp_path / "killed").write_text("none")
    paths = [str(tmp_path), str(Path(sr.__file__).parents[1])]
    command = [sys.executable, "-m", "sr.distributed.host_program", str(tmp_path), "toy_rank", "1"]
    return command, os.environ | {"PYTHONPATH": os.pathsep.join(paths), SESSION_VARIABLE: session.id}


def ranks_of(run_dir):
    """Return the processes of the three ranks once all have begun."""
    paths = [run_dir / f"pid-{rank}" for rank in (2, 3, 4)]
    wait_until(lambda: all(path.is_file() and path.read_text() for path in paths), "three ranks")
    return [psutil.Process(int(path.read_text())) for path in paths]


def test_the_ranks_end_with_their_host_program_however_it_ends(tmp_path, toy_ranks):
    found = []

    def look():
        if not found:
            found.extend(ranks_of(tmp_path))
            found[0].parent().parent().kill()  # the rank's supervisor's parent: the host program
        return False

    run_supervised(*toy_ranks, tmp_path, look, poll_every_s=0.1)
    assert psutil.wait_procs(found, timeout=30)[1] == []


def test_a_killed_rank_is_named_and_ends_the_others(tmp_path, toy_ranks, monkeypatch):
    (tmp_path / "killed").write_text("3")
    status, _ = run_supervised(*toy_ranks, tmp_path, lambda: False, poll_every_s=0.1)
    assert status == 128 + 9
    assert "Rank 3 was killed by SIGKILL" in str(read_first_error(tmp_path))
    assert not any(psutil.pid_exists(int((tmp_path / f"pid-{rank}").read_text())) for rank in (2, 4))
