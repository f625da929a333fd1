"""Finding the upscaler for a filter's name, a model file or a model directory."""

from collections.abc import Callable
from pathlib import Path

from data.errors import UserError
from data.file_names import is_file, is_folder
from sr.models.box import BOX_MODELS, find_box_weights
from sr.models.metadata import HALO_PX
from sr.models.model_contents import describe_content, describe_folder
from sr.runtime.filters import INTERPOLATION_FILTERS, PillowUpscaler
from sr.runtime.network_upscalers import NetworkUpscaler, OpenVinoUpscaler, TorchUpscaler, load_onnx
from sr.runtime.upscaler import AUTO, CPU, Upscaler

_Kind = Callable[[Path], NetworkUpscaler]
_BY_SUFFIX: dict[str, _Kind] = {
    ".pth": TorchUpscaler,
    ".safetensors": TorchUpscaler,
    ".onnx": load_onnx,
    ".xml": OpenVinoUpscaler,
}
_BY_FILE: dict[str, _Kind] = {
    "model.json": TorchUpscaler,
    "model.onnx": load_onnx,
    "model.xml": OpenVinoUpscaler,
}
"""The upscaler of a model directory, by the file that it holds; the first one that is there counts."""


def load_upscaler(spec: str | Path, scale: int = 2, tile_px: int = 0, device: str = "") -> Upscaler:
    """Load a model or an interpolation filter.

    Args:
        spec: the name of a model in the box, "bicubic", "lanczos" (both Pillow's), a .pth, .safetensors, .onnx or .xml
            file, or a directory that ExportCheckpoint, ExportOnnx or ExportOpenVINO made. An .onnx file may be of
            another program.
        scale: for filters; a network has its own.
        tile_px: a network processes larger images in tiles of this side, in LR pixels; 0: the whole image at once.
        device: for an .xml file CPU, GPU, NPU or AUTO, as OpenVINO names them; for weights, which run in torch, CPU,
            CUDA or AUTO. An .onnx file runs on the CPU, and so does a filter, whatever is given. Empty: the CPU; for
            weights CUDA, if there is one.

    Raises:
        UserError: the model is not found or not supported, the tile is too small, the device is not there, or the
            file cannot run on it.

    Example:
        >>> upscale = load_upscaler("exports/realtime-x2-fp16-0123456789ab/model.xml")
        >>> hr_image = upscale(Image.open("photo.png").convert("RGB"))
    """
    if str(spec) in INTERPOLATION_FILTERS:
        return PillowUpscaler(str(spec), scale)
    if tile_px and tile_px < 4 * HALO_PX:
        raise UserError(
            f"The tile size must be 0 or at least {4 * HALO_PX} px, got {tile_px}", "Choose a larger tile"
        )
    upscaler = _load_network(find_box_weights(spec) or Path(spec), device)
    upscaler.tile_px = tile_px
    return upscaler


def _load_network(path: Path, device: str) -> NetworkUpscaler:
    kind, file = _BY_SUFFIX.get(path.suffix.lower()), path
    if is_folder(path):
        found = next((name for name in _BY_FILE if (path / name).is_file()), None)
        kind = _BY_FILE[found] if found else None
        file = path / found if found and kind is not TorchUpscaler else path
    if not is_folder(path) and not is_file(path):
        raise UserError(
            f"The model {str(path)!r} does not exist",
            f"Check the path, or give {', '.join(BOX_MODELS)}, bicubic, lanczos or a .pth, .safetensors, .onnx or .xml "
            "file",
        )
    if kind is None:
        if error := describe_folder(path) if is_folder(path) else describe_content(path):
            raise error
        raise UserError(
            f"{str(path)!r} is not a supported model",
            "Give bicubic, lanczos, a .pth, .safetensors, .onnx or .xml file, or a model directory",
        )
    if kind is OpenVinoUpscaler:
        return OpenVinoUpscaler(file, device or CPU)
    if kind is TorchUpscaler:
        return TorchUpscaler(file, device)
    if device not in ("", CPU, AUTO):
        raise UserError(
            f"{path} cannot run on the device {device}: an .onnx file runs on the {CPU} only",
            f"Give {CPU}, or export the weights with ExportOpenVINO",
        )
    return kind(file)
