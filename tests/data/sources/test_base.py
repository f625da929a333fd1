"""Folders, zips and tars with the same images give the same entries and pixels."""

import os
import shutil
import tarfile
import zipfile

import cv2
import numpy as np
import pytest

from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources import open_source
from data.sources.archive import ArchiveSource
from data.sources.folder import FolderSource


def split(found):
    found = list(found)
    entries = [one for one in found if isinstance(one, SourceEntry)]
    return entries, {one.id: one.reason for one in found if isinstance(one, Rejection)}


@pytest.fixture(params=["folder", "zip", "tar"])
def source(request, photo_folder, tmp_path):
    if request.param == "folder":
        return FolderSource(photo_folder)
    files = sorted(path for path in photo_folder.rglob("*") if path.is_file())
    path = tmp_path / f"photos.{request.param}"
    if request.param == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                if not file.is_symlink():
                    archive.write(file, file.relative_to(photo_folder).as_posix())
    else:
        with tarfile.open(path, "w") as archive:
            for file in files:
                archive.add(file, file.relative_to(photo_folder).as_posix())
    return ArchiveSource([path])


def test_everything_is_an_entry_or_a_rejection(source, photo_folder):
    entries, rejected = split(source.scan(threads=2))
    names = "camera.jpg p0.png p2.png p4.png same.png small.png trip/p1.png trip/p3.png trip/p5.png"
    assert sorted(one.id for one in entries) == names.split()
    assert rejected["notes.txt"] is RejectionReason.NOT_AN_IMAGE
    # A folder's link is followed, to an image that is there already; an archive's is not.
    in_folder = isinstance(source, FolderSource)
    wanted = RejectionReason.DUPLICATE if in_folder else RejectionReason.LINK
    assert rejected.get("link.png", wanted) is wanted
    one = next(entry for entry in entries if entry.id == "p0.png")
    assert (one.height, one.width, one.format, one.lossy) == (300, 420, "png", False)
    assert one.bytes == (photo_folder / "p0.png").stat().st_size


def test_entries_and_their_order_do_not_depend_on_threads(source):
    assert list(source.scan(threads=1)) == list(source.scan(threads=3))


def test_pixels_are_those_of_the_folder(source, photo_folder):
    entries, _ = split(source.scan())
    wanted = {
        one.id: image
        for one, image in FolderSource(photo_folder).read(split(FolderSource(photo_folder).scan())[0])
    }
    for entry, image in source.read(entries):
        assert np.array_equal(image, wanted[entry.id])


def test_a_damaged_image_is_a_rejection(photo_folder):
    path = photo_folder / "p0.png"
    path.write_bytes(path.read_bytes()[:-500])
    source = FolderSource(photo_folder)
    entries, _ = split(source.scan())
    found = {entry.id: result for entry, result in source.read(entries)}
    assert found["p0.png"].reason is RejectionReason.UNREADABLE
    assert isinstance(found["p2.png"], np.ndarray)


@pytest.mark.parametrize(("alpha", "level"), [("refuse", None), ("black", 0), ("white", 255)])
def test_transparent_images_are_refused_or_composited_as_requested(alpha, level, tmp_path):
    path = tmp_path / "a.zip"
    clear = cv2.imencode(".png", np.zeros((64, 64, 4), np.uint8))[1].tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("clear.png", clear)
    source = open_source(resolve_dataset(str(path)), alpha=alpha)
    ((_, image),) = source.read(source.scan())
    if level is None:
        assert image.reason is RejectionReason.UNSUPPORTED
    else:
        assert (image == level).all()


def test_a_source_that_changed_is_refused(photo_folder):
    source = FolderSource(photo_folder)
    entries, _ = split(source.scan())
    before = source.fingerprint()
    (photo_folder / "p0.png").write_bytes((photo_folder / "p2.png").read_bytes())
    assert source.fingerprint() != before
    with pytest.raises(UserError, match="p0.png"):
        list(source.read([one for one in entries if one.id == "p0.png"]))
    (photo_folder / "p0.png").unlink()
    with pytest.raises(UserError, match="nothing"):
        list(source.read([one for one in entries if one.id == "p0.png"]))


def _make_pipe(path):
    (path / "p0.png").unlink()
    os.mkfifo(path / "p0.png")


def _cut(path):
    os.truncate(path, path.stat().st_size // 3)


def _overwrite(path):
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(bytes(path.stat().st_size // 3))


@pytest.mark.parametrize(
    ("source", "damage"), [("folder", _make_pipe), ("tar", _cut), ("zip", _overwrite)], indirect=["source"]
)
def test_an_indexed_image_that_can_no_longer_be_read_is_an_error_and_not_a_rejection(source, damage):
    entries, _ = split(source.scan())
    damage(source.root if isinstance(source, FolderSource) else source.archives[0])
    with pytest.raises(
        UserError, match=r"The image .* that was indexed .*\. Put the old file back, or run again"
    ):
        list(source.read(entries))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_files_with_an_images_name_and_another_content_are_damage(kind, tmp_path):
    root, path = tmp_path / "photos", tmp_path / f"photos.{kind}"
    (root / "a").mkdir(parents=True)
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "zeros.jpg").write_bytes(bytes(3000))
    if kind != "folder":
        shutil.make_archive(str(tmp_path / "photos"), kind, root)
    source = FolderSource(root) if kind == "folder" else ArchiveSource([path])
    rejected = split(source.scan())[1]
    assert {id.removeprefix("./") for id in rejected} == {"a/empty.png", "zeros.jpg"}
    assert set(rejected.values()) == {RejectionReason.UNREADABLE}


def test_an_unmodified_file_whose_bytes_became_zeros_is_a_changed_source(photo_folder):
    source, path = FolderSource(photo_folder), photo_folder / "p0.png"
    entries, _ = split(source.scan())
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(UserError, match=r"The image p0.png .* is now another one"):
        list(source.read(entries))
