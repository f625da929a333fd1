import pytest

from data.catalog.resolve import resolve_dataset
from data.errors import UserError


def test_a_folder_and_an_archive_are_datasets(photo_folder, tmp_path):
    dataset = resolve_dataset(str(photo_folder))
    assert (dataset.kind, dataset.name, dataset.path) == ("folder", "photos", str(photo_folder))
    (tmp_path / "my set.ZIP").write_bytes(b"")
    archive = resolve_dataset(str(tmp_path / "my set.ZIP"))
    assert (archive.kind, archive.name) == ("zip", "my-set")


def test_a_folder_with_hr_and_lr_is_a_benchmark(tmp_path):
    for name in ("HR", "LR"):
        (tmp_path / "Set5" / "x2" / name).mkdir(parents=True)
    dataset = resolve_dataset(str(tmp_path / "Set5" / "x2"))
    assert dataset.name == "Set5-x2"
    assert dataset.path.endswith("HR") and dataset.lr_path.endswith("LR")


def test_videos_and_folders_of_videos_are_datasets(photo_folder, tmp_path):
    (tmp_path / "A video (2026).MKV").write_bytes(b"")
    video = resolve_dataset(str(tmp_path / "A video (2026).MKV"))
    assert (video.kind, video.name) == ("video", "A-video-2026")
    rips = tmp_path / "rips"
    rips.mkdir()
    (rips / "cover.jpg").write_bytes(bytes(10))
    (rips / "video.mkv").write_bytes(bytes(11))
    assert resolve_dataset(str(rips)).kind == "video"
    (photo_folder / "clip.mp4").write_bytes(bytes(1000))
    assert resolve_dataset(str(photo_folder)).kind == "folder", "the images are larger than the clip"


def test_compressed_tars_are_datasets_too(tmp_path):
    (tmp_path / "a.b.tar.gz").write_bytes(b"")
    archive = resolve_dataset(str(tmp_path / "a.b.tar.gz"))
    assert (archive.kind, archive.name) == ("tar", "a-b")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"")
    with pytest.raises(UserError, match=r"\.pdf"):
        resolve_dataset(str(tmp_path / "a.pdf"))
