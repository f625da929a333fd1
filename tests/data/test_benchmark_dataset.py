import cv2
import pytest
from images import textured

from data.benchmark_dataset import BenchmarkDataset, fingerprint_lr_images
from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources import open_source


@pytest.fixture
def pairs(tmp_path):
    root = tmp_path / "set"
    for name, size in (("HR", 64), ("LR", 32)):
        (root / name).mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(root / name / f"{number}.png"), textured(number, size, size))
    return root


def open_benchmark(root):
    dataset = resolve_dataset(str(root))
    source = open_source(dataset)
    return BenchmarkDataset(dataset, source, [one for one in source.scan() if isinstance(one, SourceEntry)])


def test_hr_and_lr_images_come_in_pairs(pairs):
    items = list(open_benchmark(pairs))
    assert [name for name, *_ in items] == ["0", "1", "2"]
    assert all(
        hr_image.shape == (64, 64, 3) and lr_image.shape == (32, 32, 3) for _, hr_image, lr_image in items
    )
    assert len(open_benchmark(pairs)) == 3


def test_without_lr_images_only_hr_images_come(pairs):
    assert [len(item) for item in open_benchmark(pairs / "HR")] == [2, 2, 2]


def test_misnamed_lr_images_are_listed(pairs):
    (pairs / "LR" / "1.png").rename(pairs / "LR" / "1x2.png")
    message = r"images in .*LR do not match .*missing 1.png, without an HR image 1x2.png\. Give each"
    with pytest.raises(UserError, match=message):
        open_benchmark(pairs)


def test_a_missing_lr_image_is_named(pairs):
    (pairs / "LR" / "0.png").unlink()
    with pytest.raises(UserError, match=r"missing 0.png, without an HR image none"):
        open_benchmark(pairs)


def test_all_misnamed_images_are_listed_up_to_a_limit(pairs):
    for number in range(30):
        cv2.imwrite(str(pairs / "HR" / f"more{number:02d}.png"), textured(number, 24, 24))
    with pytest.raises(UserError, match=r"more00.png, .*more19.png and 10 more"):
        open_benchmark(pairs)


def test_a_wrong_number_of_images_is_refused_with_the_list(pairs):
    source = open_source(resolve_dataset(str(pairs)))
    entries = list(source.scan())
    assert len(BenchmarkDataset(resolve_dataset(str(pairs)), source, entries, images=3)) == 3
    with pytest.raises(UserError, match=r"set has 2 images, but .* has 3: 0.png, 1.png\. Complete it"):
        BenchmarkDataset(resolve_dataset(str(pairs)), source, entries[:2], images=3)


def test_rejected_images_are_refused_and_other_files_ignored(pairs):
    source = open_source(resolve_dataset(str(pairs)))
    entries = list(source.scan())
    notes = Rejection("notes.txt", "index", RejectionReason.NOT_AN_IMAGE, "none of .png")
    small = Rejection("x.png", "index", RejectionReason.TOO_SMALL, "9x9")
    assert len(BenchmarkDataset(resolve_dataset(str(pairs)), source, entries, [notes])) == 3
    with pytest.raises(UserError, match=r"set has unusable images: x.png \(too_small: 9x9\)"):
        BenchmarkDataset(resolve_dataset(str(pairs)), source, entries, [notes, small])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("void.png", b"", r"void.png \(unreadable: empty: 0 bytes\)"),
        ("page.png", b"<!DOCTYPE html><title>404</title>", r"page.png \(unreadable: an HTML page"),
        ("bird.gif", b"GIF89a", r"bird.gif \(not_an_image: none of .png"),
        ("sub/baby.PPM", b"P6 9 9 255 ", r"sub/baby.PPM \(not_an_image: none of .png"),
    ],
)
def test_an_incomplete_folder_is_refused(name, content, words, pairs):
    path = pairs / "HR" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    dataset = resolve_dataset(str(pairs / "HR"))
    source = open_source(dataset)
    found = list(source.scan())
    entries = [one for one in found if isinstance(one, SourceEntry)]
    rejections = [one for one in found if isinstance(one, Rejection)]
    with pytest.raises(UserError, match=rf"HR has unusable images: {words}.*\. Repair, convert or remove"):
        BenchmarkDataset(dataset, source, entries, rejections)
    if path.suffix != ".png":
        assert len(BenchmarkDataset(dataset, source, entries, rejections, images=3)) == 3


def test_an_lr_image_that_is_no_image_is_named(pairs):
    (pairs / "LR" / "1.png").write_bytes(bytes(100))
    with pytest.raises(UserError, match=r"LR/1.png can't be read: unreadable: filled with zeros: 100 bytes"):
        list(open_benchmark(pairs))


def test_a_gray_file_has_one_channel_and_a_gray_looking_rgb_file_has_three(pairs):
    root = pairs / "HR"
    gray = textured(5, 64, 64)[..., 0]
    cv2.imwrite(str(root / "0.png"), gray)
    cv2.imwrite(str(root / "1.png"), cv2.merge([gray] * 3))
    shapes = [hr_image.shape for _, hr_image in open_benchmark(root)]
    assert shapes == [(64, 64), (64, 64, 3), (64, 64, 3)]


def test_changed_lr_images_have_another_fingerprint(pairs):
    before = fingerprint_lr_images(resolve_dataset(str(pairs)))
    cv2.imwrite(str(pairs / "LR" / "0.png"), textured(77, 32, 32))
    assert fingerprint_lr_images(resolve_dataset(str(pairs))) != before
    assert fingerprint_lr_images(resolve_dataset(str(pairs / "HR"))) is None


def test_a_damaged_image_is_an_error(pairs):
    path = pairs / "HR" / "2.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="unreadable"):
        list(open_benchmark(pairs))
