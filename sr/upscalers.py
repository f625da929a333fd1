"""Everything that enlarges a picture, behind one protocol: Pillow's filters, a torch network, an ONNX file,
an IR.

One evaluator scores all of them. Each pads its input to what its network needs and cuts the result
afterwards; none knows of files other than its own model, and none keeps anything of a picture.
"""

import abc
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from data.digests import sha256_bytes, sha256_file
from data.errors import UserError
from sr.degrade import pillow_resize
from sr.metadata import GROUP, ModelMetadata, from_strings

FORMULAS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
"""Upscalers without weights, by name."""


class Upscaler(Protocol):
    """Enlarges one picture. Not thread-safe; the same picture gives the same result."""

    name: str
    """For reports: a filter's name, or the preset and the form (realtime-x2 torch)."""
    scale: int
    """How many times taller and wider the result is; 1 or more."""
    sha256: str | None
    """Of the model's bytes; None for a formula."""

    def __call__(self, low: np.ndarray) -> np.ndarray:
        """Enlarge.

        Args:
            low: uint8 HWC RGB, at least 1x1.

        Returns:
            uint8 HWC RGB, height and width times `scale`; rounded and clamped.
        """


class PillowUpscaler:
    """A classic filter, as Pillow computes it: what a network has to beat."""

    sha256 = None

    def __init__(self, name: str, scale: int) -> None:
        self.name, self.scale = name, scale

    def __call__(self, low: np.ndarray) -> np.ndarray:
        """Enlarge, as every Upscaler does."""
        height, width = low.shape[:2]
        return pillow_resize(low, height * self.scale, width * self.scale, FORMULAS[self.name])


class NetworkUpscaler(abc.ABC):
    """Base of the upscalers that run a network: checks, pads by repeating the edge, runs, cuts."""

    name: str
    scale: int
    sha256: str | None
    size_multiple: int

    def __call__(self, low: np.ndarray) -> np.ndarray:
        """Enlarge, as every Upscaler does.

        Raises:
            ValueError: the picture is not uint8 HWC with three channels.
        """
        if low.dtype != np.uint8 or low.ndim != 3 or low.shape[2] != 3 or low.size == 0:
            raise ValueError(
                f"Expected uint8 of shape (height, width, 3), got {low.dtype} of shape {low.shape}."
            )
        height, width = low.shape[:2]
        rest = ((0, -height % self.size_multiple), (0, -width % self.size_multiple), (0, 0))
        batch = np.ascontiguousarray(np.pad(low, rest, mode="edge")[None])  # (1, h, w, 3)
        high = self.run(batch)[0]
        return np.ascontiguousarray(high[: height * self.scale, : width * self.scale])

    @abc.abstractmethod
    def run(self, low: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size; uint8 NHWC at `scale`."""


class TorchUpscaler(NetworkUpscaler):
    """A network in torch, in full fp32 (no TF32), on the GPU where there is one.

    Args:
        source: a directory with model.safetensors and model.json, or a .pth or .safetensors checkpoint.
    """

    def __init__(self, source: Path) -> None:
        import torch

        from sr.checkpoint import export_checkpoint, load_model

        source = Path(source)
        with tempfile.TemporaryDirectory() as scratch:
            directory = source if source.is_dir() else Path(scratch) / "model"
            if directory != source:
                export_checkpoint(source, directory)
            network = load_model(directory)
            self.sha256 = sha256_file(directory / "model.safetensors")
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.eval().float().to(self._device)
        self.scale, self.size_multiple = network.scale, network.size_multiple
        known = network.description.preset or network.description.architecture
        self.name = f"{source.stem if source.is_file() else known} torch"

    def run(self, low: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        import torch

        tensor = torch.from_numpy(low).permute(0, 3, 1, 2).to(self._device)  # (n, 3, h, w)
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            return self._network(tensor).permute(0, 2, 3, 1).cpu().numpy()


class OnnxUpscaler(NetworkUpscaler):
    """An ONNX file of ours, by onnxruntime on the CPU."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no other base
            raise _damaged(path, error) from None
        metadata = from_strings(self._session.get_modelmeta().custom_metadata_map, str(path))
        self.sha256 = sha256_file(path)
        _adopt(self, metadata, "onnx")

    def run(self, low: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        return self._session.run(["high"], {"low": low})[0]


class OpenVinoUpscaler(NetworkUpscaler):
    """An IR of ours (model.xml beside model.bin), by OpenVINO.

    The fp32 IR is run in fp32; for the others the device chooses (bf16 or f16 where it has them), as a user
    would get.

    Args:
        path: the .xml file.
        device: CPU, GPU, NPU or AUTO.
    """

    def __init__(self, path: Path, device: str = "CPU") -> None:
        from sr.openvino_runtime import openvino

        core = openvino.Core()
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            raise _damaged(path, error) from None
        metadata = read_ir_metadata(model, path)
        hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if metadata.precision == "fp32":
            hints["INFERENCE_PRECISION_HINT"] = "f32"
        self._compiled = core.compile_model(model, device, hints)
        self._request = self._compiled.create_infer_request()
        self.sha256 = ir_sha256(path)
        _adopt(self, metadata, f"openvino {metadata.precision}")

    def run(self, low: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        return self._request.infer({"low": low})["high"].copy()  # the next call would overwrite the result


def read_ir_metadata(model: Any, path: Path) -> ModelMetadata:
    """The metadata of an openvino.Model that was read from `path`.

    Raises:
        UserError: the IR carries none.
    """
    section = model.get_rt_info()[GROUP] if model.has_rt_info([GROUP]) else {}
    strings = {key: model.get_rt_info([GROUP, key]).astype(str) for key in dict(section)}
    return from_strings(strings, str(path))


def ir_sha256(path: Path) -> str:
    """One sha256 for the two files of an IR: of the hashes of .xml and .bin, in this order."""
    return sha256_bytes(
        "".join(sha256_file(Path(path).with_suffix(end)) for end in (".xml", ".bin")).encode()
    )


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200]
    return UserError("a model file that can be read", reason, str(path), "export the model again")


def _adopt(upscaler: NetworkUpscaler, metadata: ModelMetadata, form: str) -> None:
    upscaler.scale, upscaler.size_multiple = metadata.scale, metadata.size_multiple
    upscaler.name = f"{metadata.preset} {form}"


_FILES = {
    ".pth": TorchUpscaler,
    ".safetensors": TorchUpscaler,
    ".onnx": OnnxUpscaler,
    ".xml": OpenVinoUpscaler,
}
_DIRECTORIES = {"model.json": TorchUpscaler, "model.onnx": OnnxUpscaler, "model.xml": OpenVinoUpscaler}


def load_upscaler(spec: str | Path, scale: int = 2) -> Upscaler:
    """The upscaler that `spec` names.

    Args:
        spec: "bicubic", "lanczos", a .pth, .safetensors, .onnx or .xml file, or a directory of models/ or
            exports/.
        scale: for the formulas; a network has its own.

    Raises:
        UserError: nothing by that name, a file of another kind, or one that is not a model of ours.
    """
    if str(spec) in FORMULAS:
        return PillowUpscaler(str(spec), scale)
    path = Path(spec)
    if path.is_dir():
        for file, kind in _DIRECTORIES.items():
            if (path / file).is_file():
                return kind(path if kind is TorchUpscaler else path / file)
    if not path.exists() or path.suffix not in _FILES or path.is_dir():
        raise UserError(
            expected="bicubic, lanczos, a .pth, .safetensors, .onnx or .xml file, or a model's directory",
            got=repr(str(spec)) + ("" if path.exists() else ", which does not exist"),
            where="the model to upscale with",
            remedy="name one of these",
        )
    return _FILES[path.suffix](path)
