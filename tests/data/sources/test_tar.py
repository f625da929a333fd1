"""Tars, tars of tars and compressed tars are read in place, and damage is reported."""

import gzip

import pytest
from archives import encoded_image, make_tar, reader_of, scan_archive, tar_member

from data.errors import UserError
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources.archive import ArchiveSource
from data.sources.tar_format import walk

WHOLE = make_tar({f"{number}.png": encoded_image(number) for number in range(4)})


def test_a_damaged_header_is_reported_with_its_position(tmp_path):
    members = list(walk(reader_of(WHOLE), 0, len(WHOLE)))
    broken = bytearray(WHOLE)
    broken[members[2].offset - 512 + 5] ^= 1
    (tmp_path / "a.tar").write_bytes(broken)
    with pytest.raises(UserError, match=f"a.tar is not .*damaged header at byte {members[2].offset - 512}"):
        scan_archive(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("behind", "reason", "size"),
    [
        (b"signature" * 60, RejectionReason.NOT_AN_IMAGE, 540),
        (bytes(51_000), RejectionReason.UNREADABLE, 61_752),
    ],
)
def test_bytes_after_the_end_that_are_not_padding_are_rejected(behind, reason, size, tmp_path):
    (tmp_path / "a.tar").write_bytes(WHOLE + behind)
    found = scan_archive(tmp_path / "a.tar", "1")[-1]
    assert (found.id, found.reason) == ("(the end)", reason) and found.detail.startswith(f"{size} bytes")


def test_a_tar_of_tars_is_read_in_place(tmp_path):
    inner = {}
    for folder in range(3):
        inner[f"n{folder}.tar"] = make_tar(
            {f"n{folder}_{k}.png": encoded_image(9 * folder + k) for k in range(3)}
        )
    inner["n1.tar"] = inner["n1.tar"][:1400]
    (tmp_path / "whole.tar").write_bytes(make_tar(inner | {"readme.txt": b"hello"}))
    source = ArchiveSource([tmp_path / "whole.tar"])
    calls = []
    found = list(source.scan(threads=2, progress=lambda done, total, note="": calls.append((done, total))))
    entries = {one.id: one for one in found if isinstance(one, SourceEntry)}
    assert list(entries) == [f"n{folder}.tar/n{folder}_{k}.png" for folder in (0, 2) for k in range(3)]
    assert {one.id: one.reason for one in found if isinstance(one, Rejection)} == {
        "n1.tar": RejectionReason.UNREADABLE, "readme.txt": RejectionReason.NOT_AN_IMAGE,
    }  # fmt: skip
    assert source.load(entries["n2.tar/n2_1.png"].locator) == encoded_image(19)
    assert calls[-1] == (len(found), len(found))
    only = scan_archive(tmp_path / "whole.tar", "n2.tar/n2_0")
    assert [one.id for one in only] == ["n2.tar/n2_0.png"]
    with pytest.raises(UserError, match="No file in .*whole.tar has a path that starts with 'photos/'"):
        scan_archive(tmp_path / "whole.tar", "photos/")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.tar"]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz"])
def test_a_compressed_tar_is_read_in_place(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(WHOLE))
    source = ArchiveSource([path])
    entries = list(source.scan(threads=3))
    assert [source.load(one.locator) for one in entries[::-1]] == [
        encoded_image(number) for number in (3, 2, 1, 0)
    ]
    path.write_bytes(gzip.compress(WHOLE)[:-500])
    with pytest.raises(UserError, match="cut off"):
        list(ArchiveSource([path]).scan())


def test_a_tar_inside_whose_own_name_leads_outside_is_not_read(tmp_path):
    inner = make_tar({"a.png": encoded_image(1)})
    for name in ("../evil.tar", "/evil.tar", "a/../../evil.tar", "..\\evil.tar"):
        (tmp_path / "a.tar").write_bytes(make_tar({name: inner, "fine.tar": inner}))
        first, second = scan_archive(tmp_path / "a.tar")
        assert (first.id, first.reason) == (name.replace("\\", "/"), RejectionReason.UNSAFE_NAME)
        assert second.id == "fine.tar/a.png"


def test_only_what_might_be_an_image_counts_as_damaged(tmp_path):
    sparse = {"GNU.sparse.major": "1"}
    (tmp_path / "a.tar").write_bytes(
        tar_member("label", kind=b"V")
        + tar_member("log.txt", b"x", pax_headers=sparse)
        + tar_member("a.png", b"x", pax_headers=sparse)
        + tar_member("more.tar", b"x", pax_headers=sparse)
        + tar_member("odd", kind=b"Q")
        + bytes(1024)
    )
    found = {one.id: one.reason for one in scan_archive(tmp_path / "a.tar")}
    assert found == {
        "label": RejectionReason.NOT_AN_IMAGE,
        "log.txt": RejectionReason.NOT_AN_IMAGE,
        "a.png": RejectionReason.UNSUPPORTED,
        "more.tar": RejectionReason.UNSUPPORTED,
        "odd": RejectionReason.NOT_AN_IMAGE,
    }


def test_an_enormous_size_of_a_folder_is_no_traceback(tmp_path):
    folder = tar_member("a/", size=1 << 70)
    (tmp_path / "a.tar").write_bytes(folder + tar_member("b.png", encoded_image(1)) + bytes(1024))
    assert [one.id for one in scan_archive(tmp_path / "a.tar")] == ["b.png"]
    (tmp_path / "a.tar").write_bytes(folder + b"x" * 512 + bytes(1024))
    with pytest.raises(UserError, match="cut off in 'a/'"):
        scan_archive(tmp_path / "a.tar")


def test_backslashes_divide_folders(tmp_path):
    inner = make_tar({"deep\\c.png": encoded_image(3)})
    members = {"a\\1.png": encoded_image(1), ".\\b\\\\2.png": encoded_image(2), "in\\n.tar": inner}
    (tmp_path / "a.tar").write_bytes(make_tar(members))
    expected = ["a/1.png", "b/2.png", "in/n.tar/deep/c.png"]
    assert [one.id for one in scan_archive(tmp_path / "a.tar")] == expected
    assert [one.id for one in scan_archive(tmp_path / "a.tar", "in\\n.tar\\deep\\")] == expected[2:]


def test_bytes_behind_a_compressed_tar_are_said(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(WHOLE) + bytes(20_000))
    assert len(scan_archive(path)) == 4
    for behind, count in ((b"signature", 9), (bytes(20_480) + b"signature", 9)):
        path.write_bytes(gzip.compress(WHOLE) + behind)
        *images, end = scan_archive(path)
        assert len(images) == 4 and all(isinstance(one, SourceEntry) for one in images)
        assert (end.id, end.reason) == ("(the end)", RejectionReason.NOT_AN_IMAGE)
        assert end.detail == f"{count} bytes that are not part of the gzip file"


def test_a_second_gzip_part_with_a_damaged_beginning_is_refused(tmp_path):
    second = make_tar({"more.png": encoded_image(9, 100, 100)})
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(WHOLE) + gzip.compress(second))
    assert len(scan_archive(path)) == 5
    path.write_bytes(gzip.compress(WHOLE) + b"\0" + gzip.compress(second)[1:])
    with pytest.raises(UserError, match="that are not gzip"):
        scan_archive(path)


@pytest.mark.parametrize("order", [1, -1])
def test_a_folder_and_a_tar_of_one_name_give_different_ids(order, tmp_path):
    members = {"n.tar": make_tar({"a.png": encoded_image(1)}), "n.tar/a.png": encoded_image(2)}
    (tmp_path / "a.tar").write_bytes(make_tar(dict(list(members.items())[::order])))
    assert [one.id for one in scan_archive(tmp_path / "a.tar")] == ["n.tar/a.png", "n.tar#2/a.png"]
    (tmp_path / "a.tar").write_bytes(
        make_tar({"n.tar/a.png": encoded_image(1), "n.tar/b.png": encoded_image(2)})
    )
    assert [one.id for one in scan_archive(tmp_path / "a.tar")] == ["n.tar/a.png", "n.tar/b.png"]


@pytest.mark.parametrize("kind", [b"0", b"5"])
def test_a_folder_with_content_is_not_left_out_in_silence(kind, tmp_path):
    folder = tar_member("a.png/", encoded_image(1), kind)
    (tmp_path / "a.tar").write_bytes(folder + tar_member("b.png", encoded_image(2)) + bytes(1024))
    found, image = scan_archive(tmp_path / "a.tar")
    assert (found.id, found.reason) == ("a.png/", RejectionReason.NOT_AN_IMAGE)
    assert found.detail == "a folder with content" and image.id == "b.png"
