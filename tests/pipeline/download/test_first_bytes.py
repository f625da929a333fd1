"""Tell archives from what servers send in their place, by the first bytes."""

import io

import pytest

from pipeline.download.first_bytes import find_fault, is_cut_off


@pytest.mark.parametrize(
    ("name", "head", "fault"),
    [
        ("a.zip", b"", "an empty file"),
        ("a.zip", b"<HTML><body>", "an HTML page"),
        ("a.tar", b"<?xml version='1.0'?><Error><Code>AccessDenied", "an XML message"),
        ("a.tgz", b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        ("a.tar", b'{"error": "login"}', "a JSON message"),
        ("a.zip", b"Rar!\x1a\x07\x00", "a RAR archive"),
        ("a.tar.gz", b"PK\3\4", "a zip archive"),
        ("a.zip", b"\x1f\x8b\x08", "a gzip file"),
        ("a.zip", b"Not found", "no zip archive: it begins with the bytes 4e 6f 74 20 66 6f 75 6e"),
        ("a.tar", b"x" * 512, "no tar archive: it begins with the bytes 78 78 78 78 78 78 78 78"),
        ("a.pth", b"<!doctype HTML>", "an HTML page"),
        ("a.zip", b"PK\5\6" + bytes(18), ""),
        ("a.zip", b"MZ\x90\0", ""),
        ("a.zip.001", b"PK\3\4", ""),
        ("a.zip.001", b"Rar!\x1a\x07\x00", "a RAR archive"),
        ("a.zip.002", b"anything", ""),
        ("a.zip.002", b"<html>", "an HTML page"),
        ("a.z01", b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        ("a.tar", bytes(512), ""),
        ("a.tar", b"\x1f\x8b\x08", ""),
        ("a.png", b"anything", ""),
        ("page.html", b"<html>", ""),
    ],
)
def test_what_came_is_named_by_its_first_bytes(name, head, fault):
    assert find_fault(name, head) == fault


def test_with_a_checksum_only_what_is_certainly_wrong_is_refused():
    assert find_fault("a.zip", b"a note before the zip", checksum_decides=True) == ""
    assert find_fault("a.zip", b"<html>", checksum_decides=True) == "an HTML page"
    assert find_fault("a.png", b"\x89PNG\r\n", "an HTML page") == ""
    assert find_fault("a.bin", b"1234", "Content-Encoding br") == "Content-Encoding br"


def test_only_a_whole_zip_must_have_its_end():
    beginning = io.BytesIO(b"PK\3\4" + bytes(100))
    assert is_cut_off("a.zip", beginning) and not is_cut_off("a.zip.001", beginning)
