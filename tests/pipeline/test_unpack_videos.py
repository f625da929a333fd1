"""Videos are unpacked once, whole, and below their folder; what else there is is counted."""

import io
import tarfile
import zipfile

import pytest

from data.errors import UserError
from pipeline.unpack_videos import count_unpacked, unpack_videos

FILES = {
    "Inter4K/60fps/UHD/1.mp4": b"one", "Inter4K/60fps/UHD/2.mp4": b"three", "Inter4K/readme.txt": b"text",
    "../out.mp4": b"x", "/abs.mp4": b"x", "__MACOSX/._1.mp4": b"x", "C:\\win.mp4": b"x",
}  # fmt: skip
KEPT = {"Inter4K/60fps/UHD/1.mp4": b"one", "Inter4K/60fps/UHD/2.mp4": b"three"}


def make_archive(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            link = tarfile.TarInfo("link.mp4")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    return path


def content_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_videos_are_unpacked_and_nothing_else(tmp_path, name):
    archive = make_archive(tmp_path / name, FILES)
    unpack_videos([archive], tmp_path / "out")
    assert content_of(tmp_path / "out" / "videos") == KEPT
    assert count_unpacked(tmp_path / "out") == (2, 8, {".mp4": 4, ".txt": 1})
    assert content_of(tmp_path).keys() == {name, "out/videos.json", *(f"out/videos/{one}" for one in KEPT)}

    # What is whole stays; what is cut off is unpacked again.
    first, second = (tmp_path / "out" / "videos" / one for one in KEPT)
    before = first.stat().st_mtime_ns
    second.write_bytes(b"thr")
    unpack_videos([archive], tmp_path / "out")
    assert first.stat().st_mtime_ns == before and second.read_bytes() == b"three"


def test_two_archives_have_a_folder_each_and_members_choose(tmp_path):
    archives = [make_archive(tmp_path / name, FILES) for name in ("a.zip", "b.tar.gz")]
    unpack_videos(archives, tmp_path / "out", "Inter4K/60fps/")
    found = content_of(tmp_path / "out" / "videos")
    assert found == {f"{name}/{one}": content for name in "ab" for one, content in KEPT.items()}


def test_an_archive_without_videos_or_with_damage_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no video in .*it holds files 1 of \.yuv"):
        unpack_videos([make_archive(tmp_path / "a.zip", {"a.yuv": b"raw"})], tmp_path / "out")
    whole = make_archive(tmp_path / "b.tar.gz", {"1.mp4": bytes(range(256)) * 400})
    whole.write_bytes(whole.read_bytes()[:300])
    with pytest.raises(UserError, match=r"b.tar.gz is damaged"):
        unpack_videos([whole], tmp_path / "out")
    assert not (tmp_path / "out" / "videos.json").exists()
