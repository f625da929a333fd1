"""`sr-factory doctor` on mounts that keep what the store relies on, and on some that do not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import no_locks
import pytest
from failures import mount

from data.store_check import checks
from data.store_check.checks import Finding, State, Topic
from data.store_check.doctor import examine
from data.store_check.mount_options import Mount, advise, check_options, find_mount
from tasks.runtime import doctor

REPOSITORY = Path(__file__).parents[3]


def test_a_local_disk_can_be_a_store_and_nothing_is_left(tmp_path, capsys):
    assert doctor.main(["--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("  ok ")]) == 6 and lines[-1].endswith(
        "can be a store."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_tmpfs_can_be_a_store(tmp_path, capsys):
    mount("-t", "tmpfs", "tmpfs", str(tmp_path))
    try:
        assert doctor.main(["--store", str(tmp_path)]) == 0
        assert f"{tmp_path} is on {tmp_path}, a mount of type tmpfs." in capsys.readouterr().out
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.fixture
def two_mounts(tmp_path):
    """Mount one directory twice, each with a memory of its own of what is there, as two hosts have."""
    if not shutil.which("bindfs"):
        pytest.skip("the program bindfs is not installed")
    (tmp_path / "disk").mkdir()
    caches = "attr_timeout=3,entry_timeout=3,negative_timeout=3"
    mounts = [tmp_path / "one", tmp_path / "two"]
    try:
        for one in mounts:
            one.mkdir()
            command = ["bindfs", "-o", caches, tmp_path / "disk", one]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"FUSE mounts are not allowed here: {done.stderr.strip()}")
        yield mounts
    finally:
        for one in mounts:
            subprocess.run(["umount", "--lazy", one], capture_output=True, check=False)


def test_stale_names_and_locks_of_one_side_are_named_with_the_options_that_fix_them(two_mounts, capsys):
    one, two = map(str, two_mounts)
    assert doctor.main(["--store", one, "--also", two, "--wait-s", "20"]) == 3
    said = capsys.readouterr().out
    assert re.search(r"sees a new file [0-9.]+ s late: meanwhile it makes the same shards once more", said)
    assert (
        "Mount options for what is seen late: attr_timeout=0, entry_timeout=0 and negative_timeout=0." in said
    )
    assert "A file lock holds on one side only" in said and said.endswith("with the limits above.\n")
    assert doctor.main(["--store", one, "--also", two, "--wait-s", "0.1"]) == 1
    assert "does not see a new file within 0.1 s" in capsys.readouterr().out


def test_a_mount_without_locks_can_be_a_store_for_data(tmp_path):
    """No mount without locks can be made here: a filter in the kernel answers flock as Lustre without -o flock does."""
    if no_locks.FLOCK is None:
        pytest.skip("the number of flock is not known for this processor")
    program = [sys.executable, no_locks.__file__, "ENOSYS", sys.executable, "-m", "tasks.cli"]
    done = subprocess.run(
        [*program, "doctor", "--store", tmp_path], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if "takes no filter" in done.stderr:
        pytest.skip("the kernel takes no filter of system calls here")
    assert done.returncode == 3 and "No file locks. Data can be prepared" in done.stdout, done.stderr


def test_another_host_is_asked_by_ssh_and_may_have_another_path(tmp_path, monkeypatch, capsys):
    """With a program in place of ssh that runs the command here, as a remote shell would."""
    (tmp_path / "ssh").write_text(
        '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\ncd / && exec sh -c "$3"\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    (tmp_path / "store").mkdir()
    (tmp_path / "their store").symlink_to("store")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    assert doctor.main(["--store", "store", "--hosts", f"b,c:{tmp_path}/their store"]) == 0
    said = capsys.readouterr().out
    assert "Between this process and b:" in said and "Between this process and c:" in said
    assert doctor.main(["--store", "store", "--hosts", f"d:{tmp_path}", "--wait-s", "0.1"]) == 1
    assert "is not seen within 0.1 s. Is it the same store?" in capsys.readouterr().out
    assert list((tmp_path / "store").iterdir()) == []


def test_what_can_not_be_tried_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "ssh").write_text("#!/bin/sh\necho 'b: Permission denied (publickey).' >&2\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for options, words in (
        (["--store", str(tmp_path / "none")], "There is no directory"),
        (
            ["--store", str(tmp_path), "--hosts", "b"],
            "The process on b has ended: b: Permission denied (publickey)",
        ),
        (["--store", str(tmp_path), "--hosts=-oProxyCommand=x"], "is not a host"),
        (["--store", "/proc"], "can't be written"),
    ):
        assert doctor.main(options) == 1
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1, error
    assert [path.name for path in tmp_path.iterdir()] == ["ssh"]


class _Reader:
    """A view that has seen this while a file was replaced."""

    name = "b"

    def __init__(self, seen):
        self.seen = seen

    def call(self, do, **arguments):
        return 0.0

    def begin(self, do, **arguments):
        pass

    def end(self):
        return self.seen


@pytest.mark.parametrize(("seen", "words"), [([None], "found no file"), (["0001"], "found 4 bytes of 8000")])
def test_a_rename_that_shows_something_in_between_rules_a_directory_out(seen, words):
    found = checks.check_rename(_Reader([]), _Reader(seen), 1)
    assert found.state is State.BROKEN and words in found.text


def test_mount_options_say_what_other_hosts_will_see(tmp_path):
    listing = tmp_path / "mountinfo"
    listing.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"40 22 0:50 / {tmp_path} rw,relatime - nfs server:/x rw,vers=3,acdirmax=30,local_lock=all\n"
    )
    found = find_mount(Path("/"), listing)
    assert (found.kind, check_options(found)) == ("ext4", [])
    nfs = Mount(tmp_path, "nfs", frozenset(["vers=3", "acdirmax=30", "local_lock=all"]))
    assert [one.topic for one in check_options(nfs)] == [
        Topic.LOCKS,
        Topic.VISIBLE,
    ]
    assert "30 s late" in check_options(nfs)[1].text and "vers=4" in advise(nfs, Topic.LOCKS)
    lustre = Mount(tmp_path, "lustre", frozenset(["rw"]))
    text = "Mounted with no flock: file locks do not reach other hosts. Preparing data needs none."
    assert check_options(lustre) == [Finding(Topic.LOCKS, State.LIMITED, text)]
    assert advise(lustre, Topic.LOCKS).startswith("flock")
    assert check_options(Mount(tmp_path, "lustre", frozenset(["flock"]))) == []
    assert examine(tmp_path).state is State.OK
