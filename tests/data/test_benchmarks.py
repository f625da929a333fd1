import cv2
import pytest
from pictures import textured

from data.benchmarks import Benchmark
from data.catalogue import resolve
from data.errors import UserError
from data.records import SourceEntry
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


def test_high_and_low_pictures_come_in_pairs(pairs):
    items = list(opened(pairs))
    assert [name for name, *_ in items] == ["0", "1", "2"]
    assert all(high.shape == (64, 64, 3) and low.shape == (32, 32, 3) for _, high, low in items)
    assert len(opened(pairs)) == 3


def test_without_low_pictures_only_high_ones_come(pairs):
    assert [len(item) for item in opened(pairs / "HR")] == [2, 2, 2]


def test_misnamed_low_pictures_are_listed(pairs):
    (pairs / "LR" / "1.png").rename(pairs / "LR" / "1x2.png")
    with pytest.raises(UserError, match=r"missing \['1.png'\].*\['1x2.png'\]"):
        opened(pairs)


def test_a_damaged_picture_fails_the_benchmark(pairs):
    path = pairs / "HR" / "2.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="unreadable"):
        list(opened(pairs))
