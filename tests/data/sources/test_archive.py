"""Several archives are one source, and damaged ones are reported."""

import errno
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from archives import encoded_image, make_tar

from data.errors import UserError
from data.records import Rejection, RejectionReason
from data.sources.archive import ArchiveSource

WHOLE = make_tar({f"{number}.png": encoded_image(number) for number in range(4)})


def make_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("0.png", encoded_image(0))
    return buffer.getvalue()


def test_several_archives_are_one_source(tmp_path):
    (tmp_path / "one.tar").write_bytes(WHOLE)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("0.png", encoded_image(7))
    source = ArchiveSource([tmp_path / "one.tar", tmp_path / "two.zip"])
    assert [one.id for one in source.scan()] == [*(f"one/{number}.png" for number in range(4)), "two/0.png"]


def test_a_missing_archive_is_reported(tmp_path):
    with pytest.raises(UserError, match="gone.tar"):
        ArchiveSource([tmp_path / "gone.tar"]).load("0:0:512")


def test_a_damaged_download_is_deleted_or_replaced_and_another_archive_fetched_again(tmp_path):
    path, link = tmp_path / "a.zip", tmp_path / "b.zip"
    path.write_bytes(b"PK no zip")
    link.symlink_to(path)
    for archive, is_downloaded, hint in (
        (path, True, "Delete it and run again to download it anew"),
        (link, True, f"Replace {path} by an intact file, and run again"),
        (path, False, "Fetch it again, or pack its files anew"),
    ):
        with pytest.raises(UserError) as error:
            list(ArchiveSource([archive], is_downloaded=is_downloaded).list_members())
        assert error.value.hint.startswith(hint) and str(archive) in error.value.message


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


def test_archives_with_equal_names_give_different_ids(tmp_path):
    """Equal ids would give crops with equal keys."""
    (tmp_path / "more").mkdir()
    paths = [tmp_path / name for name in ("x.tar", "x.zip", "y.tar", "more/x.zip")]
    for path in paths:
        if path.suffix == ".tar":
            path.write_bytes(WHOLE)
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("0.png", encoded_image(0))
    ids = [one.id for one in ArchiveSource(paths).scan()]
    assert [id for id in ids if id.endswith("/0.png")] == [
        "x.tar/0.png",
        "x.zip/0.png",
        "y/0.png",
        "x.zip#2/0.png",
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_what_is_no_archive_is_named_as_what_it_is(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    for content, words in {
        b"\xfd7zXZ\0": "compressed by xz",
        b"\x28\xb5\x2f\xfd": "compressed by zstd",
        b"7z\xbc\xaf\x27\x1c": "a 7z archive",
        b"Rar!\x1a\x07": "a RAR archive",
        b"\n<!DOCTYPE html><html>": "an HTML page",
        b"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
        b"": "an empty file",
    }.items():
        path.write_bytes(content + bytes(2000 if content else 0))
        with pytest.raises(UserError, match=words):
            list(ArchiveSource([path]).list_members())
    (tmp_path / "Rar!.tar").write_bytes(make_tar({"Rar!.png": encoded_image(1)}))
    assert [one.id for one in ArchiveSource([tmp_path / "Rar!.tar"]).scan()] == ["Rar!.png"]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_read_by_its_bytes_whatever_its_name_says(kind, name, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.png").write_bytes(encoded_image(0))
    Path(shutil.make_archive(str(tmp_path / "made"), kind, tmp_path / "photos")).rename(tmp_path / name)
    source = ArchiveSource([tmp_path / name])
    (entry,) = source.scan()
    assert (entry.id, source.load(entry.locator)) == ("0.png", encoded_image(0))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(WHOLE), "compressed by gzip"),
        (lzma.compress(WHOLE), "compressed by xz"),
        (make_zip(), "a zip"),
    ],
)
def test_what_gzip_or_a_tar_contains_instead_of_a_tar_is_named(content, kind, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=f"decompressed by gzip, it is .*{kind}"):
        list(ArchiveSource([tmp_path / "a.tar.gz"]).scan())
    (tmp_path / "b.tar").write_bytes(make_tar({"inner.tar": content, "1.png": encoded_image(1)}))
    rejected, entry = ArchiveSource([tmp_path / "b.tar"]).scan()
    assert (rejected.id, rejected.reason, entry.id) == ("inner.tar", RejectionReason.UNSUPPORTED, "1.png")
    assert kind in rejected.detail and "unpack it" in rejected.detail


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_failing_disk_is_no_property_of_an_image(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(WHOLE)
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("0.png", encoded_image(0))
    source = ArchiveSource([path])
    entry = next(source.scan())

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    for read in (lambda: source.load(entry.locator), lambda: list(source.list_members())):
        with pytest.raises(UserError, match=f"a{suffix} can't be read: Input/output error"):
            read()
