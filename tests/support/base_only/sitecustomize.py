"""Hide the packages of the extras from this process, as if only the base were installed."""

import sys

HIDDEN = {
    "deepspeed",
    "nncf",
    "nvidia",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "psutil",
    "safetensors",
    "skimage",
    "tensorboard",
    "torch",
}


class Hider:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, Hider())
