import errno
import os
from pathlib import Path

import pytest

from data import mounts
from data.errors import UserError


def refuse(handle, how=0):
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_lock_that_is_needed_names_the_mount_that_has_none(tmp_path, monkeypatch):
    with open(tmp_path / "lock", "w") as file:
        mounts.lock(file.fileno(), tmp_path / "lock")
        monkeypatch.setattr(mounts.fcntl, "flock", refuse)
        with pytest.raises(UserError) as caught:
            mounts.lock(file.fileno(), tmp_path / "lock")
    assert str(caught.value).startswith(f"{mounts.mount_of(tmp_path)}, the mount of {tmp_path}/lock, has no")


def test_the_mount_of_a_path_is_found_through_links_and_missing_folders(tmp_path):
    (tmp_path / "link").symlink_to("/proc")
    assert mounts.mount_of(tmp_path / "link" / "none" / "at all") == Path("/proc")


def test_a_folder_that_cannot_be_opened_or_synced_is_passed_over(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    mounts.sync_directory(tmp_path)
    assert len(synced) == 1

    def forbid(path, flags):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", forbid)
    mounts.sync_directory(tmp_path)
    assert len(synced) == 1
