"""Run the scripts of docs/deployment.md where nothing of this project is installed.

    PYTHONPATH=tests/support python tests/faults/clean_environment.py

A small network is exported. For each runtime a fresh virtual environment gets numpy, Pillow and that runtime, in the
versions of constraints.txt, and nothing else that was asked for; the script runs there in isolated mode, in an empty
folder. Its image may differ from ours by one level. Packages come from where pip takes them.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import torch
from deployment import script
from images import textured
from PIL import Image
from safetensors.torch import save_file

from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.models.checkpoint import export_checkpoint
from sr.models.registry import build
from sr.runtime.upscalers import load_upscaler

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
SIZE = (45, 63)
"""Height and width of the LR image; odd, so that the script has to pad."""
UNWANTED = {"torch", "onnx", "nncf", "opencv-python-headless", "safetensors", "super-resolution-factory"}


def exported(folder: Path) -> dict[str, Path]:
    """Export a network of random weights; the file of each runtime."""
    torch.manual_seed(0)
    network = build("realtime-x2")
    torch.nn.init.normal_(network.core.layers[-1].weight, std=0.01)
    save_file(network.core.state_dict(), folder / "net.safetensors")
    export_checkpoint(folder / "net.safetensors", folder / "model")
    export_onnx(folder / "model", folder / "onnx")
    export_openvino(folder / "onnx", folder / "ir", "fp32", model_dir=folder / "model")
    return {"onnxruntime": folder / "onnx" / "model.onnx", "openvino": folder / "ir" / "model.xml"}


def environment(folder: Path, runtime: str) -> Path:
    """Make a virtual environment with numpy, Pillow and one runtime; its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    wanted = ["numpy", "pillow", runtime]
    subprocess.run([*pip, "install", "--quiet", "--constraint", str(CONSTRAINTS), *wanted], check=True)
    # OpenVINO comes with a package that reports its use; it runs without.
    subprocess.run([*pip, "uninstall", "--yes", "openvino-telemetry"], check=True, capture_output=True)
    listed = subprocess.run([*pip, "list", "--format", "freeze"], check=True, capture_output=True, text=True)
    names = {line.partition("==")[0].lower() for line in listed.stdout.splitlines()}
    if not set(wanted) <= names or names & UNWANTED:
        raise SystemExit(f"Expected {', '.join(wanted)} and none of this project's, got {sorted(names)}.")
    return python


def main() -> None:
    """Run each script, and compare."""
    with tempfile.TemporaryDirectory(prefix="clean-environment-") as scratch:
        root = Path(scratch)
        files, lr_image = exported(root), textured(1, *SIZE)
        for runtime, model in files.items():
            empty = root / f"in-{runtime}"
            empty.mkdir()
            Image.fromarray(lr_image).save(empty / "low.png")
            (empty / "upscale.py").write_text(script(runtime))
            python = environment(root / f"of-{runtime}", runtime)
            command = [str(python), "-I", "upscale.py", str(model), "low.png", "high.png"]
            subprocess.run(command, cwd=empty, check=True)
            made = np.asarray(Image.open(empty / "high.png")).astype(int)
            expected = load_upscaler(model)(lr_image)
            if made.shape != expected.shape or np.abs(made - expected).max() > 1:
                raise SystemExit(f"The script for {runtime} makes another image than load_upscaler does.")
            print(f"{runtime}: the same image, to {np.abs(made - expected).max()} levels")


if __name__ == "__main__":
    sys.exit(main())
