"""The task UpscaleImages on the command line: it resumes, lists rejected images, and upscales new ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import REPOSITORY, luigi
from images import textured
from luigi.configuration import get_config
from luigi.task_register import Register
from PIL import Image
from safetensors.torch import load_file

from sr.upscale.images import upscale_image
from tasks import UpscaleImages


@pytest.fixture
def run(tmp_path):
    """A function that runs the task on the folder `in`."""

    def upscale(*options: str) -> subprocess.CompletedProcess:
        folders = ["--input", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]
        return luigi(tmp_path / "store", "UpscaleImages", *folders, *options)

    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.fromarray(textured(number, 40, 150)).save(tmp_path / "in" / f"{number}.png")
    return upscale


def stats(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def record(store: Path) -> dict:
    (path,) = store.glob("images/in-*/images.json")
    return json.loads(path.read_text())


def test_only_a_repaired_image_and_a_deleted_result_are_made_again(run, tmp_path):
    whole = (tmp_path / "in" / "1.png").read_bytes()
    (tmp_path / "in" / "1.png").write_bytes(whole[:200])
    first = run("--model", "bicubic")
    assert first.returncode == 3, first.stderr
    assert "2 images, 1 rejected" in first.stdout and "1.png: unreadable" in first.stdout
    before = stats(tmp_path / "out")
    again = run("--model", "bicubic")
    assert again.returncode == 3 and "1.png: unreadable" in again.stdout
    assert run("--model", "bicubic", "--allow-rejected").returncode == 0
    assert stats(tmp_path / "out") == before
    (tmp_path / "in" / "1.png").write_bytes(whole)
    (tmp_path / "out" / "2.png").unlink()
    repaired = run("--model", "bicubic")
    assert repaired.returncode == 0 and "3 images." in repaired.stdout
    after = stats(tmp_path / "out")
    assert set(after) == {"0.png", "1.png", "2.png"} and after["0.png"] == before["0.png"]
    other = run("--model", "lanczos")
    assert other.returncode != 0 and "not made with these settings" in other.stderr


def test_a_killed_task_resumes(run, tmp_path):
    folders = ["--input", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]
    command = [sys.executable, "-m", "luigi", "--module", "killed_images", "UpscaleImages", *folders]
    command += ["--model", "bicubic", "--store-root", str(tmp_path / "store")]
    path = f"{REPOSITORY}:{Path(__file__).parent}"
    killed = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={"PYTHONPATH": path, "PATH": ""},
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert killed.returncode == -9, killed.stderr
    before = stats(tmp_path / "out")
    assert set(before) == {"0.png", "1.png"}
    assert run("--model", "bicubic").returncode == 0
    after = stats(tmp_path / "out")
    assert len(after) == len(record(tmp_path / "store")["images"]) == 3 and after["0.png"] == before["0.png"]


def test_a_checkpoint_is_exported_to_an_ir_of_the_precision(run, tmp_path, realtime_dir):
    torch.save(load_file(realtime_dir / "model.safetensors"), tmp_path / "net.pth")
    made = run("--model", str(tmp_path / "net.pth"), "--precision", "fp32")
    assert made.returncode == 0, made.stderr
    assert record(tmp_path / "store")["model"].endswith("openvino fp32")
    refused = run(
        "--model", str(tmp_path / "net.pth"), "--precision", "fp32", "--scale", "4", "--quality", "90"
    )
    assert refused.returncode == 30 and "--scale 4 is not the scale of" in refused.stderr
    assert Image.open(tmp_path / "out" / "0.png").size == (300, 80)


@pytest.mark.parametrize(("memory_mb", "tile_px"), [(460, 128), (1500, 504)])
def test_the_tile_size_follows_from_the_memory_budget(memory_mb, tile_px, run, tmp_path, monkeypatch):
    seen = []
    upscale_rows = upscale_image.upscale_rows
    monkeypatch.setattr(
        upscale_image, "upscale_rows", lambda *args: (seen.append(args[2]), upscale_rows(*args))[1]
    )
    config, values = get_config(), {("store", "root"): tmp_path, ("upscaling", "memory_mb"): memory_mb}
    for name, value in values.items():
        config.set(*name, str(value))
    try:
        UpscaleImages(input=str(tmp_path / "in"), output_dir=str(tmp_path / "out"), model="bicubic").run()
    finally:
        for name in values:
            config.remove_option(*name)
        Register.clear_instance_cache()
    assert seen == [tile_px] * 3


def test_an_error_about_the_results_does_not_mention_the_store(run, tmp_path, file_size_limit):
    with file_size_limit(30_000):
        failed = run("--model", "bicubic")
    (line,) = failed.stderr.strip().splitlines()
    assert failed.returncode != 0 and str(tmp_path / "out" / "0.png") in line and "--store-root" not in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--model", "bicubic", "--quality", "0"],
            "--quality is '0', but it must be a whole number from 1 to 100",
        ),
        (["--model", "bicubic", "--scale", "9"], "--scale is '9', but it must be a whole number from 2 to 8"),
        (
            ["--model", "bicubic", "--scale", "-2"],
            "--scale is '-2', but it must be a whole number from 2 to 8",
        ),
        (["--model", "bicubic", "--input", "nowhere"], "Check the path"),
        (["--model", "bicubic", "--input", "l" * 256], "Check the path"),
        (["--model", f"{'l' * 256}.onnx"], "no such file exists"),
        (["--model", "bicubic", "--output-dir", "l" * 256], "would have a name of 256 bytes"),
        (["--model", "bicubic", "--output-dir", "/proc/out"], "/proc cannot be written to"),
    ],
)
def test_a_wrong_option_is_reported_in_one_line(run, tmp_path, options, words):
    failed = run(*options)
    (line,) = failed.stderr.strip().splitlines()
    assert failed.returncode != 0 and words in line
    assert not (tmp_path / "out").exists() and not list((tmp_path / "store").rglob("*"))
