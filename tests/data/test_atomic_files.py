import errno
import hashlib
import multiprocessing
import os
import signal
import time

import pytest

from data import part_names
from data.atomic_files import (
    atomic_directory,
    atomic_file,
    read_json,
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
)
from data.errors import UserError
from data.part_names import FOREIGN_AGE_S, new_part

PARTS = [f".srf-{hashlib.sha256(b'a').hexdigest()[:16]}-{end}.part" for end in ("0123abcd", "4567cdef")]
"""Names of partial files of `a`, which a killed writer of another host, or of an earlier version, may leave."""


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a") as file:
        file.write(b"half")
        raise RuntimeError
    assert names(tmp_path) == []
    with atomic_file(tmp_path / "deep" / "a", "w") as file:
        assert names(tmp_path / "deep") != ["a"]
        file.write("ü\n")
    assert (tmp_path / "deep" / "a").read_bytes() == "ü\n".encode()


def test_the_older_file_stays_if_writing_fails(tmp_path):
    write_json(tmp_path / "a", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a", object())
    assert read_json(tmp_path / "a") == 1


def test_a_directory_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "d") as part:
        (part / "x").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == []
    for text in ("old", "new"):
        with atomic_directory(tmp_path / "d") as part:
            (part / text).write_text(text)
    assert names(tmp_path / "d") == ["new"]


def _write_file(path):
    with atomic_file(path) as file:
        file.write(b"half")
        file.flush()
        yield


def _write_directory(path):
    with atomic_directory(path) as part:
        (part / "x").write_text("half")
        yield


def _write_until_killed(write, path, is_writing):
    for _ in write(path):
        is_writing.set()
        signal.pause()


@pytest.mark.parametrize("write", [_write_file, _write_directory])
def test_partial_files_of_a_killed_writer_are_removed_and_those_of_a_live_one_are_kept(write, tmp_path):
    context = multiprocessing.get_context("fork")
    is_writing = context.Event()
    writer = context.Process(target=_write_until_killed, args=(write, tmp_path / "a", is_writing))
    writer.start()
    assert is_writing.wait(20)
    list(write(tmp_path / "a"))
    assert len(names(tmp_path)) == 2, "the partial files of the live writer must stay"
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    list(write(tmp_path / "a"))
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_with_the_same_bytes_stays(links, tmp_path, monkeypatch):
    """Readers on other hosts have it open: over NFS a replaced file is a stale one."""
    if not links:
        monkeypatch.setattr(os, "link", _refuse_links)
    write_bytes(tmp_path / "a", b"one")
    first = (tmp_path / "a").stat().st_ino
    write_bytes(tmp_path / "a", b"one")
    assert (tmp_path / "a").stat().st_ino == first
    write_bytes(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert names(tmp_path) == ["a"]


def _refuse_links(part, path):
    raise OSError(errno.EPERM, "no links here")


@pytest.mark.parametrize("write", [_write_file, _write_directory])
def test_what_another_host_writes_stays_until_it_was_not_written_to_for_a_day(write, tmp_path):
    now = time.time()
    for part, age_s in zip(PARTS, (FOREIGN_AGE_S - 60, FOREIGN_AGE_S + 60), strict=True):
        (tmp_path / part).write_bytes(b"half")
        os.utime(tmp_path / part, (now - age_s,) * 2)
    list(write(tmp_path / "a"))
    assert names(tmp_path) == [PARTS[0], "a"]


def test_a_directory_that_another_host_fills_is_as_old_as_its_newest_file(tmp_path):
    for part in PARTS:
        (tmp_path / part).mkdir()
    (tmp_path / PARTS[0] / "new").write_bytes(b"half")
    for part in PARTS:
        os.utime(tmp_path / part, (0, 0))
    list(_write_directory(tmp_path / "a"))
    assert names(tmp_path) == [PARTS[0], "a"]


def test_a_part_whose_writer_has_the_number_of_another_process_by_now_is_an_orphan(tmp_path):
    live = new_part(tmp_path / "a")
    pid, started = live.name.split("-")[3:5]
    dead = live.with_name(live.name.replace(f"-{started}-", f"-{int(started) - 1}-"))
    huge = live.with_name(live.name.replace(f"-{pid}-", f"-{10**30}-"))
    for part in (live, dead, huge):
        part.write_bytes(b"half")
    list(_write_file(tmp_path / "a"))
    assert names(tmp_path) == [live.name, "a"]


def test_a_writer_that_cannot_be_seen_counts_as_alive(tmp_path, monkeypatch):
    """/proc may hide the processes of other users (hidepid)."""
    part = new_part(tmp_path / "a")
    part.write_bytes(b"half")

    def forbid(pid, signal):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "kill", forbid)
    monkeypatch.setattr(part_names, "_PROC", tmp_path / "hidden")
    list(_write_file(tmp_path / "a"))
    assert names(tmp_path) == [part.name, "a"]


def test_a_writer_that_has_ended_but_was_not_waited_for_is_dead(tmp_path):
    child = os.fork()
    if not child:
        os._exit(new_part(tmp_path / "a").write_bytes(b"half") - 4)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert part_names._start_time(child) == "ended"
    list(_write_file(tmp_path / "a"))
    os.waitpid(child, 0)
    assert names(tmp_path) == ["a"]


def test_two_writers_of_one_directory_leave_one_of_them_whole(tmp_path):
    for _ in _write_directory(tmp_path / "a"):
        list(_write_directory(tmp_path / "a"))
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["x"]


@pytest.mark.parametrize("write", [_write_file, _write_directory])
def test_a_mount_without_fsync_is_written_to(write, tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    list(write(tmp_path / "a"))
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("write", [_write_file, _write_directory])
def test_a_disk_that_loses_data_in_fsync_is_an_error(write, tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        list(write(tmp_path / "a"))
    assert names(tmp_path) == []


def test_jsonl_is_read_back_and_damage_is_reported(tmp_path):
    write_jsonl(tmp_path / "x.jsonl", [{"a": 1}, {"b": "ü"}])
    assert list(read_jsonl(tmp_path / "x.jsonl")) == [{"a": 1}, {"b": "ü"}]
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"b"')
    with pytest.raises(UserError, match="line 2"):
        list(read_jsonl(tmp_path / "x.jsonl"))
    with pytest.raises(UserError, match="none.json does not exist"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize("name", [b"x" * 255, b"caf\xe9.json", "ä".encode() * 127, b"-rf\n*?[.json"])
@pytest.mark.parametrize("write", [_write_file, _write_directory])
def test_every_name_that_the_file_system_takes_can_be_written(write, name, tmp_path):
    path = tmp_path / os.fsdecode(name)
    for _ in write(path):
        assert all(len(os.fsencode(part.name)) <= 64 for part in tmp_path.iterdir())
    assert os.listdir(os.fsencode(tmp_path)) == [name]


@pytest.mark.parametrize("other", [".a.mine.part", ".a.0123abcd.part", ".a.b.part"])
def test_hidden_files_of_others_stay_though_their_names_end_alike(other, tmp_path):
    (tmp_path / other).write_bytes(b"not ours")
    list(_write_file(tmp_path / "a"))
    assert names(tmp_path) == sorted(["a", other])


def test_bytes_of_a_name_that_are_not_utf_8_come_back_from_json(tmp_path):
    value = {os.fsdecode(b"caf\xe9 \xff\xfe.png"): [os.fsdecode(b"\xe9"), "\\udce9", "ü"]}
    write_json(tmp_path / "a.json", value)
    write_jsonl(tmp_path / "a.jsonl", [value])
    assert read_json(tmp_path / "a.json") == value == next(read_jsonl(tmp_path / "a.jsonl"))
    assert b"caf\\udce9" in (tmp_path / "a.json").read_bytes()
