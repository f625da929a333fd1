"""The evaluator: its figures, its files, what it refuses, and that it repeats itself exactly."""

import csv
import dataclasses
import json
import re
import subprocess
import sys
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from data.benchmark_dataset import BenchmarkDataset
from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.records import SourceEntry
from data.sources import open_source
from sr.evaluation.evaluate import evaluate
from sr.evaluation.metrics import PSNR_CAP_DB
from sr.evaluation.protocols import EvaluationProtocol, build_protocol
from sr.runtime.filters import MatlabUpscaler, PillowUpscaler
from sr.runtime.load import load_upscaler

RGB = EvaluationProtocol(scale=2, channel="rgb", border_px=2, degradation="pillow-bicubic")
Y = dataclasses.replace(RGB, channel="y")
PROVIDED = dataclasses.replace(RGB, degradation="provided")


def _images() -> list[tuple[str, np.ndarray]]:
    return [("cat", skimage.data.chelsea()[:101, :91]), ("coffee", skimage.data.coffee()[100:180, 200:300])]


def _read_tree(directory):
    files = sorted(path for path in directory.rglob("*") if path.is_file() and "run" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_figures_equal_scikit_image_on_rgb(tmp_path):
    report = evaluate(load_upscaler("bicubic"), _images()[:1], RGB, tmp_path)
    hr_image = _images()[0][1][:100, :90]
    small = Image.fromarray(hr_image).resize((45, 50), Image.Resampling.BICUBIC)
    made = np.asarray(small.resize((90, 100), Image.Resampling.BICUBIC))
    first, second = hr_image[2:-2, 2:-2], made[2:-2, 2:-2]
    expected = structural_similarity(
        first,
        second,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2,
    )
    assert report["mean"]["psnr_db"] == pytest.approx(peak_signal_noise_ratio(first, second), abs=1e-4)
    assert report["mean"]["ssim"] == pytest.approx(expected, abs=1e-4)
    assert report["mean"] == report["baselines"]["bicubic"]
    assert (report["per_image"][0]["height"], report["per_image"][0]["width"]) == (100, 90)


def test_report_has_the_fields_that_others_rely_on(tmp_path):
    report = evaluate(load_upscaler("lanczos"), _images(), Y, tmp_path)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["schema"] == 2
    assert report["images"] == len(report["per_image"]) == 2
    assert report["model"] == {"name": "lanczos", "scale": 2, "sha256": None}
    assert report["protocol"]["name"] == "y-x2-border2-pillow-bicubic"
    assert report["mean"] == report["baselines"]["lanczos"] != report["baselines"]["bicubic"]
    means = [np.mean([row["bicubic"][key] for row in report["per_image"]]) for key in ("psnr_db", "ssim")]
    assert list(report["baselines"]["bicubic"].values()) == pytest.approx(means, abs=1e-4)
    rows = list(csv.DictReader((tmp_path / "per_image.csv").open()))
    assert [row["name"] for row in rows] == ["cat", "coffee"]
    assert float(rows[1]["bicubic_ssim"]) == report["per_image"][1]["bicubic"]["ssim"]
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["cat.png", "coffee.png"]
    timing = json.loads((tmp_path / "run" / "timing.json").read_text())
    assert timing["frame"]["hr_image_px"] == [512, 512] and timing["frame"]["median_ms"] > 0
    assert timing["host"]["cores"] >= 1


def test_two_runs_write_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        evaluate(load_upscaler("bicubic"), iter(_images()), RGB, tmp_path / name)
    assert _read_tree(tmp_path / "one") == _read_tree(tmp_path / "two")


def test_luma_and_rgb_are_different_protocols(tmp_path):
    rgb = evaluate(load_upscaler("bicubic"), _images(), RGB, tmp_path / "rgb")
    luma = evaluate(load_upscaler("bicubic"), _images(), Y, tmp_path / "y")
    assert luma["mean"]["psnr_db"] > rgb["mean"]["psnr_db"] + 0.5


def test_gray_images_count_as_three_equal_channels(tmp_path):
    gray = skimage.data.camera()[:96, :96]
    flat = evaluate(load_upscaler("bicubic"), [("gray", gray)], Y, tmp_path / "flat")
    rgb = evaluate(load_upscaler("bicubic"), [("gray", np.dstack([gray] * 3))], Y, tmp_path / "rgb")
    assert flat == rgb


def test_provided_lr_images_are_used_and_named(tmp_path):
    hr_image = skimage.data.chelsea()[:64, :64]
    lr_image = hr_image[::2, ::2]  # no antialiasing: other figures than our own degradations
    report = evaluate(load_upscaler("bicubic"), [("cat", hr_image, lr_image)], RGB, tmp_path / "provided")
    made = evaluate(load_upscaler("bicubic"), [("cat", hr_image)], RGB, tmp_path / "made")
    assert report["protocol"]["name"].endswith("provided")
    assert report["protocol"]["degradation"] == "provided"
    assert report["mean"] != made["mean"]


@pytest.mark.parametrize("name", ["lpips", "psnr"])
def test_lpips_is_in_every_row_if_it_is_measured(tmp_path, name):
    class Distance:
        """Replaces LPIPS and its weights, which have a test of their own."""

        def features(self, image):
            return [image]

        def distance(self, features, image):
            return float(np.abs(features[0].astype(int) - image).mean())

    lpips = Distance() if name == "lpips" else None
    report = evaluate(load_upscaler("lanczos"), _images(), RGB, tmp_path, lpips=lpips)
    rows = [report["mean"], *report["baselines"].values(), *report["per_image"]]
    assert all(("lpips" in row) == (name == "lpips") for row in rows)
    if lpips:
        assert report["mean"]["lpips"] == report["baselines"]["lanczos"]["lpips"] > 0
        assert report["mean"]["lpips"] != report["baselines"]["bicubic"]["lpips"]
        header = (tmp_path / "per_image.csv").read_text().splitlines()[0]
        assert header.endswith("lanczos_psnr_db,lanczos_ssim,lanczos_lpips") and ",ssim,lpips," in header
        small = [("small", np.zeros((34, 60, 3), np.uint8))]
        with pytest.raises(UserError, match="small is 34x60 px, but the protocol needs at least 35x35 px"):
            evaluate(load_upscaler("bicubic"), small, RGB, tmp_path / "small", lpips=lpips)
        with pytest.raises(UserError, match="the protocol classic measures luma alone"):
            evaluate(MatlabUpscaler("bicubic", 2), small, build_protocol("classic", 2), tmp_path, lpips=lpips)


def test_the_classic_protocol_is_for_filters_and_takes_gray_files_as_they_are(tmp_path):
    classic, gray = build_protocol("classic", 2), skimage.data.camera()[150:246, 200:296]
    images = [("gray", gray), ("color", np.dstack([gray] * 3))]
    report = evaluate(MatlabUpscaler("bicubic", 2), images, classic, tmp_path)
    by_name = {row["name"]: row["psnr_db"] for row in report["per_image"]}
    # Levels 0 to 255 taken for luma have more contrast than the 16 to 235 of the same image as RGB.
    assert by_name["color"] - by_name["gray"] == pytest.approx(20 * np.log10(255 / 219), abs=0.1)
    with pytest.raises(UserError, match="bicubic takes 8-bit RGB.* Use the protocol rgb-network"):
        evaluate(PillowUpscaler("bicubic", 2), images, classic, tmp_path / "network")


def test_a_provided_lr_image_is_cropped_with_its_hr_image_or_replaced(tmp_path):
    hr_image = np.ascontiguousarray(skimage.data.chelsea()[:101, :91])
    lr_image = hr_image[:100:2, :90:2]
    cropped = dataclasses.replace(RGB, modcrop=16)
    report = evaluate(load_upscaler("bicubic"), [("cat", hr_image, lr_image)], cropped, tmp_path / "cropped")
    assert (report["per_image"][0]["height"], report["per_image"][0]["width"]) == (96, 80)
    made = dataclasses.replace(RGB, use_provided_lr=False)
    reports = [
        evaluate(load_upscaler("bicubic"), [one], made, tmp_path / str(len(one)))
        for one in (("cat", hr_image), ("cat", hr_image, lr_image))
    ]
    assert reports[0] == reports[1] and reports[0]["protocol"]["degradation"] == "pillow-bicubic"


def _save(folder, image, name, mode=None):
    image = Image.fromarray(image)
    (image.convert(mode) if mode else image).save(folder / name)


def _open_benchmark(folder):
    dataset = resolve_dataset(str(folder))
    source = open_source(dataset)
    return BenchmarkDataset(dataset, source, [one for one in source.scan() if isinstance(one, SourceEntry)])


def test_equal_images_in_different_files_have_equal_figures(tmp_path):
    folder, hr_image = tmp_path / "photos", np.ascontiguousarray(skimage.data.chelsea()[:75, :91])
    folder.mkdir()
    gray = hr_image[..., 1]
    _save(folder, hr_image, "plain.png")
    _save(folder, hr_image, "opaque.png", "RGBA")
    _save(folder, gray, "gray.png")
    _save(folder, np.dstack([gray] * 3), "gray-rgb.png")
    _save(folder, gray.astype(np.uint16) * 257 + 100, "gray-16.png")
    cv2.imwrite(str(folder / "rgb-16.png"), hr_image[..., ::-1].astype(np.uint16) * 257)
    report = evaluate(load_upscaler("bicubic"), _open_benchmark(folder), Y, tmp_path / "out")
    rows = {row["name"]: (row["psnr_db"], row["ssim"]) for row in report["per_image"]}
    assert rows["plain"] == rows["opaque"] == rows["rgb-16"]
    assert rows["gray"] == rows["gray-rgb"] == rows["gray-16"] != rows["plain"]
    assert all((row["height"], row["width"]) == (74, 90) for row in report["per_image"])


def test_a_transparent_image_raises(tmp_path):
    folder, hr_image = (
        tmp_path / "photos",
        np.dstack([skimage.data.chelsea()[:40, :40], np.full((40, 40), 128, np.uint8)]),
    )
    folder.mkdir()
    _save(folder, hr_image, "logo.png")
    with pytest.raises(UserError, match=r"logo\.png.*transparent|transparent.*logo\.png"):
        evaluate(load_upscaler("bicubic"), _open_benchmark(folder), Y, tmp_path / "out")
    assert not (tmp_path / "out" / "report.json").exists()


def test_the_page_has_every_row_and_loads_no_other_file(tmp_path):
    hostile = '<b onclick="x()">&.png'
    images = [*_images(), (hostile, _images()[0][1])]
    evaluate(load_upscaler("lanczos"), images, RGB, tmp_path, parameters=1234)
    page = (tmp_path / "report.html").read_text()
    assert "://" not in page and ' src="data:' in page and "<b onclick" not in page
    assert page.count('<table class="sortable">') == 2 and page.count("<script>") == 1
    assert "1,234" in page and "rgb-x2-border2-pillow-bicubic" in page
    report = json.loads((tmp_path / "report.json").read_text())
    for row in report["per_image"]:
        assert f'data-value="{row["psnr_db"]}"' in page
    for link in re.findall('<a href="([^"]+)"', page):
        assert (tmp_path / unquote(link)).is_file()
    assert len(re.findall('<a href="images/', page)) == 3
    assert report["cost"] == {"parameters": 1234, "gmacs_720p": None}


def test_the_psnr_of_equal_images_is_capped(tmp_path):
    black = np.zeros((32, 32, 3), np.uint8)
    report = evaluate(load_upscaler("bicubic"), [("black", black)], RGB, tmp_path)
    assert report["mean"] == {"psnr_db": PSNR_CAP_DB, "ssim": 1.0}
    assert report["protocol"]["psnr_cap_db"] == PSNR_CAP_DB


def test_progress_counts_images(tmp_path):
    calls = []
    evaluate(
        load_upscaler("bicubic"),
        _images(),
        RGB,
        tmp_path,
        lambda done, total, note="": calls.append((done, total)),
    )
    assert calls == [(1, 2), (2, 2)]


GOOD = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "protocol", "message"),
    [
        ([], RGB, "no images"),
        ([("tiny", np.zeros((14, 40, 3), np.uint8))], RGB, "tiny is 14x40 px.* 15x15 px"),
        ([("a", GOOD), ("a", GOOD)], RGB, "two images named 'a'"),
        ([("a/b", GOOD), ("a_b", GOOD)], RGB, "two images named 'a_b'"),
        ([("a", GOOD, GOOD[:16, :16]), ("b", GOOD)], RGB, "for some of its images only"),
        ([("a", GOOD, GOOD[:16, :17])], RGB, "LR image of a is 16x17 px.* 16x16 px"),
        ([("a", GOOD)], PROVIDED, "a has no LR image"),
        ([("a", GOOD)], dataclasses.replace(RGB, channel="yuv"), "'yuv'"),
        ([("a", GOOD)], dataclasses.replace(RGB, degradation="blur"), "'blur'"),
        ([("a", GOOD)], dataclasses.replace(RGB, scale=3), "bicubic is a model of scale 2"),
    ],
)
def test_what_cannot_be_evaluated_raises_and_leaves_no_report(tmp_path, images, protocol, message):
    with pytest.raises(UserError, match=message):
        evaluate(PillowUpscaler("bicubic", 2), images, protocol, tmp_path)
    assert not (tmp_path / "report.json").exists()


WITHOUT_TORCH = """
import sys
from pathlib import Path
import numpy as np
from sr.evaluation.evaluate import evaluate
from sr.evaluation.protocols import EvaluationProtocol
from sr.runtime.load import load_upscaler

protocol = EvaluationProtocol(scale=2, channel="y", border_px=2, degradation="pillow-bicubic")
image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
evaluate(load_upscaler(sys.argv[1]), [("noise", image)], protocol, Path(sys.argv[2]))
print([name for name in ("torch", "deepspeed", "nncf", "skimage") if name in sys.modules])
"""


@pytest.mark.parametrize("kind", ["bicubic", "onnx", "fp16"])
def test_filters_and_exported_files_are_evaluated_without_torch(kind, realtime_onnx, realtime_irs, tmp_path):
    path = {"bicubic": "bicubic", "onnx": realtime_onnx}.get(kind) or realtime_irs[kind]
    command = [sys.executable, "-c", WITHOUT_TORCH, str(path), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
