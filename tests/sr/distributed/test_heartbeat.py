"""Files that change while their writers live."""

import pytest
from process_trees import wait_until

from sr.distributed import heartbeat
from sr.distributed.heartbeat import Ear, Heart


def test_a_heart_beats_until_it_is_stopped_and_says_something_last(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 0.01)
    heart, ear = Heart(tmp_path / "run/beat", host="a", wish="train"), Ear(tmp_path / "run/beat")
    assert ear.listen() and ear.said["wish"] == "train"
    wait_until(lambda: ear.listen() and ear.changes >= 3, "three beats")
    heart.say(wish="save")
    assert ear.listen() and ear.said["wish"] == "save" and ear.said["host"] == "a"
    heart.stop(wish="end")
    assert ear.listen() and ear.said["wish"] == "end"
    assert not ear.listen() and not ear.listen()
    assert (ear.looks_since, ear.said["wish"]) == (2, "end")


def test_silence_is_counted_in_looks_so_that_a_frozen_listener_takes_no_other_for_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 3600.0)
    heart, ear = Heart(tmp_path / "beat"), Ear(tmp_path / "beat")
    assert [ear.listen() for _ in range(4)] == [True, False, False, False]
    assert ear.looks_since == 3
    heart.say()
    assert ear.listen() and ear.looks_since == 0


@pytest.mark.parametrize("content", [None, b"", b'{"beat": 3, "wi'])
def test_a_missing_empty_or_half_written_file_says_nothing_new(tmp_path, content):
    ear = Ear(tmp_path / "beat", {"wish": "train"})
    if content is not None:
        ear.path.write_bytes(content)
    assert ear.listen() == bool(content)
    assert ear.said == {"wish": "train"}


def test_a_beat_keeps_the_files_place_and_size_and_outlives_a_vanished_store(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 3600.0)
    path = tmp_path / "beats/rank-00000"
    heart = Heart(path, state="running")
    before = path.stat()
    heart.say(state="ended")
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    path.unlink()
    path.parent.rmdir()
    heart.stop(state="ended")
