"""The side-by-side sheet shows the right place, in true pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from sr.evaluation.side_by_side import GAP_PX, LABEL_PX, PANEL_PX, Window, find_window, side_by_side

LABELS = ["original", "ours", "bicubic", "LR"]


def test_window_is_where_the_images_differ_most():
    first = np.zeros((80, 100, 3), np.uint8)
    second = first.copy()
    second[50:54, 70:74] = 9
    window = find_window(first, second, side=16)
    assert window.top <= 50 and window.top + 16 >= 54
    assert window.left <= 70 and window.left + 16 >= 74


def test_large_differences_do_not_overflow():
    first, second = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    second[:, :20] = 0
    assert find_window(first, second, side=20) == Window(0, 20, 20)


def test_window_of_a_small_image_is_the_image():
    image = np.zeros((10, 30, 3), np.uint8)
    assert find_window(image, image, side=64) == Window(0, 0, 10)


@pytest.mark.parametrize("size", [(64, 64), (30, 90), (900, 500)])
def test_sheet_holds_four_images_and_four_windows(size):
    height, width = size
    colors = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (90, 90, 90)]
    hr_image, ours, bicubic = (np.full((height, width, 3), color, np.uint8) for color in colors[:3])
    lr_image = np.full((height // 2, width // 2, 3), colors[3], np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(side_by_side(hr_image, ours, bicubic, lr_image, LABELS))))
    column = (sheet.shape[1] - GAP_PX) // 4
    for i, color in enumerate(colors):
        left = GAP_PX + i * column
        assert tuple(sheet[LABEL_PX + 5, left + 15]) == color or i == 0  # the frame may run there
        assert tuple(sheet[sheet.shape[0] - GAP_PX - PANEL_PX + 5, left + 15]) == color


def test_windows_show_pixels_as_they_are():
    rng = np.random.default_rng(1)
    hr_image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    sheet = np.asarray(
        Image.open(io.BytesIO(side_by_side(hr_image, hr_image, hr_image, hr_image[::2, ::2], LABELS)))
    )
    window = sheet[-GAP_PX - PANEL_PX : -GAP_PX, GAP_PX : GAP_PX + PANEL_PX]
    np.testing.assert_array_equal(window[::6, ::6], hr_image)


def test_equal_images_give_equal_bytes():
    hr_image = np.random.default_rng(2).integers(0, 256, (48, 40, 3), np.uint8)
    sheets = {side_by_side(hr_image, hr_image, hr_image, hr_image[::2, ::2], LABELS) for _ in range(2)}
    assert len(sheets) == 1
