"""Networks as upscalers: a checkpoint in torch, an ONNX file in ONNX Runtime, an IR in OpenVINO.

Each pads its input to the multiple that the network needs and crops the result.
"""

import abc
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.hashing import sha256_file
from sr.imaging.video_range import to_full_range, to_limited_range
from sr.models.metadata import HALO_PX, ModelMetadata
from sr.runtime.filters import INTERPOLATION_FILTERS, interpolate
from sr.runtime.float_graph import onnx_to_float, openvino_to_float
from sr.runtime.foreign_graph import recognize_graph
from sr.runtime.model_files import (
    compile_ir,
    hash_ir,
    open_session,
    read_fixed_size,
    read_ir,
    read_onnx_metadata,
    size_mismatch_error,
)
from sr.runtime.tiling import upscale_tiled
from sr.runtime.torch_device import choose_torch_device
from sr.runtime.upscaler import CPU, FloatImage, UInt8Image

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of R, G and B in full-range luma. Source: ITU-R BT.601-7, 2.5.1."""
_Value = TypeVar("_Value", bound=np.generic)


class NetworkUpscaler(abc.ABC):
    """Base class: validates and pads the image, runs the network, whole or in tiles, and crops the result.

    Subclasses implement `run` and `run_levels` and set the attributes.
    """

    name: str
    scale: int
    sha256: str | None
    size_multiple: int
    """The network's input height and width must be multiples of it; other images are padded."""
    minimum_px: int = 1
    """The least input height and width; smaller images are padded."""
    padding: str = "edge"
    """How images are padded, at the right and at the bottom: edge or reflect, as numpy calls it."""
    color: str = "rgb"
    fixed_size: tuple[int, int] | None = None
    tile_px: int = 0
    """Larger images are processed in tiles of this side, in LR pixels, halo included; 0: always as a whole. Ignored
    by a model of fixed size."""
    halo_px: int = HALO_PX
    """Overlap of a tile with its neighbors on each side, in LR pixels."""

    def __call__(self, lr_image: npt.ArrayLike) -> UInt8Image:
        """Upscale an 8-bit image; see `Upscaler`.

        Raises:
            ValueError: the image is not uint8 HWC RGB (for a luma model: or HW1).
        """
        lr_image = np.asarray(lr_image)
        self._check(lr_image, np.uint8)
        if lr_image.shape[2] == self._channels:
            return self._upscale(self.run, lr_image)
        return np.rint(self.upscale_levels(lr_image.astype(np.float32))).astype(np.uint8)

    def upscale_levels(self, lr_image: FloatImage) -> FloatImage:
        """Upscale an image of more than 8 bits; see `Upscaler`.

        Raises:
            ValueError: the image is not float32 HWC RGB (for a luma model: or HW1).
        """
        self._check(lr_image, np.float32)
        if lr_image.shape[2] == self._channels:
            return self._upscale(self.run_levels, lr_image)
        luma = lr_image @ _LUMA[:, None]  # (h, w, 1)
        hr_luma = to_full_range(self._upscale(self.run_levels, to_limited_range(luma)))
        bicubic = INTERPOLATION_FILTERS["bicubic"]
        gain = hr_luma - interpolate(luma, self.scale, bicubic)
        # The same gain on R, G and B: luma comes from the network, the color differences stay bicubic.
        return (interpolate(lr_image, self.scale, bicubic) + gain).clip(0.0, 255.0)

    @property
    def _channels(self) -> int:
        return 1 if self.color == "luma" else 3

    def _check(self, lr_image: npt.NDArray[Any], dtype: type[np.generic]) -> None:
        channels = " or 1" if self.color == "luma" else ""
        fits = lr_image.ndim == 3 and lr_image.shape[2] in (3, self._channels)
        if lr_image.dtype != dtype or not fits or lr_image.size == 0:
            expected = f"{np.dtype(dtype)} of shape (height, width, 3{channels})"
            raise ValueError(f"Expected {expected}, got {lr_image.dtype} of shape {lr_image.shape}.")

    def _upscale(
        self, run: Callable[[npt.NDArray[_Value]], npt.NDArray[_Value]], lr_image: npt.NDArray[_Value]
    ) -> npt.NDArray[_Value]:
        height, width = lr_image.shape[:2]
        if self.fixed_size and (height, width) != self.fixed_size:
            raise size_mismatch_error(self.fixed_size, height, width, self.name)
        padded = self._pad(lr_image)

        def run_one(tile: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
            hr_tile: npt.NDArray[_Value] = run(tile[None])[0]  # (1, h, w, c) in and out
            expected = (tile.shape[0] * self.scale, tile.shape[1] * self.scale, tile.shape[2])
            if hr_tile.shape != expected:
                raise UserError(
                    f"The model {self.name} turns {tile.shape} into {hr_tile.shape}, but its metadata says {expected}",
                    "Export the model again",
                )
            return hr_tile

        if self.tile_px and not self.fixed_size and max(padded.shape[:2]) > self.tile_px:
            hr_image = upscale_tiled(
                run_one, padded, self.scale, self.tile_px, self.halo_px, self.size_multiple
            )
        else:
            hr_image = run_one(padded)
        return np.ascontiguousarray(hr_image[: height * self.scale, : width * self.scale])

    def _pad(self, lr_image: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
        """Pad an image to the sizes that the network takes."""
        missing = [max(-side % self.size_multiple, self.minimum_px - side) for side in lr_image.shape[:2]]
        if self.padding == "reflect":  # as far as there is something to mirror
            inner = [min(pixels, side - 1) for pixels, side in zip(missing, lr_image.shape, strict=False)]
            lr_image = np.pad(lr_image, ((0, inner[0]), (0, inner[1]), (0, 0)), mode="reflect")
            missing = [pixels - done for pixels, done in zip(missing, inner, strict=True)]
        padded = np.pad(lr_image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        return np.ascontiguousarray(padded)

    def _set_metadata(self, metadata: ModelMetadata, runtime: str) -> None:
        self.scale, self.size_multiple = metadata.scale, metadata.size_multiple
        self.minimum_px, self.padding = metadata.minimum_px, metadata.padding
        self.color, self.halo_px = metadata.color, metadata.halo_px
        self.name = f"{metadata.preset} {runtime}"

    @abc.abstractmethod
    def run(self, lr_image: UInt8Image) -> UInt8Image:
        """Run the network on uint8 NHWC whose size is a multiple of `size_multiple`."""

    @abc.abstractmethod
    def run_levels(self, lr_image: FloatImage) -> FloatImage:
        """Run the network on float32 NHWC, levels 0 to 255, same sizes as `run`; the result is not rounded."""


class TorchUpscaler(NetworkUpscaler):
    """A network in torch, in full fp32 (no TF32).

    Args:
        source: a directory with model.safetensors and model.json, or a .pth or .safetensors checkpoint.
        device: CPU, CUDA, or CUDA:1 for the second of several; empty or AUTO: CUDA if there is one, else CPU.
    """

    def __init__(self, source: Path, device: str = "") -> None:
        from sr.models.checkpoint import export_checkpoint, load_model
        from sr.models.receptive_field import halo_px

        self._device = choose_torch_device(device)
        source = Path(source)
        with tempfile.TemporaryDirectory() as scratch:
            directory = source if source.is_dir() else Path(scratch) / "model"
            if directory != source:
                export_checkpoint(source, directory)
            network = load_model(directory)
            self.sha256 = sha256_file(directory / "model.safetensors")
        self.network = network.eval().float().to(self._device)
        self.scale, self.size_multiple = network.scale, network.size_multiple
        self.minimum_px, self.padding = network.core.minimum_px, network.core.padding
        self.halo_px = halo_px(network.core)
        model = network.description.preset or network.description.architecture
        self.name = f"{source.stem if source.is_file() else model} torch"

    def run(self, lr_image: UInt8Image) -> UInt8Image:
        """Run the network on uint8 NHWC."""
        return self._apply(self.network, lr_image)

    def run_levels(self, lr_image: FloatImage) -> FloatImage:
        """Run the network on float32 NHWC."""
        return self._apply(self.network.upscale_levels, lr_image)

    def _apply(self, network: Callable[[Any], Any], lr_image: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
        import torch

        tensor = torch.from_numpy(lr_image).permute(0, 3, 1, 2).to(self._device)  # (n, c, h, w)
        cudnn = torch.backends.cudnn
        # flags() resets every flag that it is not given.
        current = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
        with torch.inference_mode(), cudnn.flags(**current, allow_tf32=False):
            hr_image: npt.NDArray[_Value] = network(tensor).permute(0, 2, 3, 1).cpu().numpy()
        return hr_image


class OnnxUpscaler(NetworkUpscaler):
    """An ONNX file that this project exported, in ONNX Runtime on the CPU."""

    def __init__(self, path: Path) -> None:
        self._session = open_session(path)
        self.path, self.sha256 = path, sha256_file(path)
        self._set_metadata(read_onnx_metadata(self._session, path), "onnx")

    def run(self, lr_image: UInt8Image) -> UInt8Image:
        """Run the network on uint8 NHWC."""
        hr_image: UInt8Image = self._session.run(["output"], {"input": lr_image})[0]
        return hr_image

    def run_levels(self, lr_image: FloatImage) -> FloatImage:
        """Run the network on float32 NHWC."""
        hr_image: FloatImage = self._levels_session.run(["output"], {"input": lr_image})[0]
        return hr_image

    @cached_property
    def _levels_session(self) -> Any:
        import onnx

        from sr.runtime.onnx_runtime import onnxruntime

        model = onnx_to_float(onnx.load(self.path), str(self.path))
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


class ForeignOnnxUpscaler(NetworkUpscaler):
    """An ONNX file of another program, or for other programs, in ONNX Runtime on the CPU."""

    def __init__(self, path: Path) -> None:
        self._session = open_session(path)
        strings = self._session.get_modelmeta().custom_metadata_map
        self._graph = graph = recognize_graph(self._session, strings, path)
        self.path, self.sha256, self.name = path, sha256_file(path), f"{path.stem} onnx"
        self.scale, self.size_multiple, self.halo_px = graph.scale, graph.size_multiple, graph.halo_px
        self.color, self.fixed_size = "luma" if graph.channels == 1 else "rgb", graph.fixed_size

    def run(self, lr_image: UInt8Image) -> UInt8Image:
        """Run the network on uint8 NHWC."""
        return np.rint(self.run_levels(lr_image)).astype(np.uint8)

    def run_levels(self, lr_image: npt.NDArray[Any]) -> FloatImage:
        """Run the network on float32 NHWC."""
        output = self._session.run(None, {self._graph.name: self._graph.to_input(lr_image)})[0]
        return self._graph.to_levels(output)


def load_onnx(path: Path) -> OnnxUpscaler | ForeignOnnxUpscaler:
    """Load an ONNX file: one that this project exported for itself, or one with the interface of other programs.

    Raises:
        UserError: it is damaged, or has another interface.
    """
    has_metadata = "schema" in open_session(path).get_modelmeta().custom_metadata_map
    return OnnxUpscaler(path) if has_metadata else ForeignOnnxUpscaler(path)


class OpenVinoUpscaler(NetworkUpscaler):
    """An OpenVINO IR that this project exported (model.xml beside model.bin).

    An fp32 IR runs in fp32; fp16 and int8 IRs run in bf16 or f16 where the device is faster with them. The compiled
    model is cached for the next start (see `sr.runtime.compiled_cache`).

    Args:
        path: the .xml file.
        device: CPU, GPU, NPU or AUTO; GPU.1 where there are several.
        keep_compiled: whether to cache the compiled model; False for a file that is used once.
    """

    def __init__(self, path: Path, device: str = CPU, keep_compiled: bool = True) -> None:
        from sr.runtime.openvino_runtime import openvino

        self.path, self._core, self._device = path, openvino.Core(), device
        self._keep_compiled = keep_compiled
        model, metadata = read_ir(self._core, path)
        self._precision, self.fixed_size = metadata.precision, read_fixed_size(model)
        self._request = self._compile(model).create_infer_request()
        self.sha256 = hash_ir(path)
        self._set_metadata(metadata, f"openvino {metadata.precision}")

    def run(self, lr_image: UInt8Image) -> UInt8Image:
        """Run the network on uint8 NHWC."""
        return _infer(self._request, lr_image)

    def run_levels(self, lr_image: FloatImage) -> FloatImage:
        """Run the network on float32 NHWC."""
        return _infer(self._levels_request, lr_image)

    @cached_property
    def _levels_request(self) -> Any:
        model = openvino_to_float(self._core.read_model(self.path), str(self.path))
        return self._compile(model).create_infer_request()

    def _compile(self, model: Any) -> Any:
        return compile_ir(
            self._core, model, self.path, self._device, self._precision, keep=self._keep_compiled
        )


def _infer(request: Any, lr_image: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    # A copy: the next call overwrites the request's output tensor.
    hr_image: npt.NDArray[_Value] = request.infer({"input": lr_image})["output"].copy()
    return hr_image
