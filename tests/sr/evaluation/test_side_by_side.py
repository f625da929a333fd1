"""Side-by-side images show the right place, in true pixels."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sr.evaluation.side_by_side import (
    COLUMNS,
    GAP_PX,
    LABEL_PX,
    PANEL_PX,
    Window,
    compose_sheet,
    find_window,
    make_panels,
)

LABELS = dict(zip(COLUMNS, ("original", "model", "bicubic", "LR"), strict=True))


def _compose(hr_image, model, bicubic, lr_image):
    sheet = compose_sheet(make_panels(hr_image, model, bicubic, lr_image), LABELS)
    return np.asarray(Image.open(io.BytesIO(sheet)))


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


@pytest.mark.parametrize(("height", "width"), [(100, 140), (300, 450), (400, 200), (40, 60)])
def test_windows_are_the_pixels_of_the_images(height, width):
    hr_image = np.ascontiguousarray(skimage.data.coffee()[:height, 100 : 100 + width])
    bicubic = hr_image.copy()
    bicubic[9:30, 4:30] //= 2  # where the two results differ
    lr_image = np.ascontiguousarray(hr_image[::2, ::2])
    panels = make_panels(hr_image, hr_image, bicubic, lr_image)
    window = find_window(hr_image, bicubic)
    repeated = lr_image.repeat(2, 0).repeat(2, 1)
    for name, image in zip(COLUMNS, (hr_image, hr_image, bicubic, repeated), strict=True):
        expected = image[window.top : window.top + window.side, window.left : window.left + window.side]
        assert np.array_equal(panels.windows[name], expected), name


@pytest.mark.parametrize(("height", "width"), [(100, 140), (300, 450), (400, 200)])
def test_thumbnails_show_the_whole_image_and_frame_the_window(height, width):
    gray = np.full((height, width, 3), 90, np.uint8)
    thumbnails = make_panels(gray, gray, gray, gray[::2, ::2]).thumbnails
    assert max(thumbnails["original"].shape[:2]) == min(PANEL_PX, max(height, width))
    assert thumbnails["original"].shape[0] / thumbnails["original"].shape[1] == pytest.approx(
        height / width, rel=0.01
    )
    assert (thumbnails["original"] != 90).any()
    assert all((thumbnails[name] == 90).all() for name in COLUMNS[1:])


@pytest.mark.parametrize("size", [(64, 64), (30, 90), (900, 500)])
def test_sheet_holds_four_images_and_four_windows(size):
    height, width = size
    colors = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (90, 90, 90)]
    hr_image, model, bicubic = (np.full((height, width, 3), color, np.uint8) for color in colors[:3])
    lr_image = np.full((height // 2, width // 2, 3), colors[3], np.uint8)
    sheet = _compose(hr_image, model, bicubic, lr_image)
    column = (sheet.shape[1] - GAP_PX) // 4
    for i, color in enumerate(colors):
        left = GAP_PX + i * column
        assert tuple(sheet[LABEL_PX + 5, left + 15]) == color or i == 0  # the frame may be there
        assert tuple(sheet[sheet.shape[0] - GAP_PX - PANEL_PX + 5, left + 15]) == color


def test_the_sheet_magnifies_true_pixels():
    rng = np.random.default_rng(1)
    hr_image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    sheet = _compose(hr_image, hr_image, hr_image, hr_image[::2, ::2])
    window = sheet[-GAP_PX - PANEL_PX : -GAP_PX, GAP_PX : GAP_PX + PANEL_PX]
    np.testing.assert_array_equal(window[::6, ::6], hr_image)


def test_equal_images_give_equal_bytes():
    hr_image = np.random.default_rng(2).integers(0, 256, (48, 40, 3), np.uint8)
    sheets = {
        compose_sheet(make_panels(hr_image, hr_image, hr_image, hr_image[::2, ::2]), LABELS) for _ in range(2)
    }
    assert len(sheets) == 1
