"""The files of the side-by-side view: what the pages embed are the images' own pixels."""

import base64

import numpy as np
import skimage.data

from data.imaging.decode import decode
from sr.evaluation.panels import choose_images, embed_panels, write_panels
from sr.evaluation.side_by_side import COLUMNS, make_panels

ROW = {"name": "a/b", "psnr_db": 31.5, "bicubic": {"psnr_db": 30.0}}
LABELS = dict.fromkeys(COLUMNS, "")


def _decode_uri(uri: str) -> np.ndarray:
    return decode(base64.b64decode(uri.split(",")[1]))


def test_pages_embed_the_panels_of_an_image(tmp_path):
    hr_image = np.ascontiguousarray(skimage.data.coffee()[:300, 100:550])
    panels = make_panels(hr_image, hr_image, hr_image // 2, hr_image[::2, ::2])
    write_panels("a/b", panels, LABELS, tmp_path)
    (item,) = embed_panels([ROW], tmp_path)
    assert (item["row"], item["gain_db"]) == (ROW, 1.5)
    for name in COLUMNS:
        assert np.array_equal(_decode_uri(item["windows"][name]), panels.windows[name]), name
    assert np.abs(_decode_uri(item["thumbnail"]).astype(int) - panels.thumbnails["original"]).mean() < 4


def test_images_without_panels_are_left_out(tmp_path):
    assert embed_panels([ROW], tmp_path) == []


def test_the_sheet_is_named_after_the_image(tmp_path):
    image = np.zeros((40, 40, 3), np.uint8)
    write_panels("a/b", make_panels(image, image, image, image[::2, ::2]), LABELS, tmp_path)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["a_b.png"]


def test_of_a_large_benchmark_the_worst_images_are_shown_too():
    gains = np.random.default_rng(0).permutation(100).tolist()
    rows = [{"name": str(gain), "psnr_db": 30.0 + gain, "bicubic": {"psnr_db": 30.0}} for gain in gains]
    names = [row["name"] for row in choose_images(rows)]
    assert names == ["99", "98", "97", "51", "50", "49", "2", "1", "0"]
