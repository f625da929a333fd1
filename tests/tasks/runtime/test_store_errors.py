import errno
import os

import pytest

from data.errors import UserError
from tasks.runtime import store_errors


@pytest.fixture(autouse=True)
def in_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "crops").write_text("")


@pytest.mark.parametrize(
    ("number", "file", "words"),
    [
        (errno.ENOSPC, None, "No space left on device in .store. root .work.; make room"),
        (errno.EROFS, "work/crops/x", "Read-only.*make it writable"),
        (errno.EIO, None, "Input/output error.*look at the disk"),
        (errno.ENOENT, "work/crops/x", "got nothing in work/crops/x; run again"),
        (errno.EISDIR, "work/crops/x", "Is a directory: 'work/crops/x'.*--store-root"),
    ],
)
def test_what_befalls_the_store_is_told(number, file, words):
    with pytest.raises(UserError, match=words), store_errors.told():
        raise OSError(number, os.strerror(number), file)


@pytest.mark.parametrize("file", ["elsewhere/x", "workshop/x", None])
def test_what_is_not_of_the_store_passes(file):
    with pytest.raises(FileNotFoundError), store_errors.told():
        raise FileNotFoundError(errno.ENOENT, "No such file", file)
