"""Zips are read in place, and a damaged directory is refused."""

import io
import struct
import zipfile
import zlib

import pytest
from archives import encoded_image, scan_archive

from data.errors import UserError
from data.records import RejectionReason
from data.sources.archive import ArchiveSource
from data.sources.zip import ZipArchive
from data.sources.zip_directory import ZipFault


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


def zipped(members, method=zipfile.ZIP_STORED):
    """Return a zip with these members, content by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


INNER = zipped({f"inner{number}.png": encoded_image(number) for number in range(2)})


@pytest.mark.parametrize("front", [b"", b"#!/bin/sh\n" * 50])
@pytest.mark.parametrize("inner", [INNER, zipped({})])
def test_a_zip_cut_off_behind_a_zip_inside_it_is_not_taken_for_that_one(front, inner, tmp_path):
    outer = front + zipped({"a.png": encoded_image(7), "more.zip": inner, "b.png": encoded_image(8)})
    end = outer.index(inner) + len(inner)
    for length in (end, end + 1, end + 30, end + 500):
        with pytest.raises(ZipFault, match="cut off, or two zips in one file"):
            zip_listing(tmp_path / "a.zip", outer[:length])
    only = front + zipped({"more.zip": inner, "b.png": b"x"})
    with pytest.raises(ZipFault, match="cut off, or two zips in one file"):
        zip_listing(tmp_path / "a.zip", only[: only.index(inner) + len(inner)])


def test_two_zips_in_one_file_are_refused(tmp_path):
    with pytest.raises(ZipFault, match="two zips in one file"):
        zip_listing(tmp_path / "a.zip", zipped({"a.png": b"1"}) + zipped({"b.png": b"2"}))


def test_an_archive_inside_a_zip_is_named_as_one(tmp_path):
    names = ("more.zip", "more.TAR", "more.tar.xz", "more.tar.zst", "more.7z")
    found = zip_listing(tmp_path / "a.zip", zipped(dict.fromkeys(names, INNER) | {"a.png": b"x"}))
    assert [one.id for one in found] == [*names, "a.png"]
    assert {one.reason for one in found[:-1]} == {RejectionReason.UNSUPPORTED}
    assert all("an archive inside an archive" in one.detail for one in found[:-1])


@pytest.mark.parametrize("front", [b"", b"#!/bin/sh\n" * 50])
def test_a_zip64_behind_other_bytes_is_read(front, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    content = zipped({f"{number}.png": encoded_image(number) for number in range(3)})
    assert b"PK\6\6" in content
    (tmp_path / "a.zip").write_bytes(front + content)
    source = ArchiveSource([tmp_path / "a.zip"])
    assert [source.load(one.locator) for one in source.scan()] == [encoded_image(n) for n in range(3)]
    with pytest.raises(ZipFault, match="two zips in one file"):
        zip_listing(tmp_path / "a.zip", content + content)


def write_large_zip(path, gaps):
    """Write a zip without zip64 records; before each member are so many bytes that no member owns."""
    rows = []
    with open(path, "wb") as file:
        for number, gap in enumerate(gaps):
            file.seek(gap, 1)
            name, offset, content = b"%d.png" % number, file.tell() & 0xFFFFFFFF, encoded_image(number)
            sizes = (zlib.crc32(content), len(content), len(content), len(name), 0)
            file.write(struct.pack("<4s5H3L2H", b"PK\3\4", 10, 0, 0, 0, 0, *sizes) + name + content)
            row = (b"PK\1\2", 10, 0, 10, 0, 0, 0, 0, *sizes, 0, 0, 0, 0, offset)
            rows.append(struct.pack("<4sBBHHHHHLLLHHHHHLL", *row) + name)
        start, directory = file.tell() & 0xFFFFFFFF, b"".join(rows)
        end = (len(rows), len(rows), len(directory), start, 0)
        file.write(directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *end))


@pytest.mark.parametrize(
    "gaps", [(0, 0, 3 << 30, 2 << 30, 0), (0, 5 << 30, 0), (0, 3 << 30, 3 << 30, 3 << 30)]
)
def test_a_zip_whose_offsets_wrapped_at_4_gib_is_read(gaps, tmp_path):
    write_large_zip(tmp_path / "a.zip", gaps)
    source = ArchiveSource([tmp_path / "a.zip"])
    assert [source.load(one.locator) for one in source.scan()] == [encoded_image(n) for n in range(len(gaps))]


def test_a_zip_whose_wrapped_offsets_lead_nowhere_is_refused(tmp_path):
    write_large_zip(tmp_path / "a.zip", (0, 5 << 30, 0))
    with open(tmp_path / "a.zip", "r+b") as file:
        file.seek((5 << 30) + 30 + 5 + len(encoded_image(0)))
        assert file.read(4) == b"PK\3\4"
        file.seek(-4, 1)
        file.write(bytes(4))
    with pytest.raises(
        UserError, match="larger than 4 GiB without zip64 records, and '1.png' can't be found"
    ):
        scan_archive(tmp_path / "a.zip")


def test_backslashes_divide_folders_and_the_option_members_finds_them(tmp_path):
    path, content = tmp_path / "a.zip", encoded_image(1)
    names = ("scene\\", "scene\\a\\1.png", ".\\scene\\2.png", "scene//b/./3.png", "./././other/4.png")
    path.write_bytes(zipped({name: b"" if name.endswith("\\") else content for name in names}))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[1] == names[1]
    expected = ["scene/a/1.png", "scene/2.png", "scene/b/3.png", "other/4.png"]
    assert [one.id for one in scan_archive(path)] == expected
    for members in ("scene/", "scene\\", ".\\scene\\", "./scene/"):
        assert [one.id for one in scan_archive(path, members)] == expected[:3]


def test_a_backslash_inside_a_japanese_character_is_no_separator(tmp_path):
    content = zipped({"a/??.png": b"x"}).replace(b"a/??.png", b"a/\x83\x5c.png")
    assert [one.id for one in zip_listing(tmp_path / "a.zip", content)] == ["a/\xe2_.png"]


def test_a_folder_with_content_is_not_left_out_in_silence(tmp_path):
    (found,) = zip_listing(tmp_path / "a.zip", zipped({"a.png/": b"x", "b/": b""}))
    assert (found.id, found.reason) == ("a.png/", RejectionReason.NOT_AN_IMAGE)
