"""LR images beside HR images are never taken for HR images: known layouts are benchmarks, others are refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from data.benchmark_dataset import BenchmarkDataset
from data.catalog import hr_lr_sets
from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.sources import open_source

HR_SIZE = (51, 64)


def write(root, folder, scale=1, ending="", numbers=range(3), size=HR_SIZE):
    (root / folder).mkdir(parents=True, exist_ok=True)
    height, width = (side // scale for side in size)
    for number in numbers:
        image = np.full((height, width, 3), number, np.uint8)
        assert cv2.imwrite(str(root / folder / f"{number:04d}{ending}.png"), image)


def resolve(root):
    return resolve_dataset(str(root))


@pytest.mark.parametrize(
    ("hr", "lr"),
    [("HR", "LR"), ("hr", "lr"), ("Hr", "LR"), ("GTmod12", "LRbicx2"), ("my_HR", "my_LR_bicubic/X2")],
)
def test_the_usual_folders_are_a_benchmark_in_any_case(hr, lr, tmp_path):
    write(tmp_path, hr)
    write(tmp_path, lr, 2)
    dataset = resolve(tmp_path)
    assert (dataset.path, dataset.lr_path) == (str(tmp_path / hr), str(tmp_path / lr))
    source = open_source(dataset)
    pairs = list(BenchmarkDataset(dataset, source, list(source.scan())))
    assert [lr_image.shape[:2] for _, _, lr_image in pairs] == [(25, 32)] * 3


LAYOUTS = {
    "several scales": ["GTmod12", "LRbicx2:2", "LRbicx3:3", "LRbicx4:4"],
    "DIV2K": ["DIV2K_train_HR", "DIV2K_train_LR_bicubic/X2:2:x2", "DIV2K_train_LR_bicubic/X4:4:x4"],
    "DIV2K, one scale": ["DIV2K_valid_HR", "DIV2K_valid_LR_bicubic/X2:2:x2"],
    "only LR": ["DIV2K_train_LR_bicubic/X2:2:x2", "DIV2K_train_LR_bicubic/X4:4:x4"],
    "REDS": ["sharp/000", "sharp/001", "sharp_bicubic/X4/000:4", "sharp_bicubic/X4/001:4"],
    "own names": ["full", "half:2"],
    "names with a scale": ["full", "small:2:_x2"],
    "beside the images": [".", "small:2"],
    "deep": ["sets/one/original", "sets/one/reduced:4"],
    "in one folder": ["all", "all:2:x2"],
    "in one folder, by names": ["all::_HR", "all:2:_LR"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_layouts_are_refused_by_name(layout, tmp_path):
    for text in LAYOUTS[layout]:
        folder, scale, ending = ([*text.split(":"), "", ""])[:3]
        write(tmp_path, folder, int(scale or 1), ending)
    with pytest.raises(UserError, match=r"HR and LR images beside each other: .* and .*\. (Give|Move)"):
        resolve(tmp_path)


def test_the_refusal_names_the_folder_to_give(tmp_path):
    write(tmp_path, "full")
    write(tmp_path, "half", 2)
    with pytest.raises(UserError) as caught:
        resolve(tmp_path)
    full, half = tmp_path / "full", tmp_path / "half"
    assert f"{full} and {half} have the same names, and the latter are 2 times smaller" in str(caught.value)
    assert f"Give the path of the HR images alone, {full}" in str(caught.value)
    assert resolve(full).path == str(full)


def test_a_benchmark_deeper_down_is_named(tmp_path):
    write(tmp_path, "x2/HR")
    write(tmp_path, "x2/LR", 2)
    with pytest.raises(UserError, match=rf"Give the path of this folder, {tmp_path}/x2"):
        resolve(tmp_path)


ORDINARY = {
    "clips of one size": ["000", "001", "002"],
    "other names": ["one", "two:2:-b"],
    "no whole ratio": ["one", "two:1:::34x44"],
    "a cover in each album": ["a:1::1", "b:2::1"],
    "a scale in all names": ["one:1:x2", "two:1:x2"],
}


@pytest.mark.parametrize("layout", ORDINARY)
def test_ordinary_folders_are_datasets(layout, tmp_path):
    for text in ORDINARY[layout]:
        folder, scale, ending, count, size = (text.split(":") + [""] * 4)[:5]
        height, _, width = size.partition("x")
        sides = (int(height), int(width)) if size else HR_SIZE
        write(tmp_path, folder, int(scale or 1), ending, range(int(count or 3)), sides)
    assert resolve(tmp_path).path == str(tmp_path)


def test_a_huge_folder_costs_few_headers(tmp_path, monkeypatch):
    reads = []
    read = hr_lr_sets._read_size
    monkeypatch.setattr(hr_lr_sets, "_read_size", lambda path: reads.append(path) or read(path))
    for scene in range(100):
        for side in ("left", "right"):
            folder = tmp_path / f"{scene:03d}" / side
            folder.mkdir(parents=True)
            for number in range(6):
                Path(folder, f"{number}.png").write_bytes(b"")
    resolve(tmp_path)
    assert 0 < len(reads) <= 64 * 2 * 4
