"""The readers of tars, tars of tars, tar.gz and zips: nothing is lost, whatever way an archive is damaged."""

import gzip
import io
import itertools
import random
import struct
import tarfile
import zipfile

import pytest
from hostile import TAR_SIZES, with_size
from images import textured
from PIL import Image

from data.errors import UserError
from data.records import Reason, Rejection, SourceEntry
from data.sources import gzip_reader
from data.sources.archive import ArchiveSource
from data.sources.gzip_reader import GzipBytes, GzipFault
from data.sources.member_names import leads_outside, readable
from data.sources.tar import TarFault, walk
from data.sources.zip import ZipArchive, ZipFault


def image(seed, height=20, width=30):
    buffer = io.BytesIO()
    Image.fromarray(textured(seed, height, width)).save(buffer, "PNG")
    return buffer.getvalue()


def tar_bytes(members, format=tarfile.GNU_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def scanned(path, members=""):
    return list(ArchiveSource([path], members).scan(threads=2))


def read_at(content):
    return lambda offset, size: content[offset : offset + size]


WHOLE = tar_bytes({f"{number}.png": image(number) for number in range(4)})
BARE = WHOLE[: WHOLE.rindex(b"IEND") // 512 * 512 + 512]
"""Without the end mark."""


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_gives_the_members_that_were_written(format):
    long = "a/" * 45 + "name.png" if format == tarfile.USTAR_FORMAT else "ü/" * 90 + "name.png"
    members = {"a.png": b"1" * 700, long: b"2" * 512, "c.png": b""}
    content = tar_bytes(members, format)
    found = list(walk(read_at(content), 0, len(content)))
    assert {one.name: content[one.offset : one.offset + one.size] for one in found} == members


def test_a_size_beyond_octal_is_read():
    info = tarfile.TarInfo("large.png")
    info.size = 20 << 30
    assert next(walk(read_at(info.tobuf(tarfile.GNU_FORMAT)), 0, None)).size == 20 << 30


@pytest.mark.parametrize("size", TAR_SIZES.values(), ids=TAR_SIZES)
@pytest.mark.parametrize("kind", [b"0", b"L", b"x"])
def test_a_size_that_is_none_is_a_fault_and_no_walk_in_a_circle(size, kind):
    info = tarfile.TarInfo("a.png")
    info.type = kind
    content = with_size(info.tobuf(tarfile.USTAR_FORMAT), size) + bytes(10_240)
    with pytest.raises(TarFault):
        list(itertools.islice(walk(read_at(content), 0, len(content)), 5))


@pytest.mark.parametrize("body", [b"%d size=%s\n", b"0" * 5000 + b"%d size=%s\n"])
def test_numbers_of_thousands_of_digits_are_a_fault(body):
    record = body % (5011, b"9" * 5000)
    header = tarfile.TarInfo("long")
    header.type, header.size = b"x", len(record)
    content = header.tobuf(tarfile.USTAR_FORMAT) + record + bytes(-len(record) % 512) + WHOLE
    with pytest.raises(TarFault, match="damaged extended header"):
        list(walk(read_at(content), 0, len(content)))


def test_a_tar_cut_off_anywhere_is_never_taken_for_a_whole_one():
    end = len(BARE)
    for length in [
        0,
        1,
        511,
        512,
        513,
        *range(700, end, 997),
        end - 512,
        end,
        end + 511,
        end + 512,
        end + 1023,
    ]:
        with pytest.raises(TarFault, match="cut off"):
            list(walk(read_at(WHOLE[:length]), 0, length))


def test_a_damaged_header_is_told_with_its_place(tmp_path):
    members = list(walk(read_at(WHOLE), 0, len(WHOLE)))
    broken = bytearray(WHOLE)
    broken[members[2].offset - 512 + 5] ^= 1
    (tmp_path / "a.tar").write_bytes(broken)
    with pytest.raises(UserError, match=f"damaged header at byte {members[2].offset - 512}.*a.tar"):
        scanned(tmp_path / "a.tar")


def test_a_tar_appended_to_another_is_read_too():
    both = WHOLE + tar_bytes({"more.png": b"x"})
    assert [one.name for one in walk(read_at(both), 0, len(both))][-2:] == ["3.png", "more.png"]
    bare = BARE + bytes(1024)
    assert len(list(walk(read_at(bare + bare + WHOLE), 0, 2 * len(bare) + len(WHOLE)))) == 12


@pytest.mark.parametrize("record", [512, 1 << 16, 1 << 20])
def test_padding_to_a_whole_record_is_no_hole(record):
    padded = BARE + bytes(1024)
    padded += bytes(-len(padded) % record)
    assert len(list(walk(read_at(padded), 0, len(padded)))) == 4
    assert len(list(walk(read_at(padded), 0, None))) == 4


@pytest.mark.parametrize(
    ("behind", "reason", "size"),
    [(b"signature" * 60, Reason.NOT_AN_IMAGE, 540), (bytes(51_000), Reason.UNREADABLE, 61_752)],
)
def test_what_is_behind_the_end_mark_and_no_padding_is_told(behind, reason, size, tmp_path):
    (tmp_path / "a.tar").write_bytes(WHOLE + behind)
    told = scanned(tmp_path / "a.tar", "1")[-1]
    assert (told.id, told.reason) == ("(the end)", reason) and told.detail.startswith(f"{size} bytes")


def test_zeros_over_a_header_are_never_taken_for_the_end():
    """As a bad sector leaves them, or the hole in a file whose room was taken before its bytes came."""
    content = tar_bytes({f"{number}.png": b"x" * 3000 for number in range(1000)})
    step = 512 + 3072
    assert len(list(walk(read_at(content), 0, len(content)))) == 1000
    for first, end in (
        (3, 3 * step + 512),
        (3, 7 * step),
        (3, 400 * step + 100),
        (3, len(content)),
        (3, len(content) - 20_480),
        (0, len(content)),
    ):
        start = first * step
        broken = content[:start] + bytes(end - start) + content[end:]
        for known in (len(broken), None):
            with pytest.raises(TarFault, match=f"zeros where a header should be, at byte {start}: a hole"):
                list(walk(read_at(broken), 0, known))


def test_a_tar_of_tars_is_read_by_position(tmp_path):
    inner = {}
    for folder in range(3):
        inner[f"n{folder}.tar"] = tar_bytes({f"n{folder}_{k}.png": image(9 * folder + k) for k in range(3)})
    inner["n1.tar"] = inner["n1.tar"][:1400]
    (tmp_path / "whole.tar").write_bytes(tar_bytes(inner | {"readme.txt": b"hello"}))
    source = ArchiveSource([tmp_path / "whole.tar"])
    calls = []
    found = list(source.scan(threads=2, progress=lambda done, total, note="": calls.append((done, total))))
    entries = {one.id: one for one in found if isinstance(one, SourceEntry)}
    assert list(entries) == [f"n{folder}.tar/n{folder}_{k}.png" for folder in (0, 2) for k in range(3)]
    assert {one.id: one.reason for one in found if isinstance(one, Rejection)} == {
        "n1.tar": Reason.UNREADABLE, "readme.txt": Reason.NOT_AN_IMAGE,
    }  # fmt: skip
    assert source.load(entries["n2.tar/n2_1.png"].locator) == image(19)
    assert calls[-1] == (len(found), len(found))
    only = scanned(tmp_path / "whole.tar", "n2.tar/n2_0")
    assert [one.id for one in only] == ["n2.tar/n2_0.png"]
    with pytest.raises(UserError, match="begins with 'photos/', got none"):
        scanned(tmp_path / "whole.tar", "photos/")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.tar"]


def test_several_archives_are_one_source(tmp_path):
    (tmp_path / "one.tar").write_bytes(WHOLE)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("0.png", image(7))
    source = ArchiveSource([tmp_path / "one.tar", tmp_path / "two.zip"])
    assert [one.id for one in source.scan()] == [*(f"one/{number}.png" for number in range(4)), "two/0.png"]


def test_gzip_is_read_at_any_place_and_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(gzip_reader, "_SPACING_BYTES", 100_000)
    monkeypatch.setattr(gzip_reader, "_OUTPUT_BYTES", 30_000)
    chance = random.Random(0)
    content = chance.randbytes(400_000) + bytes(600_000) + chance.randbytes(200_000)
    stored = gzip.compress(content[:700_000]) + gzip.compress(content[700_000:]) + bytes(100)
    (tmp_path / "a.gz").write_bytes(stored)
    with open(tmp_path / "a.gz", "rb") as file:
        reader = GzipBytes(file.fileno())
        for _ in range(200):
            offset, size = chance.randrange(len(content)), chance.randrange(150_000)
            assert reader.read_at(offset, size) == content[offset : offset + size]
        assert reader.read_at(len(content), 10) == b""
    for length in (5, 1000, len(stored) // 2, len(stored) - 104):
        (tmp_path / "cut.gz").write_bytes(stored[:length])
        with open(tmp_path / "cut.gz", "rb") as file, pytest.raises(GzipFault, match="cut off"):
            GzipBytes(file.fileno()).read_at(0, len(content) + 1)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz"])
def test_a_compressed_tar_is_read_in_place(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(WHOLE))
    source = ArchiveSource([path])
    entries = list(source.scan(threads=3))
    assert [source.load(one.locator) for one in entries[::-1]] == [image(number) for number in (3, 2, 1, 0)]
    path.write_bytes(gzip.compress(WHOLE)[:-500])
    with pytest.raises(UserError, match="cut off"):
        list(ArchiveSource([path]).scan())


def test_a_zip_behind_something_else_and_with_a_comment_is_read(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"#!/bin/sh\n" * 50)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"a comment " * 30
        for number in range(3):
            archive.writestr(f"{number}.png", image(number))
    source = ArchiveSource([path])
    assert [source.load(one.locator) for one in source.scan()] == [image(number) for number in range(3)]


def zip_bytes(compressed, size, offset):
    """Return a zip of one member whose place and sizes are said in the zip64 way."""
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
def test_a_zip_whose_numbers_lead_beyond_its_end_gives_a_rejection(numbers, tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes(*numbers))
    (found,) = scanned(tmp_path / "a.zip")
    assert found.reason in (Reason.UNREADABLE, Reason.TOO_LARGE)


def test_a_zip_whose_directory_would_be_beyond_its_end_is_refused(tmp_path):
    content = zip_bytes(4, 4, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 1 << 63, 1)
    end = content.index(b"PK\5\6")
    (tmp_path / "a.zip").write_bytes(content[:end] + locator + content[end:])
    with pytest.raises(UserError, match="cut off, or damaged"):
        scanned(tmp_path / "a.zip")


def test_a_zip_cut_off_anywhere_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", image(number))
    whole = (tmp_path / "a.zip").read_bytes()
    for length in [0, 10, *range(100, len(whole), 401), len(whole) - 1]:
        (tmp_path / "cut.zip").write_bytes(whole[:length])
        with pytest.raises(UserError, match="cut.zip"):
            scanned(tmp_path / "cut.zip")
    start = whole.rindex(b"PK\1\2")
    (tmp_path / "cut.zip").write_bytes(whole[:start] + b"XX" + whole[start + 2 :])
    with pytest.raises(UserError, match="directory is damaged"):
        scanned(tmp_path / "cut.zip")


def many_zipped(members, count, size_less=0, behind=b"", comment=b""):
    """Return a zip without zip64 records of so many members, with a count in its end record that may be wrong.

    The size said for its directory may be too small, and something may stand in the directory behind its entries.
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
    return [found for _, found in ZipArchive(path).listing("", "", "")]


@pytest.mark.parametrize("members", [1, 65_535, 65_540])
def test_a_zip_whose_count_wrapped_is_read_whole(members, tmp_path):
    path = tmp_path / "a.zip"
    found = zip_listing(path, many_zipped(members, members))
    assert len({one.id for one in found}) == members
    assert ZipArchive(path).load(found[-1].locator) == b"x"


@pytest.mark.parametrize("said", [0, 1, 2, 4, 65_535])
def test_a_zip_whose_count_is_wrong_is_refused(said, tmp_path):
    (tmp_path / "a.zip").write_bytes(many_zipped(3, said))
    with pytest.raises(
        UserError, match=rf"byte 120 is damaged: it has 3 entries, and its end says {said}(?s:.*)a\.zip"
    ):
        scanned(tmp_path / "a.zip")


def test_what_is_no_entry_in_the_directory_of_a_zip_is_refused(tmp_path):
    signature = b"PK\5\5\3\0abc"
    assert len(zip_listing(tmp_path / "a.zip", many_zipped(3, 3, behind=signature))) == 3
    for behind in (b"x", bytes(60), b"PK\5\5", signature[:-1], signature + b"x"):
        with pytest.raises(ZipFault, match="damaged"):
            zip_listing(tmp_path / "a.zip", many_zipped(3, 3, behind=behind))


def test_a_zip_whose_directory_is_larger_than_it_says_is_refused(tmp_path):
    """Also where the count agrees with the size: the rows before would be lost, and all offsets be shifted."""
    row = 46 + 9
    for said, less in ((3, row), (2, row), (0, 3 * row), (3, 1)):
        with pytest.raises(
            ZipFault, match=f"a directory begins at byte 120, and by its size at byte {120 + less}"
        ):
            zip_listing(tmp_path / "a.zip", many_zipped(3, said, size_less=less))


def test_an_end_record_in_the_comment_of_a_zip_is_not_taken_for_its_own(tmp_path):
    path, empty = tmp_path / "a.zip", many_zipped(0, 0)
    assert len(zip_listing(path, many_zipped(3, 3, comment=empty + b" of old"))) == 3
    assert len(zip_listing(path, many_zipped(3, 3) + b"put behind")) == 3
    with pytest.raises(ZipFault, match="more than one end record, at bytes 285 and 307"):
        zip_listing(path, many_zipped(3, 3, comment=empty))


def test_the_count_of_a_zip64_is_held_to_all_its_digits(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", picture(number))
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\6\6")
    source = ArchiveSource([path])
    assert [source.load(one.locator) for one in source.scan()] == [picture(number) for number in range(3)]
    for said in (2, 4, 3 + (1 << 16), 3 + (1 << 32)):
        content[end + 32 : end + 40] = struct.pack("<Q", said)
        with pytest.raises(ZipFault, match=f"it has 3 entries, and its end says {said}"):
            zip_listing(path, content)


def test_an_archive_that_is_gone_is_told(tmp_path):
    with pytest.raises(UserError, match="gone.tar"):
        ArchiveSource([tmp_path / "gone.tar"]).load("0:0:512")


def test_names():
    assert readable("héllo wörld.png") == "héllo wörld.png"
    assert readable("a\nb\udce9\x7f.png") == "a\\x0ab\\xe9\\x7f.png"
    assert not any(map(leads_outside, ["a/b.png", "..a/b..png", "a..b", "c:d/e"]))
    assert all(map(leads_outside, ["../a", "/a", "a/../b", "..\\a", "\\a", "C:\\a", "C:/a", ".."]))
