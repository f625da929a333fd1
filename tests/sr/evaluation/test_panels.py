"""Sheets taken apart: what the evaluator put together comes back, pixel for pixel."""

import base64

import numpy as np
import pytest
import skimage.data

from data.errors import UserError
from data.imaging.decode import decode
from sr.evaluation.panels import choose_images, jpeg_uri, png_uri, read, take_apart
from sr.evaluation.side_by_side import PANEL_PX, find_window, side_by_side


def _sheet(hr_image):
    ours, bicubic = hr_image.copy(), hr_image.copy()
    bicubic[9:30, 4:30] //= 2  # where the two differ
    lr_image = np.ascontiguousarray(hr_image[::2, ::2])
    sheet = decode(side_by_side(hr_image, ours, bicubic, lr_image, ["a", "b", "c", "d"]))
    return sheet, {
        "original": hr_image,
        "ours": ours,
        "bicubic": bicubic,
        "LR": lr_image.repeat(2, 0).repeat(2, 1),
    }


@pytest.mark.parametrize(("height", "width"), [(100, 140), (300, 450), (400, 200), (40, 60)])
def test_windows_are_the_images_own_pixels(height, width):
    hr_image = np.ascontiguousarray(skimage.data.coffee()[:height, 100 : 100 + width])
    hr_image = hr_image[: height // 2 * 2, : width // 2 * 2]
    sheet, images = _sheet(hr_image)
    parts = take_apart(sheet, *hr_image.shape[:2], "sheet.png")
    window = find_window(images["ours"], images["bicubic"])
    for name, image in images.items():
        wanted = image[window.top : window.top + window.side, window.left : window.left + window.side]
        assert np.array_equal(parts.windows[name], wanted), name
    assert max(parts.whole.shape[:2]) == min(PANEL_PX, max(height, width))
    assert parts.whole.shape[0] / parts.whole.shape[1] == pytest.approx(height / width, rel=0.01)


def test_a_sheet_of_another_size_is_refused():
    sheet, _ = _sheet(np.ascontiguousarray(skimage.data.coffee()[:100, :100]))
    with pytest.raises(UserError, match=r"side-by-side sheet .* in x\.png"):
        take_apart(sheet, 120, 100, "x.png")


def test_uris_hold_the_images(tmp_path):
    image = np.ascontiguousarray(skimage.data.chelsea()[:40, :50])
    head, content = png_uri(image).split(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(decode(base64.b64decode(content)), image)
    head, content = jpeg_uri(image).split(",")
    assert head == "data:image/jpeg;base64"
    (tmp_path / "x.jpg").write_bytes(base64.b64decode(content))
    assert np.abs(read(tmp_path / "x.jpg").astype(int) - image).mean() < 4
    assert read(tmp_path / "none.jpg") is None


def test_of_a_large_benchmark_the_worst_images_are_shown_too():
    rng = np.random.default_rng(0)
    gains = rng.permutation(100)
    rows = [
        {"name": str(gain), "psnr_db": 30.0 + gain, "bicubic": {"psnr_db": 30.0}} for gain in gains.tolist()
    ]
    assert [row["name"] for row in choose_images(rows)] == [
        "99",
        "98",
        "97",
        "51",
        "50",
        "49",
        "2",
        "1",
        "0",
    ]
