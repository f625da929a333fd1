import shutil

import pytest

from data.disk_space import require_free_space
from data.errors import UserError


def test_a_write_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    require_free_space(tmp_path, 1000, "a.zip")
    with pytest.raises(
        UserError, match=r"a\.zip needs 1001 bytes, but .*1000 bytes are free.*\. Free some space"
    ):
        require_free_space(tmp_path, 1001, "a.zip")
    with pytest.raises(UserError, match="Give another disk"):
        require_free_space(tmp_path, 1001, "a.zip", "Give another disk")
