"""Files that change while their writers live."""

import pytest
from process_trees import wait_until

from sr.distributed import heartbeat
from sr.distributed.heartbeat import HeartbeatReader, HeartbeatWriter


def test_a_heartbeat_goes_on_until_it_is_stopped_and_says_something_last(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 0.01)
    writer, reader = (
        HeartbeatWriter(tmp_path / "run/beat", host="a", wish="train"),
        HeartbeatReader(tmp_path / "run/beat"),
    )
    assert reader.read() and reader.said["wish"] == "train"
    wait_until(lambda: reader.read() and reader.changes >= 3, "three beats")
    writer.say(wish="save")
    assert reader.read() and reader.said["wish"] == "save" and reader.said["host"] == "a"
    writer.stop(wish="end")
    assert reader.read() and reader.said["wish"] == "end"
    assert not reader.read() and not reader.read()
    assert (reader.looks_since, reader.said["wish"]) == (2, "end")


def test_silence_is_counted_in_looks_so_that_a_frozen_listener_takes_no_other_for_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 3600.0)
    writer, reader = HeartbeatWriter(tmp_path / "beat"), HeartbeatReader(tmp_path / "beat")
    assert [reader.read() for _ in range(4)] == [True, False, False, False]
    assert reader.looks_since == 3
    writer.say()
    assert reader.read() and reader.looks_since == 0


@pytest.mark.parametrize("content", [None, b"", b'{"beat": 3, "wi'])
def test_a_missing_empty_or_half_written_file_says_nothing_new(tmp_path, content):
    reader = HeartbeatReader(tmp_path / "beat", {"wish": "train"})
    if content is not None:
        reader.path.write_bytes(content)
    assert reader.read() == bool(content)
    assert reader.said == {"wish": "train"}


def test_a_beat_keeps_the_files_place_and_size_and_outlives_a_vanished_store(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 3600.0)
    path = tmp_path / "beats/rank-00000"
    writer = HeartbeatWriter(path, state="running")
    before = path.stat()
    writer.say(state="ended")
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    path.unlink()
    path.parent.rmdir()
    writer.stop(state="ended")
