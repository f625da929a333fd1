"""Several archives are one source, and damaged ones are reported."""

import tarfile
import zipfile

import pytest
from archives import encoded_image, make_tar

from data.errors import UserError
from data.records import Rejection, RejectionReason
from data.sources.archive import ArchiveSource

WHOLE = make_tar({f"{number}.png": encoded_image(number) for number in range(4)})


def test_several_archives_are_one_source(tmp_path):
    (tmp_path / "one.tar").write_bytes(WHOLE)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("0.png", encoded_image(7))
    source = ArchiveSource([tmp_path / "one.tar", tmp_path / "two.zip"])
    assert [one.id for one in source.scan()] == [*(f"one/{number}.png" for number in range(4)), "two/0.png"]


def test_a_missing_archive_is_reported(tmp_path):
    with pytest.raises(UserError, match="gone.tar"):
        ArchiveSource([tmp_path / "gone.tar"]).load("0:0:512")


def test_a_damaged_or_unsupported_archive_is_refused(tmp_path, photo_folder):
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    with pytest.raises(UserError, match="a.zip"):
        list(ArchiveSource([tmp_path / "a.zip"]).list_members())
    with tarfile.open(tmp_path / "b.tar", "w:bz2") as archive:
        archive.add(photo_folder / "p0.png", "p0.png")
    with pytest.raises(UserError, match="compressed by bzip2"):
        list(ArchiveSource([tmp_path / "b.tar"]).list_members())


def test_a_member_whose_stored_bytes_are_damaged_is_rejected(tmp_path, photo_folder):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(photo_folder / "p0.png", "p0.png")
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)
    (found,) = ArchiveSource([path]).scan()
    assert isinstance(found, Rejection)
    assert found.reason is RejectionReason.UNREADABLE


def test_only_members_below_the_given_path_are_listed(tmp_path, photo_folder):
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(photo_folder / "p0.png", "benchmark/Set5/HR/p0.png")
        archive.add(photo_folder / "p2.png", "benchmark/Set14/HR/p2.png")
    (found,) = ArchiveSource([tmp_path / "b.tar"], "benchmark/Set5/HR/").scan()
    assert found.id == "benchmark/Set5/HR/p0.png"
