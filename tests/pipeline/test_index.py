import zipfile

import pytest
from images import textured

from data.errors import UserError
from data.imaging.encode import encode_png
from data.sources.archive import ArchiveSource
from data.sources.folder import FolderSource
from pipeline.index import REJECTIONS, Entries, index_source, read_entries, read_index_record


def run(folder, out, min_side_px=100, max_bad_fraction=0.0, **options):
    source = FolderSource(folder)
    return index_source(
        source, "photos", out, min_side_px=min_side_px, max_bad_fraction=max_bad_fraction, **options
    )


def test_every_file_is_a_row_or_a_counted_rejection(photo_folder, tmp_path):
    run(photo_folder, tmp_path / "index")
    record = read_index_record(tmp_path / "index")
    assert record["totals"] == {"images": 10, "sources": 7, "rejected": 4}
    assert record["rejections"] == {"duplicate": 2, "not_an_image": 1, "too_small": 1}
    assert len(read_entries(tmp_path / "index")) == 7


def test_the_bytes_do_not_depend_on_the_number_of_threads(photo_folder, tmp_path):
    for threads in (1, 4):
        run(photo_folder, tmp_path / str(threads), threads=threads)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "4" / path.name).read_bytes()


def test_a_source_without_a_usable_image_is_an_error_that_leaves_nothing(photo_folder, tmp_path):
    with pytest.raises(UserError, match="no image of at least 2000x2000 pixels; the largest is 800x600"):
        run(photo_folder, tmp_path / "index", min_side_px=2000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no files at all"):
        run(tmp_path / "empty", tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_too_many_damaged_images_fail_with_the_reasons(photo_folder, tmp_path):
    whole = (photo_folder / "p0.png").read_bytes()
    (photo_folder / "bad.png").write_bytes(whole[:30])
    run(photo_folder, tmp_path / "within budget", max_bad_fraction=0.2)
    reasons = "2 duplicate, 1 not_an_image, 1 too_small, 1 unreadable; damaged: bad.png: unreadable"
    with pytest.raises(
        UserError, match=rf"1 of 11 images of dataset photos are damaged, .*: {reasons}.*index/{REJECTIONS}"
    ):
        run(photo_folder, tmp_path / "index")
    # The list of rejections, which the error names, exists; the index does not.
    assert [path.name for path in (tmp_path / "index").iterdir()] == [REJECTIONS]
    assert "bad.png" in (tmp_path / "index" / REJECTIONS).read_text()


def test_files_that_only_have_an_images_name_count_as_damaged(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        (photos / f"good{number}.png").write_bytes(encode_png(textured(number, 120, 120)))
    for number in range(100):
        (photos / f"void{number}.png").touch()
    (photos / "void7.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    (photos / "notes.txt").touch()
    with pytest.raises(UserError, match=r"100 of 104 images of dataset photos are damaged.*empty: 0 bytes"):
        run(photos, tmp_path / "index", max_bad_fraction=0.01)
    assert "git lfs pull" in (tmp_path / "index" / REJECTIONS).read_text()


def test_archives_that_are_left_out_are_named(photo_folder, tmp_path):
    assert run(photo_folder, tmp_path / "none") == ""
    for name in ("a.zip", "b.tar.xz"):
        (photo_folder / name).touch()
    words = "Left out of photos: a.zip, an archive, which is not read as a part of a folder: unpack it"
    assert run(photo_folder, tmp_path / "folder").startswith(words)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("train/1.tar", b"")
        archive.writestr("train/2.rar", b"")
        archive.writestr("0.png", encode_png(textured(1, 120, 120)))
    source = ArchiveSource([tmp_path / "photos.zip"])
    left_out = index_source(source, "photos", tmp_path / "zip", min_side_px=16, max_bad_fraction=1)
    assert left_out.startswith("Left out of photos: train/1.tar, an archive inside an archive")
    assert left_out.endswith("(2 archives in all)")


def test_a_folder_of_nothing_but_archives_says_so(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "train.zip").touch()
    with pytest.raises(
        UserError, match=r"no images \(found: 1 not_an_image\)\. Left out of photos: train.zip"
    ):
        run(tmp_path / "photos", tmp_path / "index")


def test_small_and_repeated_images_do_not_count_as_damaged(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    small = encode_png(textured(0, 40, 40))
    for number in range(30):
        (photos / f"small{number}.png").write_bytes(small)
    (photos / "good.png").write_bytes(encode_png(textured(1, 120, 120)))
    (photos / "bad.png").write_bytes(small[:30])
    run(photos, tmp_path / "index", max_bad_fraction=0.04)
    assert read_index_record(tmp_path / "index")["totals"] == {"images": 32, "sources": 1, "rejected": 31}


def test_entries_are_read_on_demand(photo_folder, tmp_path):
    run(photo_folder, tmp_path / "index")
    entries = Entries(tmp_path / "index")
    assert list(entries) == [entries[place] for place in range(len(entries))]
    assert len({entry.id for entry in entries}) == 7
    assert entries[1:3] == [entries[1], entries[2]]


def test_progress_counts_every_file(photo_folder, tmp_path):
    calls = []
    run(photo_folder, tmp_path / "index", progress=lambda done, total, note="": calls.append((done, total)))
    assert calls == [*((number, 11) for number in range(1, 12)), (11, 11)]


def test_the_catalog_decides_what_is_lossy_and_what_forms_a_group(photo_folder, tmp_path):
    def groups(**options):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        run(photo_folder, out, **options)
        return {entry.id: (entry.group, entry.lossy) for entry in read_entries(out)}

    assert groups(group="image")["trip/p1.png"] == ("trip/p1.png", False)
    folders = groups(group="folder", lossy="yes")
    assert folders["trip/p1.png"] == ("trip", True) and folders["p0.png"] == ("p0.png", True)
    found = groups(group=r"(p\d)", lossy="no")
    assert found["trip/p1.png"] == ("p1", False) and found["camera.jpg"] == ("camera.jpg", False)


def test_a_group_that_no_image_has_is_said(photo_folder, tmp_path):
    note = "The group of dataset photos is '(shot)', but no image's name has such a group: each is alone"
    assert run(photo_folder, tmp_path / "none", group="(shot)") == note
    assert read_index_record(tmp_path / "none")["notes"] == [note]
    assert run(photo_folder, tmp_path / "some", group="folder") == ""
    assert "notes" not in read_index_record(tmp_path / "some")


def test_rows_have_the_stored_bit_depth(tmp_path):
    import cv2
    import numpy as np

    (tmp_path / "deep").mkdir()
    image = textured(1, 128, 128)
    cv2.imwrite(str(tmp_path / "deep" / "a.png"), image.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deep" / "b.tiff"), image.astype(np.uint16) * 255)
    cv2.imwrite(str(tmp_path / "deep" / "c.jpg"), image)
    cv2.imwrite(str(tmp_path / "deep" / "d.bmp"), image)
    run(tmp_path / "deep", tmp_path / "index")
    assert [entry.bit_depth for entry in read_entries(tmp_path / "index")] == [16, 16, 8, 8]
