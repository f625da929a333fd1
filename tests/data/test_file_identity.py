"""What a source is does not hang on how finely a mount keeps times."""

import os
import zipfile

import pytest

from data.sources.archive import ArchiveSource
from data.sources.archive_folder import ArchiveFolderSource
from data.sources.folder import FolderSource
from data.sources.video import VideoSource
from data.video.sampling_settings import FrameSamplingSettings


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.mkv").write_bytes(b"not looked into")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    return tmp_path


@pytest.mark.parametrize(
    "open_source",
    [
        FolderSource,
        ArchiveFolderSource,
        lambda folder: ArchiveSource([folder / "a.zip"]),
        lambda folder: VideoSource(folder / "a.mkv", FrameSamplingSettings()),
    ],
    ids=["folder", "archive folder", "archive", "video"],
)
def test_a_time_that_is_cut_to_whole_seconds_is_the_same_and_another_second_is_not(open_source, folder):
    def fingerprint(time_ns):
        for path in folder.iterdir():
            os.utime(path, ns=(time_ns, time_ns))
        return open_source(folder).fingerprint()

    fine = fingerprint(1_700_000_000_987_654_321)
    assert fingerprint(1_700_000_000_000_000_000) == fingerprint(1_700_000_000_987_654_000) == fine
    assert fingerprint(1_700_000_001_000_000_000) != fine
