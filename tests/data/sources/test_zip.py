"""Zips are read in place, and a damaged directory is refused."""

import struct
import zipfile

import pytest
from archives import encoded_image, scan_archive

from data.errors import UserError
from data.records import RejectionReason
from data.sources.archive import ArchiveSource
from data.sources.zip import ZipArchive, ZipFault


def test_a_zip_after_other_bytes_and_with_a_comment_is_read(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"#!/bin/sh\n" * 50)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"a comment " * 30
        for number in range(3):
            archive.writestr(f"{number}.png", encoded_image(number))
    source = ArchiveSource([path])
    assert [source.load(one.locator) for one in source.scan()] == [
        encoded_image(number) for number in range(3)
    ]


def zip_bytes(compressed, size, offset):
    """Return a zip of one member whose position and sizes are in a zip64 extra field."""
    full, name = 0xFFFFFFFF, b"a.png"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 4, 4, len(name), 0) + name + b"abcd"
    extra = struct.pack("<HH3Q", 1, 24, size, compressed, offset)
    row = (b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 0, full, full, len(name), len(extra), 0, 0, 0, 0, full)
    directory = struct.pack("<4sBBHHHHHLLLHHHHHLL", *row) + name + extra
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(local), 0)
    return local + directory + end


@pytest.mark.parametrize(
    "numbers", [(4, 4, 1 << 63), (1 << 62, 4, 0), (1 << 63, 4, 0), (1 << 40, 4, 0), (1 << 20, 4, 0)]
)
def test_a_member_beyond_the_end_of_the_zip_is_rejected(numbers, tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes(*numbers))
    (found,) = scan_archive(tmp_path / "a.zip")
    assert found.reason in (RejectionReason.UNREADABLE, RejectionReason.TOO_LARGE)


def test_a_directory_beyond_the_end_of_the_zip_is_refused(tmp_path):
    content = zip_bytes(4, 4, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 1 << 63, 1)
    end = content.index(b"PK\5\6")
    (tmp_path / "a.zip").write_bytes(content[:end] + locator + content[end:])
    with pytest.raises(UserError, match="cut off, or damaged"):
        scan_archive(tmp_path / "a.zip")


def test_a_zip_cut_off_anywhere_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", encoded_image(number))
    whole = (tmp_path / "a.zip").read_bytes()
    for length in [0, 10, *range(100, len(whole), 401), len(whole) - 1]:
        (tmp_path / "cut.zip").write_bytes(whole[:length])
        with pytest.raises(UserError, match="cut.zip"):
            scan_archive(tmp_path / "cut.zip")
    start = whole.rindex(b"PK\1\2")
    (tmp_path / "cut.zip").write_bytes(whole[:start] + b"XX" + whole[start + 2 :])
    with pytest.raises(UserError, match="directory is damaged"):
        scan_archive(tmp_path / "cut.zip")


def many_zipped(members, count, size_less=0, behind=b"", comment=b""):
    """Return a zip without zip64 records, with `members` members and a possibly wrong `count` in its end record.

    The size of its directory is too small by `size_less`, and `behind` follows the entries in the directory.
    """
    local, rows = [], []
    step = 30 + 9 + 1
    for number in range(members):
        name = b"%05d.png" % number
        local.append(
            struct.pack("<4s5H3L2H", b"PK\3\4", 10, 0, 0, 0, 0, 0x8CDC1683, 1, 1, 9, 0) + name + b"x"
        )
        row = (b"PK\1\2", 10, 0, 10, 0, 0, 0, 0, 0x8CDC1683, 1, 1, 9, 0, 0, 0, 0, 0, number * step)
        rows.append(struct.pack("<4sBBHHHHHLLLHHHHHLL", *row) + name)
    directory = b"".join(rows) + behind
    numbers = (count & 0xFFFF, count & 0xFFFF, len(directory) - size_less, members * step, len(comment))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *numbers)
    return b"".join(local) + directory + end + comment


def zip_listing(path, content):
    path.write_bytes(content)
    return [found for _, found in ZipArchive(path).list_members("", "", "")]


@pytest.mark.parametrize("members", [1, 65_535, 65_540])
def test_a_zip_whose_count_wrapped_is_read_completely(members, tmp_path):
    path = tmp_path / "a.zip"
    found = zip_listing(path, many_zipped(members, members))
    assert len({one.id for one in found}) == members
    assert ZipArchive(path).load(found[-1].locator) == b"x"


@pytest.mark.parametrize("said", [0, 1, 2, 4, 65_535])
def test_a_zip_whose_count_is_wrong_is_refused(said, tmp_path):
    (tmp_path / "a.zip").write_bytes(many_zipped(3, said))
    with pytest.raises(
        UserError, match=rf"a\.zip is not (?s:.*)byte 120 has 3 entries, but its end record says {said}\."
    ):
        scan_archive(tmp_path / "a.zip")


def test_bytes_in_the_directory_that_are_not_an_entry_are_refused(tmp_path):
    signature = b"PK\5\5\3\0abc"
    assert len(zip_listing(tmp_path / "a.zip", many_zipped(3, 3, behind=signature))) == 3
    for behind in (b"x", bytes(60), b"PK\5\5", signature[:-1], signature + b"x"):
        with pytest.raises(ZipFault, match="damaged"):
            zip_listing(tmp_path / "a.zip", many_zipped(3, 3, behind=behind))


def test_a_zip_whose_directory_is_larger_than_it_says_is_refused(tmp_path):
    """Even if the count agrees with the size: the first entries would be lost, and all offsets shifted."""
    row = 46 + 9
    for said, less in ((3, row), (2, row), (0, 3 * row), (3, 1)):
        with pytest.raises(
            ZipFault, match=f"a directory begins at byte 120, but by its size it begins at byte {120 + less}"
        ):
            zip_listing(tmp_path / "a.zip", many_zipped(3, said, size_less=less))


def test_an_end_record_in_the_comment_is_not_used(tmp_path):
    path, empty = tmp_path / "a.zip", many_zipped(0, 0)
    assert len(zip_listing(path, many_zipped(3, 3, comment=empty + b" of old"))) == 3
    assert len(zip_listing(path, many_zipped(3, 3) + b"put behind")) == 3
    with pytest.raises(ZipFault, match="end records at bytes 285 and 307"):
        zip_listing(path, many_zipped(3, 3, comment=empty))


def test_the_whole_count_of_a_zip64_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", encoded_image(number))
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\6\6")
    source = ArchiveSource([path])
    assert [source.load(one.locator) for one in source.scan()] == [
        encoded_image(number) for number in range(3)
    ]
    for said in (2, 4, 3 + (1 << 16), 3 + (1 << 32)):
        content[end + 32 : end + 40] = struct.pack("<Q", said)
        with pytest.raises(ZipFault, match=f"has 3 entries, but its end record says {said}"):
            zip_listing(path, content)
