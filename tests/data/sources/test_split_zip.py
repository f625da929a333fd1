"""Zips that are cut into several files are read in place, and a missing part is named."""

import shutil
import struct
import subprocess
import zipfile
import zlib

import pytest
from archives import encoded_image, scan_archive

from data.catalog.from_path import dataset_from_path
from data.catalog.spec import DatasetSpec, RemoteFile, name_of_split_zip
from data.errors import UserError
from data.records import Rejection
from data.sources import open_source
from data.sources.archive import ArchiveSource
from data.sources.folder import FolderSource

IMAGES = {f"{number}.png": encoded_image(number, 40, 60) for number in range(6)}


def disks_of_zip(disks):
    """Return the files of a zip that is written over several disks: each but the last holds two stored members."""
    parts, rows = [b"PK\7\x08", *[b""] * (disks - 2)], []
    for number, (name, content) in enumerate(IMAGES.items()):
        disk = min(number // 2, disks - 2)
        sizes = (zlib.crc32(content), len(content), len(content), len(name), 0)
        row = (b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, *sizes, 0, disk, 0, 0, len(parts[disk]))
        rows.append(struct.pack("<4sBBHHHHHLLLHHHHHLL", *row) + name.encode())
        local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, *sizes)
        parts[disk] += local + name.encode() + content
    directory, last = b"".join(rows), disks - 1
    end = struct.pack("<4s4H2LH", b"PK\5\6", last, last, len(rows), len(rows), len(directory), 0, 0)
    return [*parts, directory + end]


def write_disks(folder, disks=4, stem="a"):
    parts = disks_of_zip(disks)
    for number, part in enumerate(parts[:-1], 1):
        (folder / f"{stem}.z{number:02}").write_bytes(part)
    (folder / f"{stem}.zip").write_bytes(parts[-1])
    return folder / f"{stem}.zip"


def write_volumes(folder, bytes_each=2000):
    """Write a zip's bytes, cut anywhere, as a.zip.001, a.zip.002 …; return the first and the number of files."""
    with zipfile.ZipFile(folder / "whole.zip", "w") as archive:
        for name, content in IMAGES.items():
            archive.writestr(name, content)
    whole = (folder / "whole.zip").read_bytes()
    (folder / "whole.zip").unlink()
    cuts = range(0, len(whole), bytes_each)
    for number, start in enumerate(cuts, 1):
        (folder / f"a.zip.{number:03}").write_bytes(whole[start : start + bytes_each])
    return folder / "a.zip.001", len(cuts)


def contents(source):
    return {one.id: source.load(one.locator) for one in source.scan(threads=2)}


@pytest.mark.parametrize("bytes_each", [500, 2000, 10_000_000])
def test_volumes_are_read_as_one_zip(bytes_each, tmp_path):
    path, _ = write_volumes(tmp_path, bytes_each)
    dataset = dataset_from_path(path)
    assert (dataset.name, dataset.kind) == ("a", "zip")
    assert contents(open_source(dataset)) == IMAGES


@pytest.mark.parametrize("disks", [2, 3, 4])
def test_disks_are_read_as_one_zip(disks, tmp_path):
    assert contents(open_source(dataset_from_path(write_disks(tmp_path, disks)))) == IMAGES


@pytest.mark.skipif(not shutil.which("zip"), reason="needs Info-ZIP's zip")
def test_what_info_zip_splits_is_read(tmp_path):
    images = {f"{number}.png": encoded_image(number, 200, 200) for number in range(3)}
    for name, content in images.items():
        (tmp_path / name).write_bytes(content)
    subprocess.run(["zip", "-q", "-s", "64k", "a.zip", *images], cwd=tmp_path, check=True)
    assert (tmp_path / "a.z02").exists()
    assert contents(ArchiveSource([tmp_path / "a.zip"])) == images


def test_the_parts_of_a_download_are_one_archive(tmp_path):
    names = [f"a.zip.{number:03}" for number in range(1, write_volumes(tmp_path)[1] + 1)]
    write_disks(tmp_path, stem="b")
    names += ["b.z01", "b.z02", "b.z03", "b.zip"]
    dataset = DatasetSpec("D", "archives", "t", "l", files=tuple(map(RemoteFile, names)))
    found = contents(open_source(dataset, [tmp_path / name for name in names]))
    assert found == {f"{stem}/{name}": one for stem in ("a.zip", "b") for name, one in IMAGES.items()}


def test_a_part_without_the_one_that_names_the_zip_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.z01 is one part .* a\.zip is not among the files"):
        ArchiveSource([tmp_path / "b.zip", tmp_path / "a.z01"])


def test_another_part_counts_in_the_fingerprint(tmp_path):
    first, _ = write_volumes(tmp_path)
    before = ArchiveSource([first]).fingerprint()
    (tmp_path / "a.zip.002").write_bytes(b"x")
    assert ArchiveSource([first]).fingerprint() != before


def test_a_missing_part_is_named(tmp_path):
    first, count = write_volumes(tmp_path)
    (tmp_path / f"a.zip.{count:03}").unlink()
    with pytest.raises(UserError, match=rf"Its last part here is a\.zip\.{count - 1:03}: there may be more"):
        scan_archive(first)
    (tmp_path / "a.zip.003").unlink()
    with pytest.raises(UserError, match=r"part a\.zip\.003 is missing beside a\.zip\.004"):
        scan_archive(first)
    last = write_disks(tmp_path)
    (tmp_path / "a.z02").unlink()
    with pytest.raises(UserError, match=r"part a\.z02 is missing beside a\.z03"):
        scan_archive(last)
    (tmp_path / "a.z03").unlink()
    with pytest.raises(UserError, match="its end is in part 4, but 2 are here"):
        scan_archive(last)


def test_a_part_that_belongs_to_another_zip_is_refused(tmp_path):
    (tmp_path / "a.z01").write_bytes(b"old")
    with pytest.raises(UserError, match="its end is in part 1, but 2 are here"):
        (tmp_path / "a.zip").write_bytes(b"PK\5\6" + bytes(18))
        scan_archive(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("part", "whole"),
    [("a.zip.002", "a.zip.001"), ("a.z01", "a.zip"), ("A.ZIP.010", "A.ZIP.001"), ("a.z123", "a.zip")],
)
def test_another_part_as_the_dataset_leads_to_the_right_one(part, whole, tmp_path):
    assert name_of_split_zip(part) == whole and not name_of_split_zip(whole)
    (tmp_path / part).write_bytes(b"x")
    with pytest.raises(UserError) as refused:
        dataset_from_path(tmp_path / part)
    assert "one part of a split zip" in str(refused.value) and str(tmp_path / whole) in refused.value.hint


def test_the_parts_in_a_folder_of_images_are_named_as_an_archive(tmp_path):
    write_volumes(tmp_path)
    write_disks(tmp_path, 2)
    found = list(FolderSource(tmp_path).scan())
    assert all(isinstance(one, Rejection) and "an archive" in one.detail for one in found) and len(found) > 3
