"""Run FullPipeline on a few small drawings: what `make demo` does, in miniature."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from images import textured

REPOSITORY = Path(__file__).parents[1]
OPTIONS = {
    "selection-datasets": "Sample_tiny",
    "selection-max-validation": "4",
    "model-preset": "realtime-x2",
    "crops-size-px": "128",
    "crops-crops-per-shard": "20",
    "crops-validation-fraction": "0.2",
    "training-patch-px": "64",
    "training-batch-size": "8",
    "training-max-steps": "12",
    "training-steps-per-epoch": "6",
    "training-warmup-steps": "2",
    "training-precision": "fp32",
    "evaluation-channel": "rgb",
    "export-calibration-crops": "8",
    "export-held-out-crops": "4",
}


def run(module: str, store: Path, benchmark: Path, *arguments: str) -> subprocess.CompletedProcess:
    options = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", module, *arguments, *options]
    command += ["--evaluation-benchmarks", str(benchmark), "--store-root", str(store)]
    environment = {name: value for name, value in os.environ.items() if name != "LUIGI_CONFIG_PATH"}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def only(pattern: str, store: Path) -> Path:
    (found,) = store.glob(pattern)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run FullPipeline once; return the store, the benchmark and what was printed."""
    root = tmp_path_factory.mktemp("pipeline")
    benchmark = root / "benchmark"
    benchmark.mkdir()
    for number in range(2):
        cv2.imwrite(str(benchmark / f"{number}.png"), textured(number, 96, 130))
    result = run("luigi", root / "store", benchmark, "--module", "tasks", "FullPipeline", "--workers", "2")
    assert result.returncode == 0, result.stderr
    return root / "store", benchmark, result


def test_every_stage_wrote_its_record(finished):
    store, _, result = finished
    for pattern in (
        "sources/Sample_tiny-*/index.json", "plans/Sample_tiny-*/plan.json", "crops/Sample_tiny-*/dataset.json",
        "selections/Sample_tiny-*/selection.json", "reviews/Sample_tiny-*/selection.html",
        "runs/realtime-x2-*/training.json",
        "models/realtime-x2-*/model.safetensors", "exports/realtime-x2-onnx-*/model.onnx",
        "exports/realtime-x2-fp32-*/model.xml", "exports/realtime-x2-fp16-*/model.xml",
        "exports/realtime-x2-int8-*/model.xml", "reports/realtime-x2-*/report.html",
    ):  # fmt: skip
        assert only(pattern, store).stat().st_size > 0
    assert len(list(store.glob("evaluations/*/report.json"))) == 5
    assert "report.html" in result.stdout and "selection.html" in result.stdout
    assert not list(store.rglob("*.part"))


def test_the_quality_filters_rejected_poor_crops(finished):
    store, _, _ = finished
    manifest = json.loads(only("crops/*/dataset.json", store).read_text())
    assert set(manifest["rejections"]) >= {"blurred", "flat"}


def test_training_wrote_a_history_and_events(finished):
    store, _, _ = finished
    history = [json.loads(line) for line in only("runs/*/history.jsonl", store).read_text().splitlines()]
    assert len(history) == 2
    assert list(store.glob("runs/*/tensorboard/events*"))


def test_all_formats_and_precisions_agree(finished):
    store, _, _ = finished
    psnr_db = {}
    for path in store.glob("evaluations/*/report.json"):
        report = json.loads(path.read_text())
        psnr_db[path.parent.name.rsplit("-", 2)[0]] = report["mean"]["psnr_db"]
        assert report["images"] == 2 and set(report["baselines"]) == {"bicubic", "lanczos"}
    torch_db = psnr_db.pop("realtime-x2")
    assert set(psnr_db) == {f"realtime-x2-{variant}" for variant in ("onnx", "fp32", "fp16", "int8")}
    for variant, value in psnr_db.items():
        assert abs(value - torch_db) < (0.2 if variant.endswith("int8") else 0.02), variant


def test_a_second_run_does_nothing_and_status_shows_that_all_is_done(finished):
    store, benchmark, _ = finished
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    result = run("luigi", store, benchmark, "--module", "tasks", "FullPipeline")
    assert result.returncode == 0
    assert result.stderr == ""
    assert "report.html" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
    shown = run("tasks.runtime.status", store, benchmark, "FullPipeline").stdout
    assert "to do" not in shown
    assert "TrainModel realtime-x2" in shown and "crops of" in shown
