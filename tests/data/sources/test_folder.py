import errno
import os
import shutil
import tempfile
from pathlib import Path

import cv2
import pytest
from images import textured

from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources.folder import FolderSource, open_scikit_image_photos
from data.sources.video import VideoSource
from data.video.sampling_settings import FrameSamplingSettings


def write(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path.parent / "new.png"), textured(number, 32, 48))
    (path.parent / "new.png").rename(path)


def scan(root):
    found = list(FolderSource(root).scan())
    return (
        {one.id: one for one in found if isinstance(one, SourceEntry)},
        {one.id: one for one in found if isinstance(one, Rejection)},
    )


def test_the_photographs_of_scikit_image_are_a_source():
    entries = list(open_scikit_image_photos().scan())
    assert len(entries) == 7 and all(isinstance(entry, SourceEntry) for entry in entries)
    assert {(one.height, one.width) for one in entries} >= {(512, 512), (300, 451), (400, 600)}


@pytest.mark.parametrize("store", ["elsewhere/blobs", "photos/.git/annex/objects", "photos/blobs"])
def test_links_to_files_are_followed_wherever_the_files_are(store, tmp_path):
    root = tmp_path / "photos"
    (root / "snapshot").mkdir(parents=True)
    for number in range(3):
        write(tmp_path / store / f"sha256-{number}", number)
        target = os.path.relpath(tmp_path / store / f"sha256-{number}", root / "snapshot")
        (root / "snapshot" / f"{number}.png").symlink_to(target)
    entries, rejected = scan(root)
    assert list(entries) == [f"snapshot/{number}.png" for number in range(3)]
    assert all(one.reason is RejectionReason.NOT_AN_IMAGE for one in rejected.values())
    images = [image for _, image in FolderSource(root).read(entries.values())]
    assert [image.shape for image in images] == [(32, 48, 3)] * 3

    before = FolderSource(root).fingerprint()
    write(tmp_path / store / "sha256-1", 9)
    assert FolderSource(root).fingerprint() != before
    with pytest.raises(UserError, match="snapshot/1.png.* is now another one"):
        list(FolderSource(root).read(entries.values()))


def test_loops_duplicates_and_lost_files_are_noticed(tmp_path):
    root = tmp_path / "photos"
    write(root / "z.png", 1)
    write(tmp_path / "outside", 2)
    for name, target in {
        "a.png": "z.png",
        "b.png": "a.png",
        "c.png": "../outside",
        "d.png": "../outside",
        "e.png": "e.png",
        "f.png": "g.png",
        "g.png": "f.png",
        "lost.png": ".git/annex/objects/lost.png",
        "lost.txt": "nowhere",
        "null.png": "/dev/null",
        "up": "..",
        "up.png": "..",
    }.items():
        (root / name).symlink_to(target)
    entries, rejected = scan(root)
    assert list(entries) == ["c.png", "z.png"]
    assert {id: one.reason for id, one in rejected.items()} == {
        **dict.fromkeys(("a.png", "b.png", "d.png"), RejectionReason.DUPLICATE),
        **dict.fromkeys(("e.png", "f.png", "g.png", "lost.txt"), RejectionReason.LINK),
        **dict.fromkeys(("null.png", "up", "up.png"), RejectionReason.LINK),
        "lost.png": RejectionReason.UNREADABLE,
    }
    assert rejected["a.png"].detail == "a link to the same file as z.png"
    assert rejected["lost.png"].detail.startswith(
        "a link to .git/annex/objects/lost.png, which does not exist"
    )


@pytest.fixture
def ordinary_user():
    """Run as an ordinary user, for whom permissions hold, in a folder that it can reach."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    user = os.geteuid()
    yield root, lambda: os.seteuid(65534) if user == 0 else None
    os.seteuid(user)
    for folder, _, _ in os.walk(root):
        Path(folder).chmod(0o755)
    shutil.rmtree(root)


def test_closed_folders_and_files_are_rejections_that_name_them(ordinary_user):
    root, become_ordinary = ordinary_user
    write(root / "listed" / "below" / "a.png", 3)
    for folder, mode in (("open", 0o755), ("closed", 0o000), ("listed", 0o444), ("searched", 0o111)):
        write(root / folder / "a.png", len(folder))
        (root / folder).chmod(mode)
    write(root / "secret.png", 20)
    (root / "secret.png").chmod(0)
    (root / "link.png").symlink_to("closed/a.png")
    become_ordinary()
    entries, rejected = scan(root)
    assert list(entries) == ["open/a.png"]
    details = {id: one.detail for id, one in rejected.items() if one.reason is RejectionReason.UNREADABLE}
    assert list(details) == ["closed", "link.png", "listed/a.png", "listed/below", "searched", "secret.png"]
    assert all("Permission denied" in detail for detail in details.values())
    assert resolve_dataset(str(root)).kind == "folder"
    source = VideoSource(root, FrameSamplingSettings())
    details = {one.id: one.detail for one in source.scan() if one.reason is RejectionReason.UNREADABLE}
    assert details == dict.fromkeys(("closed", "listed/below", "searched"), "a folder that can't be read")
    assert source.fingerprint() == VideoSource(root, FrameSamplingSettings()).fingerprint()


def test_a_folder_that_is_closed_itself_is_an_error(ordinary_user):
    root, become_ordinary = ordinary_user
    write(root / "photos" / "a.png", 1)
    (root / "catalog").mkdir()
    for folder in ("photos", "catalog"):
        (root / folder).chmod(0)
    become_ordinary()
    closed = r"(The folder )?{}( \(\[store\] catalog\))? can't be read: Permission denied\. Check the path"
    for given in ("photos", "photos/a"):
        with pytest.raises(UserError, match=closed.format(root / given)):
            resolve_dataset(str(root / given))
    with pytest.raises(UserError, match=closed.format(root / "catalog")):
        resolve_dataset("DIV2K", root / "catalog")
    with pytest.raises(UserError, match=f"There is no folder at {root}/photos/a"):
        FolderSource(root / "photos" / "a")


def test_files_and_folders_that_vanish_while_they_are_listed_do_no_harm(tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "gone/c.png", "stays/d.png"):
        write(tmp_path / name, len(name))
    lstat = os.lstat

    def vanish(path, **options):
        if str(path).endswith("b.png"):
            Path(path).unlink(missing_ok=True)
            shutil.rmtree(tmp_path / "gone", ignore_errors=True)
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", vanish)
    entries, rejected = scan(tmp_path)
    assert (list(entries), rejected) == (["a.png", "stays/d.png"], {})


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("call", ["lstat", "open"])
def test_a_failing_disk_or_machine_is_an_error_and_no_property_of_an_image(code, call, tmp_path, monkeypatch):
    write(tmp_path / "a.png", 1)
    true_call = getattr(os, call)

    def fail(path, *arguments, **options):
        if str(path).endswith("a.png"):
            raise OSError(code, os.strerror(code), str(path))
        return true_call(path, *arguments, **options)

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UserError, match=f"a.png can't be read: {os.strerror(code)}"):
        scan(tmp_path)
