"""Tell from a file's first bytes which kind of file it is, whatever its name says."""

from pathlib import Path

TAR, ZIP, GZIP, ZEROS = "a tar", "a zip", "a file compressed by gzip", "a file of zeros"
_TAR_AT = 257
FIRST_BYTES = 265
"""How many bytes `foreign_kind` looks at."""
_COMPRESSED = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"LZIP": "lzip",
    b"\x1f\x9d": "compress",
    b"\x1f\x8b": "gzip",
}
_OTHERS = {
    b"PK\3\4": ZIP,
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"version https://git-lfs": "a Git LFS pointer, for which `git lfs pull` fetches the archive",
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
}


def foreign_kind(first: bytes) -> str | None:
    """Return what a file that begins with these bytes is, if it is an archive or something often taken for one.

    Args:
        first: the first FIRST_BYTES of the file, or all of a smaller one.
    """
    if (
        first[_TAR_AT : _TAR_AT + 5] == b"ustar"
    ):  # first of all: a tar begins with the name of its first member
        return TAR
    for magic, program in _COMPRESSED.items():
        if first.startswith(magic):
            return f"a file compressed by {program}"
    for magic, kind in _OTHERS.items():
        if first.lstrip().lower().startswith(magic.lower()):
            return kind
    return None if first.strip(b"\0") else "an empty file" if not first else ZEROS


def read_kind(path: Path) -> str | None:
    """Return what a file is, as `foreign_kind` does.

    Raises:
        OSError: it can't be read.
    """
    with open(path, "rb") as file:
        return foreign_kind(file.read(FIRST_BYTES))


def advise(kind: str, name: str) -> str:
    """Return what to do with a file of a kind from `foreign_kind` that is not read.

    Args:
        kind: what it is.
        name: its file name.
    """
    if kind in (TAR, ZIP, GZIP):
        suffix = {TAR: ".tar", ZIP: ".zip", GZIP: ".tar.gz"}[kind]
        return f"Rename it to {name}{suffix}, or unpack it and give the path of the folder"
    if kind.startswith("a file compressed"):
        return f"Unpack it (mkdir DIR && tar -xf {name} -C DIR), and give the path of the folder"
    if kind.endswith("archive"):
        return "Unpack it, and give the path of the folder"
    return "Fetch it again"
