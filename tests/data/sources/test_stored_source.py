"""Folders, zips and tars: one content, three ways to store it, one result."""

import os
import tarfile
import zipfile

import cv2
import numpy as np
import pytest

from data.catalog.catalog import resolve
from data.errors import UserError
from data.records import Reason, Rejection, SourceEntry
from data.sources import open_source
from data.sources.archive import ArchiveSource
from data.sources.folder import FolderSource, photos


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
    assert rejected["notes.txt"] is Reason.NOT_AN_IMAGE
    assert rejected.get("link.png", Reason.LINK) is Reason.LINK
    one = next(entry for entry in entries if entry.id == "p0.png")
    assert (one.height, one.width, one.format, one.lossy) == (300, 420, "png", False)
    assert one.bytes == (photo_folder / "p0.png").stat().st_size


def test_the_order_and_the_rows_do_not_depend_on_threads(source):
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
    assert found["p0.png"].reason is Reason.UNREADABLE
    assert isinstance(found["p2.png"], np.ndarray)


@pytest.mark.parametrize(("alpha", "level"), [("refuse", None), ("black", 0), ("white", 255)])
def test_transparent_images_are_refused_or_composited_as_the_source_is_told(alpha, level, tmp_path):
    path = tmp_path / "a.zip"
    clear = cv2.imencode(".png", np.zeros((64, 64, 4), np.uint8))[1].tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("clear.png", clear)
    source = open_source(resolve(str(path)), alpha=alpha)
    ((_, image),) = source.read(source.scan())
    if level is None:
        assert image.reason is Reason.UNSUPPORTED
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


def _link(path):
    (path / "p0.png").rename(path / "trip" / "p0.png")
    (path / "p0.png").symlink_to(path / "trip" / "p0.png")


def _cut(path):
    os.truncate(path, path.stat().st_size // 3)


def _overwrite(path):
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(bytes(path.stat().st_size // 3))


@pytest.mark.parametrize(
    ("source", "spoil"), [("folder", _link), ("tar", _cut), ("zip", _overwrite)], indirect=["source"]
)
def test_what_was_indexed_and_cannot_be_had_any_more_is_an_error_and_no_rejection(source, spoil):
    entries, _ = split(source.scan())
    spoil(source.root if isinstance(source, FolderSource) else source.archives[0])
    with pytest.raises(UserError, match="the image that was indexed .*; put the old file back, or run again"):
        list(source.read(entries))


def test_an_encrypted_or_damaged_archive_is_told(tmp_path, photo_folder):
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    with pytest.raises(UserError, match="a.zip"):
        list(ArchiveSource([tmp_path / "a.zip"]).members())
    with tarfile.open(tmp_path / "b.tar", "w:bz2") as archive:
        archive.add(photo_folder / "p0.png", "p0.png")
    with pytest.raises(UserError, match="compressed by bzip2"):
        list(ArchiveSource([tmp_path / "b.tar"]).members())


def test_a_zip_whose_stored_bytes_are_damaged_gives_a_rejection(tmp_path, photo_folder):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(photo_folder / "p0.png", "p0.png")
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)
    (found,) = ArchiveSource([path]).scan()
    assert isinstance(found, Rejection)
    assert found.reason is Reason.UNREADABLE


def test_only_the_named_members_are_looked_at(tmp_path, photo_folder):
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(photo_folder / "p0.png", "benchmark/Set5/HR/p0.png")
        archive.add(photo_folder / "p2.png", "benchmark/Set14/HR/p2.png")
    (found,) = ArchiveSource([tmp_path / "b.tar"], "benchmark/Set5/HR/").scan()
    assert found.id == "benchmark/Set5/HR/p0.png"


def test_the_photographs_of_scikit_image_are_there():
    entries, rejected = split(photos().scan())
    assert len(entries) == 7 and not rejected
    assert {(one.height, one.width) for one in entries} >= {(512, 512), (300, 451), (400, 600)}
