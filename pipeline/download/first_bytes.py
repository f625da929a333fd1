"""Check by its first bytes that a file is the archive that its name says, not a page that came in its place.

Servers answer with a page and status 200 where a file is gone, a login is due or a quota is used up, and name a wrong
type or encoding for intact files. The bytes decide; the headers count only where the bytes leave it open.
"""

import os
import tarfile
import zlib
from typing import BinaryIO

from data.catalog.spec import ARCHIVE_KINDS, archive_suffix

HEAD_BYTES = 512
"""How many first bytes are needed: a header of a tar."""
_ZIP_TAIL_BYTES = 22 + 65535
"""The end record of a zip is in these last bytes: it is followed by a comment at most."""

_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")
_PROGRAMS = (b"MZ", b"\x7fELF", b"#!")
"""First bytes of programs: a zip may unpack itself."""
_STARTS = {
    ".zip": _ZIP, ".001": _ZIP, ".png": (b"\x89PNG",), ".jpg": (b"\xff\xd8\xff",), ".jpeg": (b"\xff\xd8\xff",),
    ".pth": (*_ZIP, b"\x80"),
}  # fmt: skip
_PAGES = {
    b"<!doctype html": "an HTML page", b"<html": "an HTML page", b"<head": "an HTML page", b"<body": "an HTML page",
    b"<script": "an HTML page", b"<!--": "an HTML page", b"<?xml": "an XML message", b"<error": "an XML message",
    b"version https://git-lfs": "a Git LFS pointer",
}  # fmt: skip
_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a RAR archive", b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file", b"BZh": "a bzip2 file", _GZIP: "a gzip file", b"PK\3\4": "a zip archive",
    b"{": "a JSON message", b"[": "a JSON message", b"<": "a page of markup",
}  # fmt: skip


def find_fault(name: str, head: bytes, header_fault: str = "", *, checksum_decides: bool = False) -> str:
    """Return what a file is instead of the one that its name says; empty if it can be that one.

    Args:
        name: file name.
        head: the first `HEAD_BYTES` of the file, or all if it is smaller.
        header_fault: what the server's headers hold against it, if anything.
        checksum_decides: whether a checksum is published. Then only what is certainly wrong is refused.
    """
    is_encoded = header_fault.startswith("Content-Encoding")
    kind = ARCHIVE_KINDS.get(archive_suffix(name), "")
    if not head:
        return "an empty file"
    if _is_own(name, kind, head, is_encoded):
        return ""
    page = _find_start(_PAGES, head.removeprefix(b"\xef\xbb\xbf").lstrip().lower())
    if page and not name.lower().endswith((".html", ".htm", ".xml")):
        return page
    if header_fault or not kind or checksum_decides:
        return header_fault
    if kind == "zip" and head.startswith(_PROGRAMS):
        return ""
    return _find_start(_OTHERS, head) or f"no {kind} archive: it begins with the bytes {head[:8].hex(' ')}"


def is_cut_off(name: str, file: BinaryIO) -> bool:
    """Return whether a zip has no end record. Of other files only reading all of them shows whether they are whole.

    Args:
        name: file name.
        file: the file, open.
    """
    if archive_suffix(name) != ".zip":
        return False
    file.seek(max(0, file.seek(0, os.SEEK_END) - _ZIP_TAIL_BYTES))
    return b"PK\5\6" not in file.read()


def _is_own(name: str, kind: str, head: bytes, is_encoded: bool) -> bool:
    """Return whether the first bytes prove the file to be what its name says."""
    if kind != "tar":
        return head.startswith(_STARTS.get("." + name.lower().rpartition(".")[2], ()))
    if head.startswith(_GZIP):
        # A .tar that a server compressed on its way begins like this; so does a .tar.gz that was compressed again.
        return not is_encoded or (not name.lower().endswith(".tar") and not _is_gzip_twice(head))
    return _is_tar(head)


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return head == bytes(HEAD_BYTES)  # a tar without members
    return True


def _is_gzip_twice(head: bytes) -> bool:
    try:
        return zlib.decompressobj(wbits=31).decompress(head).startswith(_GZIP)
    except zlib.error:
        return False


def _find_start(names: dict[bytes, str], head: bytes) -> str:
    return next((name for start, name in names.items() if head.startswith(start)), "")
