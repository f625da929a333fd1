"""Run the scripts in docs/how-to/deploy.md in an environment without this project, and the first commands in a new one.

    PYTHONPATH=tests/support python tests/faults/clean_environment.py

Exports a small network. For each runtime, a new virtual environment gets numpy, Pillow and that runtime, in the
versions of constraints.txt, and the script runs there in isolated mode, in an empty folder. Its image may differ from
that of `load_upscaler` by one level.

Another new environment gets this project with the extra `upscale`. There one command upscales an image and one a video,
without a connection; the image of 512x512 takes less than ten seconds the first time, with all that is made on first
use. pip must be able to download packages.
"""

import subprocess
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
import torch
from deployment import script
from images import textured
from PIL import Image
from safetensors.torch import save_file
from videos import make_video

from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.models.checkpoint import export_checkpoint
from sr.models.presets import find_preset
from sr.models.registry import build_network
from sr.runtime.load import load_upscaler

PROJECT = Path(__file__).parents[2]
CONSTRAINTS = PROJECT / "constraints.txt"
LONGEST_S = 10
OFFLINE = """
import socket

def refuse(*given):
    raise OSError("This environment has no connection.")

socket.socket.connect = socket.getaddrinfo = refuse
"""
"""Python runs a module of the name sitecustomize first."""
SIZE = (45, 63)
"""Height and width of the LR image; odd, so that the script must pad."""
UNWANTED = {"torch", "onnx", "nncf", "opencv-python-headless", "safetensors", "super-resolution-factory"}


def export_network(folder: Path) -> dict[str, Path]:
    """Export a network with random weights; return the file for each runtime."""
    torch.manual_seed(0)
    network = build_network(find_preset("realtime-x2"))
    torch.nn.init.normal_(network.core.layers[-1].weight, std=0.01)
    save_file(network.core.state_dict(), folder / "net.safetensors")
    export_checkpoint(folder / "net.safetensors", folder / "model")
    export_onnx(folder / "model", folder / "onnx")
    export_openvino(folder / "onnx", folder / "ir", "fp32", model_dir=folder / "model")
    return {"onnxruntime": folder / "onnx" / "model.onnx", "openvino": folder / "ir" / "model.xml"}


def make_environment(folder: Path, runtime: str) -> Path:
    """Make a virtual environment with numpy, Pillow and one runtime; return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    required = ["numpy", "pillow", runtime]
    subprocess.run([*pip, "install", "--quiet", "--constraint", str(CONSTRAINTS), *required], check=True)
    # OpenVINO depends on a package that reports its use; it also runs without it.
    subprocess.run([*pip, "uninstall", "--yes", "openvino-telemetry"], check=True, capture_output=True)
    listed = subprocess.run([*pip, "list", "--format", "freeze"], check=True, capture_output=True, text=True)
    names = {line.partition("==")[0].lower() for line in listed.stdout.splitlines()}
    if not set(required) <= names or names & UNWANTED:
        raise SystemExit(
            f"Expected {', '.join(required)} and no package of this project, got {sorted(names)}."
        )
    return python


def install_project(root: Path) -> Path:
    """Install this project with the extra `upscale` into a new environment; return its folder of programs."""
    venv.create(root / "of-project", with_pip=True)
    programs = root / "of-project" / "bin"
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check"]
    # A copy, as setuptools builds in the folder that it is given.
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=PROJECT, check=True, stdout=subprocess.PIPE
    ).stdout
    (root / "project").mkdir()
    subprocess.run(["tar", "-x", "-C", str(root / "project")], input=archive, check=True)
    required = f"{root / 'project'}[upscale]"
    subprocess.run([*pip, "install", "--quiet", "--constraint", str(CONSTRAINTS), required], check=True)
    return programs


def run_first_commands(root: Path) -> None:
    """Upscale an image and a video by one command each, without a connection and without torch.

    Raises:
        SystemExit: a result is not what it should be, or takes too long.
    """
    programs, folder = install_project(root), root / "first"
    (folder / "offline").mkdir(parents=True)
    (folder / "offline" / "sitecustomize.py").write_text(OFFLINE)
    Image.fromarray(textured(1, 512, 512)).save(folder / "in.png")
    make_video(folder / "in.mkv", frames=10)
    environment = {"PATH": str(programs), "HOME": str(folder), "PYTHONPATH": str(folder / "offline")}
    commands = {
        "out.png": ["upscale", "in.png", "out.png"],
        "out.mkv": ["UpscaleVideo", "--input", "in.mkv", "--output-file", "out.mkv"],
    }
    for made, arguments in commands.items():
        begun = time.perf_counter()
        subprocess.run([str(programs / "sr-factory"), *arguments], cwd=folder, env=environment, check=True)
        seconds = time.perf_counter() - begun
        print(f"sr-factory {' '.join(arguments)}: {seconds:.1f} s")
        if not (folder / made).is_file():
            raise SystemExit(f"{made} is missing.")
        if made == "out.png" and (seconds > LONGEST_S or Image.open(folder / made).size != (1024, 1024)):
            raise SystemExit(f"Expected an image of 1024x1024 in {LONGEST_S} s.")


def main() -> None:
    """Run each script and each first command; compare each script's result with that of `load_upscaler`."""
    with tempfile.TemporaryDirectory(prefix="clean-environment-") as scratch:
        root = Path(scratch)
        files, lr_image = export_network(root), textured(1, *SIZE)
        for runtime, model in files.items():
            empty = root / f"in-{runtime}"
            empty.mkdir()
            Image.fromarray(lr_image).save(empty / "lr.png")
            (empty / "upscale.py").write_text(script(runtime))
            python = make_environment(root / f"of-{runtime}", runtime)
            command = [str(python), "-I", "upscale.py", str(model), "lr.png", "hr.png"]
            subprocess.run(command, cwd=empty, check=True)
            made = np.asarray(Image.open(empty / "hr.png")).astype(int)
            expected = load_upscaler(model)(lr_image)
            if made.shape != expected.shape or np.abs(made - expected).max() > 1:
                raise SystemExit(f"The script for {runtime} and load_upscaler give different images.")
            print(f"{runtime}: largest difference {np.abs(made - expected).max()} levels")
        run_first_commands(root)


if __name__ == "__main__":
    main()
