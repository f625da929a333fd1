"""The scripts in docs/how-to/deploy.md run an exported file with a runtime, numpy and Pillow, and no other package."""

import subprocess
import sys

import numpy as np
import pytest
from deployment import script
from images import textured
from PIL import Image

from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.runtime.load import load_upscaler

BLOCK_IMPORTS = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocker())
"""
BLOCKED = {
    "data",
    "pipeline",
    "sr",
    "tasks",
    "torch",
    "onnx",
    "nncf",
    "cv2",
    "luigi",
    "deepspeed",
    "safetensors",
}


@pytest.fixture(scope="module")
def files(realtime_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    export_onnx(realtime_dir, folder)
    export_openvino(folder, folder / "ir", "fp32")
    return {"onnxruntime": folder / "model.onnx", "openvino": folder / "ir" / "model.xml"}


@pytest.mark.parametrize(("runtime", "other"), [("onnxruntime", "openvino"), ("openvino", "onnxruntime")])
def test_a_runtime_and_ten_lines_are_enough(files, tmp_path, runtime, other):
    block = script(runtime)
    assert len([line for line in block.splitlines() if line]) <= 10
    lr_image = textured(5, 31, 47)
    Image.fromarray(lr_image).save(tmp_path / "lr.png")
    program = BLOCK_IMPORTS.format(blocked=BLOCKED | {other}) + block
    command = [sys.executable, "-I", "-c", program, str(files[runtime]), "lr.png", "hr.png"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    hr_image = np.asarray(Image.open(tmp_path / "hr.png")).astype(int)
    assert np.abs(hr_image - load_upscaler(files[runtime])(lr_image)).max() <= 1
