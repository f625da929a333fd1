"""What the machine runs out of is never taken for a property of an image: tried with real limits, in own processes."""

import errno
import os
import subprocess
import sys

import pytest
from videos import make_video

from data.errors import UserError
from data.exhaustion import explain_exhaustion, raise_if_exhausted

PRELUDE = """
import io, os, resource, sys
import numpy as np
from PIL import Image
from pathlib import Path
from data.errors import UserError
from data.imaging.decode import ImageFault, decode, probe
from data.imaging.original import decode_original
from data.records import Rejection, SourceEntry
from data.sources.archive import ArchiveSource
from data.sources.folder import FolderSource

def limit_memory(megabytes):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 1_000_000,) * 2)

def stored(format, mode="RGB", side=4000, **options):
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, format, **options)
    return buffer.getvalue()
"""


def run(code, *arguments):
    """Run code in a process of its own, and return what it prints."""
    command = [sys.executable, "-c", PRELUDE + code, *map(str, arguments)]
    environment = os.environ | {"RUST_BACKTRACE": "0"}  # a panic would look for memory for its backtrace
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split("\n")[:-1]


STORED = {
    "jpeg": "stored('JPEG')",
    "progressive": "stored('JPEG', 'L', progressive=True)",
    "png": "stored('PNG')",
    "gray": "stored('PNG', 'L')",
    "rgba": "stored('PNG', 'RGBA')",
    "palette": "stored('PNG', 'P')",
    "deep": "stored('PNG', 'I;16')",
    "tiff": "stored('TIFF', 'L', compression='tiff_lzw')",
    "webp": "stored('WEBP', method=0)",
    "bmp": "stored('BMP', 'L')",
}


@pytest.mark.parametrize("expression", STORED.values(), ids=STORED)
def test_a_decoder_without_memory_raises_no_image_fault(expression):
    code = f"""
content = {expression}
decode(content[:0] or stored("PNG", side=8))
limit_memory(12)
for read in (decode, decode_original):
    try:
        print("decoded", read(content))
    except MemoryError:
        print("memory")
"""
    assert run(code) == ["memory", "memory"]


def test_damage_is_still_damage_under_a_limit_of_memory():
    code = """
contents = [stored("JPEG", side=600), stored("PNG", side=600), stored("PNG", "L", side=600)]
contents += [stored("WEBP", side=600), stored("TIFF", "L", side=600)]
limit_memory(600)
for content in contents:
    try:
        decode(content[: len(content) // 2])
    except ImageFault as fault:
        print(fault.reason)
"""
    assert run(code) == ["unreadable"] * 5


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_source_says_in_words_that_memory_ran_out(kind, tmp_path):
    """The image takes 127 MB: more than the 64 MB that the heap of a thread may leave after the limit is set."""
    code = """
import shutil
root = Path(sys.argv[1], "photos")
root.mkdir()
(root / "large.png").write_bytes(stored("PNG", "RGB", side=6500, compress_level=0))
archive = sys.argv[2] != "folder" and shutil.make_archive(str(root), sys.argv[2], root)
source = ArchiveSource([Path(archive)]) if archive else FolderSource(root)
entries = list(source.scan())
limit_memory(12)
for work in (lambda: list(source.read(entries)), lambda: list(source.scan())):
    try:
        print(work())
    except UserError as error:
        print(error)
"""
    packed, scanned = run(code, tmp_path, kind)
    for line in (packed, scanned):
        assert line.startswith("Memory ran out while ") and "large.png" in line and "fewer --workers" in line


def test_a_limit_of_open_files_is_no_property_of_a_file(tmp_path):
    code = """
root = Path(sys.argv[1])
for number in range(3):
    (root / f"{number}.png").write_bytes(stored("PNG", side=64))
source = FolderSource(root)
entries = list(source.scan())
members = list(source.list_members())
source.list_members = lambda: iter(members)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1,) * 2)
for work in (lambda: list(source.scan()), lambda: list(source.read(entries)), lambda: FolderSource(root).fingerprint()):
    try:
        print(work())
    except (UserError, OSError) as error:
        print(error)
"""
    scanned, read, listed = run(code, tmp_path)  # a folder that can't be listed now is no rejection
    assert "0.png can't be read: Too many open files. Raise the limit of open files" in scanned
    assert "0.png can't be read: Too many open files. Raise the limit of open files" in read
    assert "can't be read: Too many open files. Raise the limit" in listed


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOMEM, "fewer --workers"),
        (errno.ENFILE, "limit of open files"),
        (errno.ENOSPC, "Make room"),
        (errno.EIO, "Check the disk"),
        (errno.ESTALE, "Check the disk or the mount"),
    ],
)
def test_an_error_of_the_system_is_raised_and_explained(number, hint):
    error = OSError(number, os.strerror(number))
    with pytest.raises(OSError) as raised:
        raise_if_exhausted(error)
    assert raised.value is error
    explained = explain_exhaustion(error, "reading a.png")
    assert isinstance(explained, UserError)
    assert str(explained).startswith(f"{os.strerror(number)} while reading a.png. ") and hint in str(
        explained
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EISDIR, errno.ELOOP])
def test_an_error_about_the_file_passes(number):
    error = OSError(number, os.strerror(number))
    raise_if_exhausted(error)
    assert explain_exhaustion(error, "reading a.png") is error


def test_a_video_that_gets_no_file_handle_is_not_damaged(tmp_path):
    make_video(tmp_path / "video.mkv", frames=12)
    code = """
import av
from data.video.demux import VideoFault, open_video
path = Path(sys.argv[1], "video.mkv")
open_video(path)[0].close()
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1,) * 2)
try:
    open_video(path)
except OSError as error:
    print(error.strerror)
"""
    assert run(code, tmp_path) == ["Too many open files"]
