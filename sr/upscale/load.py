"""Find the upscaler for `--model` of a program: as `sr.runtime.load`, with the models in the box as IRs."""

import importlib.util
from pathlib import Path

from data.errors import UserError
from sr.models.box import BOX_MODELS, DEFAULT_MODEL
from sr.runtime.load import load_upscaler as load_file
from sr.runtime.upscaler import Upscaler
from sr.upscale.any_image import ImageUpscaler

_TILE_PX = 1024
_NEEDED = ("openvino", "onnxruntime")
"""What the models in the box run in, and are checked with; without these they run in torch."""


def load_upscaler(
    model: str | Path = DEFAULT_MODEL, scale: int = 2, tile_px: int = _TILE_PX, device: str = ""
) -> ImageUpscaler:
    """Load a model that upscales numpy arrays, Pillow images and torch tensors.

    Args:
        model: the name of a model in the box (realtime-x2); "bicubic" or "lanczos" (both
            Pillow's); a .pth, .safetensors, .onnx or .xml file; or a directory that ExportCheckpoint, ExportOnnx or
            ExportOpenVINO made. An .onnx file may be of another program.
        scale: for filters; a network has its own.
        tile_px: a network processes larger images in tiles of this side, in LR pixels; 0: the whole image at once.
        device: for an .xml file and the models in the box CPU, GPU, NPU or AUTO, as OpenVINO names them; for weights,
            which run in torch, CPU, CUDA or AUTO. An .onnx file runs on the CPU, and so does a filter, whatever is
            given. Empty: the CPU; for weights CUDA, if there is one.

    Raises:
        UserError: the model is not found or not supported, the tile is too small, the device is not there, or the
            file cannot run on it.

    Example:
        >>> upscale = load_upscaler("realtime-x2")
        >>> upscale(Image.open("photo.png")).save("large.png")
    """
    return ImageUpscaler(open_upscaler(model, scale, tile_px, device))


def open_upscaler(model: str | Path, scale: int = 2, tile_px: int = 0, device: str = "") -> Upscaler:
    """Load a model as `sr.runtime.load.load_upscaler` does; one in the box as an IR, made on first use and kept.

    Without OpenVINO, the models in the box run in torch.

    Raises:
        UserError: as `sr.runtime.load.load_upscaler`, or a model in the box has nothing to run in.
    """
    return load_file(find_ir(model), scale, tile_px, device)


def find_ir(model: str | Path, for_video: bool = False) -> str | Path:
    """Return the directory of the IR of a model in the box; any other model as it is.

    Args:
        model: see `open_upscaler`.
        for_video: whether to take the IR of luma, where the model has one.

    Raises:
        UserError: a model in the box has nothing to run in.
    """
    found = BOX_MODELS.get(str(model))
    if found is None:
        return model
    if missing := [name for name in _NEEDED if not importlib.util.find_spec(name)]:
        if importlib.util.find_spec("torch"):
            return model
        raise UserError(
            f"{model} needs {' and '.join(missing)}, not installed here",
            "Run: pip install 'super-resolution-factory[upscale]' "
            "(in a clone: pip install -c constraints.txt -e '.[upscale]')",
        )
    from sr.export.kept_ir import keep_ir

    return keep_ir(found, "luma" if for_video and found.works_on_luma else "rgb")
