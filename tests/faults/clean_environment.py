"""Run the scripts in docs/how-to/deploy.md in an environment without this project.

    PYTHONPATH=tests/support python tests/faults/clean_environment.py

Exports a small network. For each runtime, a new virtual environment gets numpy, Pillow and that runtime, in the
versions of constraints.txt, and the script runs there in isolated mode, in an empty folder. Its image may differ from
that of `load_upscaler` by one level. pip must be able to download packages.
"""

import subprocess
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
from sr.models.presets import find_preset
from sr.models.registry import build_network
from sr.runtime.load import load_upscaler

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
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


def main() -> None:
    """Run each script, and compare its result with that of `load_upscaler`."""
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


if __name__ == "__main__":
    main()
