import os

import cv2
import pytest
from images import textured

from data.errors import UserError
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources.folder import FolderSource, open_scikit_image_photos


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
