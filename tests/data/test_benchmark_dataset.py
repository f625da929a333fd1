import cv2
import pytest
from images import textured

from data.benchmark_dataset import Benchmark, lr_images_fingerprint
from data.catalog.catalog import resolve
from data.errors import UserError
from data.records import Reason, Rejection, SourceEntry
from data.sources import open_source


@pytest.fixture
def pairs(tmp_path):
    root = tmp_path / "set"
    for name, size in (("HR", 64), ("LR", 32)):
        (root / name).mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(root / name / f"{number}.png"), textured(number, size, size))
    return root


def opened(root):
    dataset = resolve(str(root))
    source = open_source(dataset)
    return Benchmark(dataset, source, [one for one in source.scan() if isinstance(one, SourceEntry)])


def test_high_and_low_images_come_in_pairs(pairs):
    items = list(opened(pairs))
    assert [name for name, *_ in items] == ["0", "1", "2"]
    assert all(high.shape == (64, 64, 3) and low.shape == (32, 32, 3) for _, high, low in items)
    assert len(opened(pairs)) == 3


def test_without_low_images_only_high_ones_come(pairs):
    assert [len(item) for item in opened(pairs / "HR")] == [2, 2, 2]


def test_misnamed_low_images_are_listed(pairs):
    (pairs / "LR" / "1.png").rename(pairs / "LR" / "1x2.png")
    with pytest.raises(UserError, match=r"missing 1.png, without an HR image 1x2.png in .*LR; mend"):
        opened(pairs)


def test_a_low_image_too_few_is_named(pairs):
    (pairs / "LR" / "0.png").unlink()
    with pytest.raises(UserError, match=r"missing 0.png, without an HR image none"):
        opened(pairs)


def test_all_misnamed_images_are_listed_up_to_a_limit(pairs):
    for number in range(30):
        cv2.imwrite(str(pairs / "HR" / f"more{number:02d}.png"), textured(number, 24, 24))
    with pytest.raises(UserError, match=r"more00.png, .*more19.png and 10 more"):
        opened(pairs)


def test_a_image_too_few_is_refused_with_the_list(pairs):
    source = open_source(resolve(str(pairs)))
    entries = list(source.scan())
    assert len(Benchmark(resolve(str(pairs)), source, entries, images=3)) == 3
    with pytest.raises(UserError, match=r"Expected 3 images, got 2 \(0.png, 1.png\) in set; complete it"):
        Benchmark(resolve(str(pairs)), source, entries[:2], images=3)


def test_what_the_index_threw_out_fails_a_benchmark_but_for_other_files(pairs):
    source = open_source(resolve(str(pairs)))
    entries = list(source.scan())
    notes = Rejection("notes.txt", "index", Reason.NOT_AN_IMAGE, "none of .png")
    small = Rejection("x.png", "index", Reason.TOO_SMALL, "9x9")
    assert len(Benchmark(resolve(str(pairs)), source, entries, [notes])) == 3
    with pytest.raises(UserError, match=r"got x.png \(too_small: 9x9\) in set"):
        Benchmark(resolve(str(pairs)), source, entries, [notes, small])


def test_a_gray_file_has_one_channel_and_gray_pixels_of_color_have_three(pairs):
    root = pairs / "HR"
    gray = textured(5, 64, 64)[..., 0]
    cv2.imwrite(str(root / "0.png"), gray)
    cv2.imwrite(str(root / "1.png"), cv2.merge([gray] * 3))
    shapes = [high.shape for _, high in opened(root)]
    assert shapes == [(64, 64), (64, 64, 3), (64, 64, 3)]


def test_changed_low_images_have_another_fingerprint(pairs):
    before = lr_images_fingerprint(resolve(str(pairs)))
    cv2.imwrite(str(pairs / "LR" / "0.png"), textured(77, 32, 32))
    assert lr_images_fingerprint(resolve(str(pairs))) != before
    assert lr_images_fingerprint(resolve(str(pairs / "HR"))) is None


def test_a_damaged_image_fails_the_benchmark(pairs):
    path = pairs / "HR" / "2.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="unreadable"):
        list(opened(pairs))
