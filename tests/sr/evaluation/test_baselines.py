"""The baselines of a benchmark: measured once, kept unrounded, and the same in every report that uses them."""

import json
import math

import numpy as np
import pytest
import skimage.data
from commands import luigi
from PIL import Image

from data.errors import UserError
from sr.evaluation.baselines import evaluate_baselines, read_baselines
from sr.evaluation.evaluate import evaluate
from sr.evaluation.image_pair import build_baseline
from sr.evaluation.protocols import build_protocol
from sr.runtime.load import load_upscaler

IMAGES = [("cat", skimage.data.chelsea()[:101, :91]), ("coffee", skimage.data.coffee()[100:180, 200:300])]


def _read_tree(directory):
    files = sorted(path for path in directory.rglob("*") if path.is_file() and "run" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("name", "model"), [("pillow", "lanczos"), ("classic", "bicubic"), ("protocol-a", "lanczos")]
)
def test_a_report_is_the_same_with_baselines_measured_before(name, model, tmp_path):
    protocol = build_protocol(name, 2)
    upscaler = build_baseline(model, protocol)
    evaluate(upscaler, IMAGES, protocol, tmp_path / "alone")
    evaluate_baselines(IMAGES, protocol, tmp_path / "baselines")
    evaluate(upscaler, IMAGES, protocol, tmp_path / "after", baselines=read_baselines(tmp_path / "baselines"))
    assert _read_tree(tmp_path / "alone") == _read_tree(tmp_path / "after")


def test_a_network_measures_only_itself_and_a_filter_takes_its_baseline(realtime_onnx, tmp_path):
    protocol = build_protocol("pillow", 2)
    one = {"bicubic": {"psnr_db": 12.5, "ssim": 0.5}, "lanczos": {"psnr_db": 13.5, "ssim": 0.25}}
    given = {name: one for name, _ in IMAGES}
    network = load_upscaler(realtime_onnx)
    alone = evaluate(network, IMAGES, protocol, tmp_path / "alone")
    after = evaluate(network, IMAGES, protocol, tmp_path / "after", baselines=given)
    assert after["mean"] == alone["mean"] and alone["baselines"]["bicubic"]["psnr_db"] > 20
    assert after["baselines"] == one == {name: after["per_image"][1][name] for name in one}
    lanczos = evaluate(load_upscaler("lanczos"), IMAGES, protocol, tmp_path / "filter", baselines=given)
    assert lanczos["mean"] == one["lanczos"]


def test_a_filter_that_is_not_the_protocols_is_measured(tmp_path):
    protocol = build_protocol("protocol-a", 2)
    baselines = evaluate_baselines(IMAGES, protocol, tmp_path / "baselines")
    report = evaluate(load_upscaler("bicubic"), IMAGES, protocol, tmp_path, baselines=baselines)
    assert report["mean"] != report["baselines"]["bicubic"]


def test_baselines_are_kept_unrounded(tmp_path):
    images = [*IMAGES, ("black", np.zeros((32, 32, 3), np.uint8))]
    measured = evaluate_baselines(images, build_protocol("pillow", 2), tmp_path)
    assert read_baselines(tmp_path) == measured
    assert measured["black"]["bicubic"] == {"psnr_db": math.inf, "ssim": 1.0}
    record = json.loads((tmp_path / "baselines.json").read_text())
    assert record["protocol"] == "y-x2-border2-pillow-bicubic"
    assert record["images"]["black"]["lanczos"] == {"psnr_db": None, "ssim": 1.0}


def test_another_version_is_refused(tmp_path):
    (tmp_path / "baselines.json").write_text('{"schema": 7}')
    with pytest.raises(UserError, match="version 7.* reads version 1. Remove"):
        read_baselines(tmp_path)


def test_all_models_share_one_target_and_a_finished_one_is_not_made_again(realtime_onnx, tmp_path):
    folder, store = tmp_path / "photos", tmp_path / "store"
    folder.mkdir()
    for name, image in IMAGES:
        Image.fromarray(image).save(folder / f"{name}.png")
    made = []
    for model in (str(realtime_onnx / "model.onnx"), "bicubic"):
        result = luigi(store, "EvaluateModel", "--model", model, "--benchmark", str(folder))
        assert result.returncode == 0, result.stderr
        (record,) = store.glob("baselines/photos-x2-*/baselines.json")
        made.append((record.stat().st_ino, record.stat().st_mtime_ns))
    assert made[0] == made[1]
    reports = [json.loads(path.read_text()) for path in store.glob("evaluations/*/report.json")]
    assert len(reports) == 2 and reports[0]["baselines"] == reports[1]["baselines"]
    assert any(report["mean"] == report["baselines"]["bicubic"] for report in reports)
