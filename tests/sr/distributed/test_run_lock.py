"""Two programs are kept out of one run directory."""

import errno

import pytest

from data.errors import UserError
from sr.distributed import run_lock


def test_a_run_directory_on_a_mount_without_locks_is_refused_by_name(tmp_path, monkeypatch):
    def refuse(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.supervise.fcntl, "flock", refuse)
    (tmp_path / "run").mkdir()
    with (
        pytest.raises(UserError, match=f"the mount of {tmp_path}/.*, has no file locks"),
        run_lock.hold_run(tmp_path),
    ):
        pass
