"""Test when a download counts as done."""

import hashlib
import io
import zipfile

import pytest
from crop_datasets import build, store
from server import serve_files

from tasks.download import Download
from tasks.runtime.status import list_lines


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """Yield the finished download of a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "content")
    content = buffer.getvalue()
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "catalog").mkdir()
    with serve_files({"/a.zip": content}) as server, store(tmp_path / "store", tmp_path / "catalog"):
        (tmp_path / "catalog" / "trip.toml").write_text(
            'name = "Trip"\ntitle = "A trip"\nkind = "archives"\nlicense = "mine"\n[[files]]\nname = "a.zip"\n'
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nurls = ["{server.url}/a.zip"]\n'
        )
        task = Download(dataset="Trip")
        assert build(task)
        yield task


def status(task):
    (line,) = list_lines(task)
    return line.status


@pytest.mark.parametrize("is_removed", [True, False])
def test_the_status_of_a_download_is_that_of_its_archives(downloaded, is_removed):
    (file,) = downloaded.files()
    assert status(downloaded) == "done" and downloaded.complete()
    if is_removed:
        file.unlink()
    else:
        file.write_bytes(b"another")
    assert status(downloaded) == "to do" and not downloaded.complete()
    assert build(downloaded) and status(downloaded) == "done" and zipfile.is_zipfile(file)
