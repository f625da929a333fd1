"""What the starter sees of its ranks."""

import pytest

from data.atomic_files import read_json
from data.errors import UserError
from sr.distributed import heartbeat
from sr.distributed.attendance import BEGIN_WITHIN_S, COME_WITHIN_S, Attendance
from sr.distributed.earlier import wait_for_earlier_ranks
from sr.distributed.heartbeat import SILENT_AFTER_S, HeartbeatWriter, say_once
from sr.distributed.run_files import HEARTBEAT, beat_of, sign_of
from sr.distributed.session import open_session
from sr.distributed.team import HostRanks, Team

TEAM = Team(3, "ssh", (HostRanks("a", 1), HostRanks("b", 2)))
SILENT_LOOKS = int(SILENT_AFTER_S)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let writers beat only when a test says so."""
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 3600.0)


@pytest.fixture
def session(tmp_path):
    (tmp_path / "run").mkdir()
    return open_session(tmp_path, TEAM, ())


def come(run_dir, session, rank, host, device="cpu"):
    path = run_dir / beat_of(session.id, rank)
    return HeartbeatWriter(
        path, session=session.id, rank=rank, host=host, pid=100 + rank, device=device, state="running"
    )


def test_the_record_says_which_rank_is_on_which_host(tmp_path, session):
    attendance = Attendance(tmp_path, session)
    for rank, host in enumerate("abb"):
        attendance.look()
        assert not (tmp_path / "run/ranks.json").exists()
        come(tmp_path, session, rank, host)
    attendance.look()
    record = read_json(tmp_path / "run/ranks.json")
    assert (record["world_size"], record["hosts"]) == (3, ["a", "b"])
    assert record["ranks"][2] == {"rank": 2, "host": "b", "pid": 102, "device": "cpu"}


def begin(run_dir, session, *hosts):
    for host in hosts:
        say_once(run_dir / sign_of(session.id, host), session=session.id)


def test_a_host_that_says_nothing_is_named_within_a_minute(tmp_path, session):
    attendance = Attendance(tmp_path, session)
    begin(tmp_path, session, 0)
    come(tmp_path, session, 0, "a")
    for _ in range(int(BEGIN_WITHIN_S) - 1):
        attendance.look()
    assert attendance.find_fault() is None
    attendance.look()
    assert "Host b has said nothing for 40 s" in str(attendance.find_fault())
    assert BEGIN_WITHIN_S < 60
    begin(tmp_path, session, 1)
    attendance.look()
    assert attendance.find_fault() is None


def test_ranks_that_do_not_come_are_named_with_their_host(tmp_path, session):
    attendance = Attendance(tmp_path, session)
    begin(tmp_path, session, 0, 1)
    come(tmp_path, session, 0, "a")
    for _ in range(int(COME_WITHIN_S) - 1):
        attendance.look()
    assert attendance.find_fault() is None
    attendance.look()
    assert "Host b (ranks 1, 2) did not come within 120 s" in str(attendance.find_fault())


def test_a_silent_host_is_named_within_a_minute_and_one_that_has_ended_is_not(tmp_path, session):
    attendance = Attendance(tmp_path, session)
    writers = [come(tmp_path, session, rank, host) for rank, host in enumerate("abb")]
    writers[2].say(state="ended")
    for look in range(SILENT_LOOKS + 1):
        assert attendance.find_fault() is None, look
        writers[0].say()
        attendance.look()
    assert str(attendance.find_fault()).startswith("Host b (rank 1) has been silent for 30 s")
    assert SILENT_AFTER_S < 60


def test_a_host_without_its_gpu_is_named(tmp_path, session):
    attendance = Attendance(tmp_path, session)
    for rank, device in enumerate(("cuda", "cuda", "cpu")):
        come(tmp_path, session, rank, "abb"[rank], device)
    attendance.look()
    assert "Host b (rank 2) found no GPU that torch can use" in str(attendance.find_fault())


def test_a_session_has_ended_when_all_ranks_say_so(tmp_path, session):
    attendance = Attendance(tmp_path, session)
    writers = [come(tmp_path, session, rank, host) for rank, host in enumerate("abb")]
    for writer in writers:
        attendance.look()
        assert not attendance.have_ended()
        writer.stop(state="ended")
    attendance.look()
    assert attendance.have_ended()


def starter(run_dir, session):
    return HeartbeatWriter(run_dir / HEARTBEAT, session=session.id, host="a", pid=7, wish="train")


def test_a_session_that_ended_in_order_is_not_waited_for(tmp_path, session):
    waits = []
    starter(tmp_path, session).stop(wish="end")
    come(tmp_path, session, 0, "a").stop(state="ended")
    wait_for_earlier_ranks(tmp_path, print, waits.append)
    assert waits == []


def test_a_run_that_another_host_trains_is_refused_at_the_first_beat(tmp_path, session):
    writer = starter(tmp_path, session)
    with pytest.raises(UserError, match=r"Another training is running in .* host a has started it"):
        wait_for_earlier_ranks(tmp_path, print, lambda _: writer.say())


def test_ranks_without_their_starter_are_waited_for_and_then_named(tmp_path, session):
    starter(tmp_path, session)
    writer, said, waits = come(tmp_path, session, 1, "b"), [], []

    def beat_for(seconds):
        def pause(one_s):
            waits.append(one_s)
            if len(waits) <= seconds:
                writer.say()

        return pause

    wait_for_earlier_ranks(tmp_path, said.append, beat_for(20))
    assert len(waits) == 24 and said == ["Ranks of an earlier start are still ending on b (process 101)."]
    with pytest.raises(UserError, match=r"Ranks of an earlier start .* do not end: on b \(process 101\)"):
        wait_for_earlier_ranks(tmp_path, said.append, beat_for(1000))


def test_on_one_host_the_lock_is_enough(tmp_path):
    (tmp_path / "run").mkdir()
    here = open_session(tmp_path, Team(1, "here", (HostRanks("a", 1),)), ())
    writer, waits = starter(tmp_path, here), []
    wait_for_earlier_ranks(tmp_path, print, lambda _: waits.append(writer.say()))
    assert waits == []
