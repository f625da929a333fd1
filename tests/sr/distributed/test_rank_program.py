"""What every rank does around its work."""

import signal

import pytest

from data.errors import UserError
from sr.distributed import heartbeat, rank_program
from sr.distributed.heartbeat import SILENT_AFTER_S, HeartbeatReader, HeartbeatWriter
from sr.distributed.rank_errors import read_first_error
from sr.distributed.rank_program import OTHER_AFTER_S, Watch, meet, set_environment, take_slurms_variables
from sr.distributed.run_files import HEARTBEAT, beat_of
from sr.distributed.session import open_session
from sr.distributed.team import HostRanks, Team

TEAM = Team(2, "ssh", (HostRanks("127.0.0.1", 1), HostRanks("b", 1)))


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let writers beat only when a test says so."""
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 3600.0)


@pytest.fixture
def session(tmp_path, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "DS_ACCELERATOR"):
        monkeypatch.setenv(name, "")  # so that what the rank sets is undone
        monkeypatch.delenv(name)
    (tmp_path / "run").mkdir()
    return open_session(tmp_path, TEAM, ())


@pytest.fixture
def starter(tmp_path, session):
    return HeartbeatWriter(tmp_path / HEARTBEAT, session=session.id, host="a", pid=7, wish="train")


def test_a_rank_ends_when_its_starter_is_silent(tmp_path, session, starter):
    watch = Watch(tmp_path, session)
    looks = 0
    while not (reason := watch.look()):
        looks += 1
    assert looks == SILENT_AFTER_S and "has been silent for 30 s" in reason and session.starter in reason


def test_a_rank_lives_while_its_starter_does(tmp_path, session, starter):
    watch = Watch(tmp_path, session)
    for _ in range(200):
        assert watch.look() == ""
        starter.say()


def test_a_rank_ends_when_the_starter_wants_it_and_when_the_store_is_gone(tmp_path, session, starter):
    watch = Watch(tmp_path, session)
    starter.say(wish="end")
    assert "has ended the training" in watch.look()
    gone = Watch(tmp_path / "gone", session)
    assert [bool(gone.look()) for _ in range(30)] == [False] * 29 + [True]


def test_a_rank_is_asked_once_to_save(tmp_path, session, starter, monkeypatch):
    asked, watch = [], Watch(tmp_path, session)
    monkeypatch.setattr(rank_program.os, "kill", lambda pid, number: asked.append(number))
    starter.say(wish="save")
    assert [watch.look() for _ in range(3)] == ["", "", ""]
    assert asked == [signal.SIGTERM]


def test_a_rank_of_an_earlier_start_ends_but_an_old_view_of_the_store_is_tolerated(
    tmp_path, session, starter
):
    watch = Watch(tmp_path, session)
    starter.say(session="another", host="c")
    looks = [watch.look() for _ in range(int(OTHER_AFTER_S) - 1)]
    assert looks == [""] * len(looks)
    starter.say(session=session.id)
    assert watch.look() == ""
    starter.say(session="another")
    assert "host c has started the training anew" in [watch.look() for _ in range(int(OTHER_AFTER_S))][-1]


def test_rank_0_says_where_it_is_and_the_others_hear_it(tmp_path, session, monkeypatch):
    writer = HeartbeatWriter(tmp_path / beat_of(session.id, 0), session=session.id)
    meet(tmp_path, session, 0, writer)
    first = {name: rank_program.os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")}
    assert first["MASTER_ADDR"] == "127.0.0.1" and int(first["MASTER_PORT"]) > 1024
    for name in first:
        monkeypatch.delenv(name)
    meet(tmp_path, session, 1, HeartbeatWriter(tmp_path / beat_of(session.id, 1), session=session.id))
    assert {name: rank_program.os.environ[name] for name in first} == first


def test_where_torchrun_says_it_no_rank_is_asked(tmp_path, session, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "node7")
    monkeypatch.setenv("MASTER_PORT", "29500")
    meet(tmp_path, session, 1, HeartbeatWriter(tmp_path / beat_of(session.id, 1), session=session.id))
    assert rank_program.os.environ["MASTER_ADDR"] == "node7"


def test_slurms_variables_are_taken_where_torchruns_are_not_set():
    variables = {
        "SLURM_PROCID": "5",
        "SLURM_LOCALID": "1",
        "SLURM_NTASKS": "8",
        "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    }
    take_slurms_variables(variables)
    assert [variables[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")] == list(
        "5184"
    )
    inner = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
    take_slurms_variables(inner)
    assert inner["WORLD_SIZE"] == "2"
    with pytest.raises(UserError, match="Nothing says which rank this is: RANK, LOCAL_RANK, WORLD_SIZE"):
        take_slurms_variables({})


def test_the_starters_variables_reach_the_ranks(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    for name in ("DS_TIMEOUT", "OMP_NUM_THREADS", "NCCL_DEBUG"):
        monkeypatch.setenv(name, "5")
    session = open_session(tmp_path, TEAM, ())
    variables = {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    monkeypatch.setattr(rank_program, "find_usable_gpus", lambda environment: [])
    set_environment(session, variables)
    assert variables["DS_ACCELERATOR"] == "cpu"
    monkeypatch.setattr(rank_program, "find_usable_gpus", lambda environment: [0])
    set_environment(session, on_gpu := {"WORLD_SIZE": "2"})
    assert "DS_ACCELERATOR" not in on_gpu
    assert [variables[name] for name in ("DS_TIMEOUT", "OMP_NUM_THREADS", "NCCL_DEBUG")] == ["5"] * 3
    with pytest.raises(UserError, match="one of 3, but the run has 2"):
        set_environment(session, {"WORLD_SIZE": "3"})


def test_a_rank_that_fails_is_recorded_with_its_host_and_its_heart_ends(
    tmp_path, session, starter, monkeypatch
):
    def fail():
        raise UserError("The disk is full", "Empty it")

    for name, value in {
        "RANK": "1",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Watch, "start", lambda self: None)  # it would end this process
    assert rank_program.run_rank(tmp_path, fail) == 1
    error = read_first_error(tmp_path)
    assert error.message == f"On host {rank_program.socket.gethostname()}: The disk is full"
    reader = HeartbeatReader(tmp_path / beat_of(session.id, 1))
    assert reader.read() and reader.said["state"] == "ended"
