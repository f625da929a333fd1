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
        (errno.ENOSPC, None, "store work .* cannot be used: No space left on device. Make room"),
        (errno.EROFS, "work/crops/x", "Read-only.*Make it writable"),
        (
            errno.EIO,
            None,
            "Input/output error; .* not say .*, of the store work or of the source. Check the disk",
        ),
        (errno.EIO, "work/crops/x", "The store work .* cannot be used: Input/output error. Check the disk"),
        (errno.ENOENT, "work/crops/x", "work/crops/x was there when the run began and is gone. Run again"),
        (errno.EISDIR, "work/crops/x", "Is a directory: 'work/crops/x'.*--store-root"),
    ],
)
def test_an_error_about_the_store_says_what_to_do(number, file, words):
    with pytest.raises(UserError, match=words), store_errors.explain_store_errors():
        raise OSError(number, os.strerror(number), file)


def test_a_lack_of_memory_is_one_line():
    with (
        pytest.raises(UserError, match="Memory ran out .*fewer --workers"),
        store_errors.explain_store_errors(),
    ):
        raise MemoryError


@pytest.mark.parametrize("file", ["elsewhere/x", "workshop/x", None])
def test_an_error_about_another_file_passes_unchanged(file):
    with pytest.raises(FileNotFoundError), store_errors.explain_store_errors():
        raise FileNotFoundError(errno.ENOENT, "No such file", file)
