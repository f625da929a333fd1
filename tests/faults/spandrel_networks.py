"""Checkpoints of other networks by the commands of the command line, each compared with spandrel's own call.

    pytest tests/faults/spandrel_networks.py

For each network there is a small checkpoint with random weights. Of it, in an empty store: ExportOnnx, ExportOpenVINO
in fp16 and int8 (calibrated on a folder), EvaluateModel of weights, ONNX file and IR, UpscaleImages and UpscaleVideo by
`--model net.pth`, and an image in tiles. fp32 may differ from spandrel by one level.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from images import textured
from other_networks import make_weights
from PIL import Image
from torchvision_operators import import_torchvision
from videos import HEIGHT, WIDTH, make_video

from sr.evaluation.metrics import psnr
from sr.runtime.load import load_upscaler

REPOSITORY = Path(__file__).parents[2]
NAMES = ("Compact", "PLKSR")
SUPPORT = REPOSITORY / "tests" / "support"
LEAST_DB = {"fp16": 50.0, "int8": 25.0}
"""Least PSNR against spandrel's image. Random weights amplify what rounding does: they quantize badly."""
INT8 = ("--export-calibration-crops", "8", "--export-held-out-crops", "4", "--export-int8-loss-db", "3")


def run(store: Path, *arguments: str) -> str:
    """Run a command, which must succeed; return what it prints."""
    paths = (SUPPORT / "torchvision_beside_cpu", SUPPORT, REPOSITORY)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    environment.pop("LUIGI_CONFIG_PATH", None)
    command = [sys.executable, "-m", "tasks.cli", *arguments, "--store-root", str(store)]
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{' '.join(arguments)}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def call_spandrel(weights: dict[str, torch.Tensor], lr_image: np.ndarray) -> np.ndarray:
    """Return what spandrel itself makes of an image, rounded to levels."""
    from spandrel import MAIN_REGISTRY

    image = torch.from_numpy(lr_image).permute(2, 0, 1)[None].float() / 255
    hr_image = MAIN_REGISTRY.load(dict(weights)).eval()(image)[0]
    return np.rint(hr_image.permute(1, 2, 0).numpy() * 255).astype(int)


def most_levels(made: np.ndarray, expected: np.ndarray) -> int:
    """Return the largest difference of two images."""
    assert made.shape == expected.shape
    return int(np.abs(made.astype(int) - expected).max())


def near_db(made: np.ndarray, expected: np.ndarray) -> float:
    """Return the PSNR of an image against another."""
    return psnr(expected.clip(0, 255).astype(np.uint8), made)


def find(printed: str, label: str) -> Path:
    """Return the path that a command prints."""
    return Path(re.search(rf"^{re.escape(label)}: (.+)$", printed, re.MULTILINE)[1])


@pytest.fixture(params=NAMES)
def network(request, tmp_path):
    """Give a folder with a checkpoint, images and a video, and the tensors of the checkpoint."""
    import_torchvision()
    pytest.importorskip("spandrel")
    weights = make_weights(request.param)
    torch.save({"params_ema": weights}, tmp_path / "net.pth")
    for folder in ("photos", "in"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        Image.fromarray(textured(number, 192, 256)).save(tmp_path / "photos" / f"{number}.png")
    Image.fromarray(textured(4, 60, 72)).save(tmp_path / "in" / "image.png")
    make_video(tmp_path / "in.mkv", frames=4)
    return tmp_path, weights


def export(model: str, store: Path, folder: Path) -> dict[str, str]:
    """Export to ONNX and IR; return the paths of the files by their kind."""
    made = {"fp32": str(find(run(store, "ExportOnnx", "--model", model), "ONNX"))}
    for precision, more in (("fp16", ()), ("int8", INT8)):
        given = ("--model", model, "--precision", precision)
        if more:
            given += ("--calibration", str(folder / "photos"), *more)
        printed = run(store, "ExportOpenVINO", *given)
        made[precision] = str(find(printed, f"OpenVINO IR ({precision})"))
    return made


def evaluate(model: str, store: Path, folder: Path) -> float:
    """Return the PSNR on the photographs."""
    given = ("--model", model, "--benchmark", str(folder / "photos"), "--channel", "rgb")
    directory = find(run(store, "EvaluateModel", *given), "Evaluation")
    return json.loads((directory / "report.json").read_text())["mean"]["psnr_db"]


def test_every_command_takes_the_checkpoint(network):
    folder, weights = network
    store, model = folder / "store", str(folder / "net.pth")
    lr_image = textured(3, 52, 68)
    expected = call_spandrel(weights, lr_image)
    files = export(model, store, folder)
    assert most_levels(load_upscaler(files["fp32"])(lr_image), expected) <= 1
    for precision, least_db in LEAST_DB.items():
        assert near_db(load_upscaler(files[precision])(lr_image), expected) >= least_db, precision
    psnr_db = evaluate(model, store, folder)
    assert evaluate(files["fp32"], store, folder) == pytest.approx(psnr_db, abs=0.005)
    assert evaluate(files["fp16"], store, folder) == pytest.approx(psnr_db, abs=0.05)

    large = textured(2, 250, 310)
    assert most_levels(load_upscaler(model, tile_px=192)(large), call_spandrel(weights, large)) <= 1, (
        "no seams"
    )

    images = ("--input", str(folder / "in"), "--output-dir", str(folder / "out"))
    run(store, "UpscaleImages", *images, "--model", model)
    with Image.open(folder / "out" / "image.png") as image:
        made = np.asarray(image.convert("RGB"))
    assert near_db(made, call_spandrel(weights, textured(4, 60, 72))) >= LEAST_DB["fp16"]
    video = ("--input", str(folder / "in.mkv"), "--output-file", str(folder / "out.mkv"))
    printed = run(store, "UpscaleVideo", *video, "--model", model)
    scale = load_upscaler(model).scale
    assert f"4 frames of {WIDTH * scale}x{HEIGHT * scale}" in printed and (folder / "out.mkv").is_file()
