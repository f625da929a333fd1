import os
from pathlib import Path

import pytest

from data.catalog.from_path import dataset_from_path
from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.records import Rejection
from data.sources import open_source


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


@pytest.fixture
def live_photos(tmp_path):
    """Give a folder of JPG and MOV pairs, the videos larger, as phones write them."""
    root = tmp_path / "phone"
    root.mkdir()
    for number in range(3):
        (root / f"IMG_{number}.JPG").write_bytes(bytes(10))
        (root / f"IMG_{number}.MOV").write_bytes(bytes(20))
    return root


def test_a_folder_of_images_and_videos_says_which_are_read_and_how_to_read_the_others(live_photos):
    videos = resolve_dataset(str(live_photos))
    assert videos.kind == "video"
    assert "Its videos are read" in videos.note and f"images:{live_photos} as the dataset" in videos.note
    (live_photos / "large.png").write_bytes(bytes(100))
    images = resolve_dataset(str(live_photos))
    assert images.kind == "folder"
    assert "Its images are read" in images.note and f"videos:{live_photos} as the dataset" in images.note


def test_the_other_files_of_such_a_folder_are_chosen_by_name_or_in_the_catalog(live_photos, tmp_path):
    for prefix, kind in (("images", "folder"), ("videos", "video")):
        chosen = resolve_dataset(f"{prefix}:{live_photos}")
        assert (chosen.kind, chosen.name, chosen.path, chosen.note) == (kind, "phone", str(live_photos), "")
        (tmp_path / "phone.toml").write_text(
            f'name = "phone"\ntitle = "t"\nlicense = "l"\npath = "phone"\nkind = "{kind}"'
        )
        assert resolve_dataset("phone", tmp_path).kind == kind
    with pytest.raises(UserError, match=r"There is no folder at .*/nowhere\. .*images: and videos:"):
        resolve_dataset(f"images:{tmp_path}/nowhere")


def test_the_rejections_name_the_other_choice(live_photos):
    found = list(open_source(resolve_dataset(f"images:{live_photos}")).scan())
    details = {one.id: one.detail for one in found if isinstance(one, Rejection)}
    assert "videos:FOLDER as the dataset reads its videos" in details["IMG_0.MOV"]
    (live_photos / "IMG_3.JPG").write_bytes(b"")
    for path in live_photos.glob("*.MOV"):
        path.write_bytes(bytes(1000))
    found = list(open_source(resolve_dataset(str(live_photos))).scan())
    details = {one.id: one.detail for one in found if isinstance(one, Rejection)}
    assert details["IMG_0.JPG"].startswith("an image; ") and "images:FOLDER" in details["IMG_0.JPG"]


def test_a_folder_of_one_kind_says_nothing(photo_folder, live_photos):
    for path in live_photos.glob("*.JPG"):
        path.unlink()
    assert [resolve_dataset(str(path)).note for path in (photo_folder, live_photos)] == ["", ""]


def test_a_name_that_is_not_utf8_is_escaped_in_the_title(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    dataset = resolve_dataset(str(folder))
    assert (dataset.title, dataset.name, dataset.path) == ("Images of caf\\xe9", "caf", str(folder))


def test_a_path_that_cannot_be_a_path_is_refused(tmp_path):
    for given in ("./" + 300 * "x", "~no-such-user/photos"):
        with pytest.raises(UserError, match="There is no folder, archive or video at"):
            resolve_dataset(given)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match=r"/loop can't be read: Too many levels of symbolic links"):
        resolve_dataset(str(tmp_path / "loop"))


@pytest.mark.parametrize(
    ("name", "content", "words", "hint"),
    [
        ("a.tar.xz", b"\xfd7zXZ\0", "a file compressed by xz", "tar -xf a.tar.xz -C DIR"),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd", "a file compressed by zstd", "tar -xf a.tar.zst -C DIR"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it"),
        ("comic.cbz", b"PK\3\4", "a zip", "Rename it to comic.cbz.zip"),
        ("a.gz", b"\x1f\x8b\x08", "a file compressed by gzip", "Rename it to a.gz.tar.gz"),
        ("a.bin", b"", "an empty file", "Fetch it again"),
        ("a.txt", b"hello", "not a dataset", "Put the images into a folder"),
    ],
)
def test_an_archive_of_another_kind_is_named_with_what_to_do(name, content, words, hint, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is not a dataset") as error:
        dataset_from_path(tmp_path / name)
    assert words in error.value.message and hint in error.value.hint
