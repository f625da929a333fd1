"""A folder that holds archives instead of images is read in place."""

import io
import zipfile

import pytest
from archives import encoded_image, make_tar

from data.catalog.from_path import dataset_from_path
from data.errors import UserError
from data.records import Rejection, RejectionReason
from data.sources import open_source

PNG = encoded_image(0)


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, PNG)
    return buffer.getvalue()


@pytest.fixture
def snapshot(tmp_path):
    """Return a folder as the cache of Hugging Face has it: every file is a link to a blob."""
    files = {
        ".gitattributes": b"*.tar filter=lfs",
        "README.md": b"# A dataset",
        "data/train-00000.tar": make_tar({"0.png": PNG, "0.json": b"{}"}),
        "data/train-00001.tar": make_tar({"1.png": PNG}),
        "extra/HR.zip.001": (whole := zipped("HR/a.png", "HR/b.png"))[:100],
        "extra/HR.zip.002": whole[100:],
        "extra/scores.txt": b"1 2 3",
    }
    root = tmp_path / "snapshots" / "0123456789abcdef"
    (tmp_path / "blobs").mkdir()
    for number, (name, content) in enumerate(files.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "blobs" / str(number)).write_bytes(content)
        (root / name).symlink_to(tmp_path / "blobs" / str(number))
    return root


def scan(path):
    found = list(open_source(dataset_from_path(path)).scan(threads=2))
    rejected = {one.id: one.reason for one in found if isinstance(one, Rejection)}
    return [one.id for one in found if one.id not in rejected], rejected


def test_a_tree_of_archives_is_read_and_the_other_files_are_rejected(snapshot):
    assert dataset_from_path(snapshot).kind == "archive_folder"
    (snapshot / "linked").symlink_to(snapshot / "data")
    (snapshot / "extra" / "lone.zip.002").write_bytes(b"x")
    ids, rejected = scan(snapshot)
    assert ids == ["train-00000/0.png", "train-00001/1.png", "HR.zip/HR/a.png", "HR.zip/HR/b.png"]
    others = [".gitattributes", "README.md", "extra/lone.zip.002", "extra/scores.txt", "linked"]
    assert rejected == dict.fromkeys([*others, "train-00000/0.json"], RejectionReason.NOT_AN_IMAGE)


def test_what_is_in_the_folder_counts_in_the_fingerprint(snapshot):
    seen = [open_source(dataset_from_path(snapshot)).fingerprint()]
    for name in ("more.txt", "data/more.tar"):
        (snapshot / name).write_bytes(make_tar({"2.png": PNG}))
        seen.append(open_source(dataset_from_path(snapshot)).fingerprint())
    assert len({str(one) for one in seen}) == 3


def test_a_folder_with_images_stays_a_folder_of_images(snapshot):
    (snapshot / "a.png").write_bytes(PNG)
    assert dataset_from_path(snapshot).kind == "folder"
    assert scan(snapshot)[0] == ["a.png"]


def test_a_damaged_archive_among_others_is_named(snapshot):
    (snapshot / "data" / "train-00001.tar").unlink()
    (snapshot / "data" / "train-00001.tar").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match=r"train-00001\.tar .*Git LFS pointer"):
        scan(snapshot)


def test_images_as_the_choice_reads_no_archives(snapshot):
    assert dataset_from_path(snapshot, "folder").kind == "folder"
