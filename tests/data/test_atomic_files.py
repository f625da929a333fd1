import errno
import hashlib
import multiprocessing
import os
import signal
import stat

import pytest

from data import atomic_files
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

PARTS = [f".srf-{hashlib.sha256(b'a').hexdigest()[:16]}-{end}.part" for end in ("0123abcd", "4567cdef")]
"""Names of partial files of `a`, which a killed writer may leave."""


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


@pytest.mark.parametrize(("write", "parts"), [(_write_file, 1), (_write_directory, 2)])
def test_partial_files_of_a_killed_writer_are_removed_and_those_of_a_live_one_are_kept(
    write, parts, tmp_path
):
    context = multiprocessing.get_context("fork")
    is_writing = context.Event()
    writer = context.Process(target=_write_until_killed, args=(write, tmp_path / "a", is_writing))
    writer.start()
    assert is_writing.wait(20)
    list(write(tmp_path / "a"))
    assert len(names(tmp_path)) == 1 + parts, "the partial files of the live writer must stay"
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    list(write(tmp_path / "a"))
    assert names(tmp_path) == ["a"]


def test_locks_are_taken_on_files_open_for_writing(tmp_path, monkeypatch):
    """Between hosts, NFS has no other locks, and none on directories."""
    modes, lock = [], atomic_files.fcntl.flock

    def record_mode(handle, how):
        modes.append(
            (
                stat.S_ISREG(os.fstat(handle).st_mode),
                atomic_files.fcntl.fcntl(handle, atomic_files.fcntl.F_GETFL) & os.O_RDWR,
            )
        )
        lock(handle, how)

    monkeypatch.setattr(atomic_files.fcntl, "flock", record_mode)
    (tmp_path / PARTS[0]).mkdir()
    (tmp_path / PARTS[1]).write_bytes(b"half")
    list(_write_directory(tmp_path / "a"))
    list(_write_file(tmp_path / "b"))
    assert names(tmp_path) == ["a", "b"]
    assert modes == [(True, os.O_RDWR)] * 4


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


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def no_locks(request, monkeypatch):
    def refuse(handle, how):
        raise OSError(getattr(errno, request.param), "no locks here")

    monkeypatch.setattr(atomic_files.fcntl, "flock", refuse)


@pytest.mark.parametrize("write", [_write_file, _write_directory])
def test_a_mount_without_locks_is_written_to_and_nothing_is_left(write, no_locks, tmp_path):
    list(write(tmp_path / "a"))
    with pytest.raises(RuntimeError):
        for _ in write(tmp_path / "a"):
            raise RuntimeError
    assert names(tmp_path) == ["a"]


def test_without_locks_partial_files_stay_since_their_writer_may_be_alive(no_locks, tmp_path):
    (tmp_path / PARTS[0]).mkdir()
    (tmp_path / PARTS[1]).write_bytes(b"half")
    list(_write_file(tmp_path / "a"))
    assert names(tmp_path) == [PARTS[0], PARTS[1], "a"]


def test_a_lock_that_fails_leaves_no_partial_file(tmp_path, monkeypatch):
    def fail(handle, how):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(atomic_files.fcntl, "flock", fail)
    for write in (_write_file, _write_directory):
        with pytest.raises(OSError, match="broken"):
            list(write(tmp_path / "a"))
    assert names(tmp_path) == []


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


def test_a_partial_file_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    target, swept = tmp_path / "a.json", []
    lock = atomic_files.fcntl.flock

    def lock_late(handle, how):
        if not swept and how == atomic_files.fcntl.LOCK_EX:
            swept.extend(tmp_path.glob(".srf-*"))
            for part in swept:
                part.unlink()
        lock(handle, how)

    monkeypatch.setattr(atomic_files.fcntl, "flock", lock_late)
    write_bytes(target, b"whole")
    assert len(swept) == 1 and target.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", [b"x" * 255, b"caf\xe9.json", "ä".encode() * 127, b"-rf\n*?[.json"])
@pytest.mark.parametrize("write", [_write_file, _write_directory])
def test_every_name_that_the_file_system_takes_can_be_written(write, name, tmp_path):
    path = tmp_path / os.fsdecode(name)
    for _ in write(path):
        assert all(len(os.fsencode(part.name)) <= 41 for part in tmp_path.iterdir())
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
