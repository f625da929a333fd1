"""Everything that upscales an image, behind one protocol: Pillow's and MATLAB's filters, a torch network, an
ONNX file, an IR.

One evaluator scores all of them. Each pads its input to what its network needs and cuts the result
afterward; none knows of files other than its own model, and none keeps anything of an image.
"""

import abc
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from data.errors import UserError
from data.hashing import sha256_file
from sr.imaging.resize import imresize, pillow_resize
from sr.imaging.video_range import from_video, to_video
from sr.models.metadata import ModelMetadata
from sr.runtime.float_graph import onnx_levels, openvino_levels
from sr.runtime.model_files import compile_ir, fixed_size, ir_sha256, open_onnx, read_ir, wrong_size
from sr.runtime.tiling import HALO_PX, by_tiles

FORMULAS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
"""Upscalers without weights, by name."""
CPU = "CPU"
"""The device that is always there."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""How much R, G and B weigh in luma of full range. Source: ITU-R BT.601-7, 2.5.1."""
_MATLAB_KERNELS = {"bicubic": "cubic", "lanczos": "lanczos3"}


class Upscaler(Protocol):
    """Upscales one image. Not thread-safe; the same image gives the same result."""

    name: str
    """For reports: a filter's name, or the preset and the form (realtime-x2 torch)."""
    scale: int
    """How many times taller and wider the result is; 1 or more."""
    sha256: str | None
    """Of the model's bytes; None for a formula."""
    color: str
    """What the model works on: "rgb", or "luma" (one plane). A luma model takes RGB too."""
    fixed_size: tuple[int, int] | None
    """Height and width of the one image that the model takes; None: any."""

    def __call__(self, lr_image: ArrayLike) -> np.ndarray:
        """Upscale.

        Args:
            lr_image: what numpy makes an array of (a Pillow image in RGB, too): uint8 HWC RGB, at least 1x1; for formulas
                also HW1, and for a luma model HW1 of video luma (16 black, 235 white; `sr.imaging.video_range` converts a
                gray image).

        Returns:
            uint8 of as many channels, height and width times `scale`; rounded and clamped.
        """

    def upscale_levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Upscale an image of more than 8 bits.

        Args:
            lr_image: float32 of the same shapes, in levels 0 to 255 with any fractions.

        Returns:
            float32 of as many channels, height and width times `scale`; clamped to 0 to 255, not rounded. Of
            whole levels it is what a network's call gives, before rounding. Pillow rounds bytes and clamps them
            between its two passes; a formula's result differs by that.
        """


class PillowUpscaler:
    """A classic filter, as Pillow computes it: what a network has to beat."""

    sha256, fixed_size = None, None
    color = "rgb"

    def __init__(self, name: str, scale: int) -> None:
        self.name, self.scale = name, scale

    def __call__(self, lr_image: ArrayLike) -> np.ndarray:
        """Upscale, as every Upscaler does."""
        lr_image = _image(lr_image)
        height, width, channels = lr_image.shape
        image = lr_image[:, :, 0] if channels == 1 else lr_image
        hr_image = pillow_resize(image, height * self.scale, width * self.scale, FORMULAS[self.name])
        return hr_image.reshape(*hr_image.shape[:2], channels)

    def upscale_levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Upscale fractional levels, as every Upscaler does."""
        return _filtered(lr_image, self.scale, FORMULAS[self.name]).clip(0.0, 255.0)


class MatlabUpscaler:
    """A classic filter, as MATLAB's imresize computes it: what the published tables call bicubic."""

    sha256, fixed_size = None, None
    color = "rgb"

    def __init__(self, name: str, scale: int) -> None:
        self.name, self.scale = name, scale

    def __call__(self, lr_image: ArrayLike) -> np.ndarray:
        """Upscale, as every Upscaler does; rounded to uint8 after each axis, as MATLAB does with bytes."""
        lr_image = _image(lr_image)
        height, width = lr_image.shape[:2]
        size = (height * self.scale, width * self.scale)
        return imresize(lr_image, *size, _MATLAB_KERNELS[self.name], edges="clamp", rounding="passes")

    def upscale_levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Upscale fractional levels, as every Upscaler does."""
        size = (lr_image.shape[0] * self.scale, lr_image.shape[1] * self.scale)
        hr_image = imresize(lr_image, *size, _MATLAB_KERNELS[self.name], edges="clamp", rounding="none")
        return hr_image.clip(0.0, 255.0).astype(np.float32)

    def upscale_plane(self, plane: np.ndarray) -> np.ndarray:
        """Upscale HW values that were never rounded; HW float64, not rounded and not clamped."""
        height, width = plane.shape
        size = (height * self.scale, width * self.scale)
        return imresize(plane, *size, _MATLAB_KERNELS[self.name], rounding="none")


class NetworkUpscaler(abc.ABC):
    """Base of the upscalers that run a network: checks, pads by repeating the edge, runs, cuts."""

    name: str
    scale: int
    sha256: str | None
    size_multiple: int
    color: str = "rgb"
    fixed_size: tuple[int, int] | None = None
    tile_px: int = 0
    """Larger images are run by tiles of this side (low pixels, the halo included); 0, or with a fixed size: always
    in one piece."""
    halo_px: int = HALO_PX
    """Low pixels around what is kept of a tile."""

    def __call__(self, lr_image: ArrayLike) -> np.ndarray:
        """Upscale, as every Upscaler does.

        Raises:
            ValueError: the image is not uint8 HWC with three channels, or with the one of a luma model.
        """
        lr_image = np.asarray(lr_image)
        self._check(lr_image, np.uint8)
        if lr_image.shape[2] == self._channels:
            return self._upscale(self.run, lr_image)
        return np.rint(self.upscale_levels(lr_image.astype(np.float32))).astype(np.uint8)

    def upscale_levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Upscale fractional levels, as every Upscaler does.

        Raises:
            ValueError: the image is not float32 HWC with three channels, or with the one of a luma model.
        """
        self._check(lr_image, np.float32)
        if lr_image.shape[2] == self._channels:
            return self._upscale(self.run_levels, lr_image)
        luma = lr_image @ _LUMA[:, None]  # (h, w, 1)
        hr_image = from_video(self._upscale(self.run_levels, to_video(luma)))
        gain = hr_image - _filtered(luma, self.scale, FORMULAS["bicubic"])
        # As much on R, G and B: luma is the network's then, and the color differences are the bicubic's.
        return (_filtered(lr_image, self.scale, FORMULAS["bicubic"]) + gain).clip(0.0, 255.0)

    @property
    def _channels(self) -> int:
        return 1 if self.color == "luma" else 3

    def _check(self, lr_image: np.ndarray, kind: type) -> None:
        channels = " or 1" if self.color == "luma" else ""
        fits = lr_image.ndim == 3 and lr_image.shape[2] in (3, self._channels)
        if lr_image.dtype != kind or not fits or lr_image.size == 0:
            wanted = f"{np.dtype(kind)} of shape (height, width, 3{channels})"
            raise ValueError(f"Expected {wanted}, got {lr_image.dtype} of shape {lr_image.shape}.")

    def _upscale(self, run: Callable[[np.ndarray], np.ndarray], lr_image: np.ndarray) -> np.ndarray:
        height, width = lr_image.shape[:2]
        if self.fixed_size and (height, width) != self.fixed_size:
            raise wrong_size(self.fixed_size, height, width, self.name)
        rest = ((0, -height % self.size_multiple), (0, -width % self.size_multiple), (0, 0))
        padded = np.ascontiguousarray(np.pad(lr_image, rest, mode="edge"))

        def run_one(lr_image: np.ndarray) -> np.ndarray:
            hr_image = run(lr_image[None])[0]  # (1, h, w, c) in and out
            wanted = (lr_image.shape[0] * self.scale, lr_image.shape[1] * self.scale, lr_image.shape[2])
            if hr_image.shape != wanted:
                expected = f"a model that makes {wanted} of {lr_image.shape}, as its metadata says"
                raise UserError(expected, str(hr_image.shape), self.name, "export the model again")
            return hr_image

        if self.tile_px and not self.fixed_size and max(padded.shape[:2]) > self.tile_px:
            hr_image = by_tiles(run_one, padded, self.scale, self.tile_px, self.halo_px, self.size_multiple)
        else:
            hr_image = run_one(padded)
        return np.ascontiguousarray(hr_image[: height * self.scale, : width * self.scale])

    @abc.abstractmethod
    def run(self, lr_image: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size; uint8 NHWC at `scale`."""

    @abc.abstractmethod
    def run_levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Run the network on float32 NHWC of fitting size, levels 0 to 255; the same at `scale`, not rounded."""


class TorchUpscaler(NetworkUpscaler):
    """A network in torch, in full fp32 (no TF32), on the GPU where there is one.

    Args:
        source: a directory with model.safetensors and model.json, or a .pth or .safetensors checkpoint.
    """

    def __init__(self, source: Path) -> None:
        import torch

        from sr.models.checkpoint import export_checkpoint, load_model
        from sr.models.receptive_field import halo_px

        source = Path(source)
        with tempfile.TemporaryDirectory() as scratch:
            directory = source if source.is_dir() else Path(scratch) / "model"
            if directory != source:
                export_checkpoint(source, directory)
            network = load_model(directory)
            self.sha256 = sha256_file(directory / "model.safetensors")
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.eval().float().to(self._device)
        self.scale, self.size_multiple = network.scale, network.size_multiple
        self.halo_px = halo_px(network.core)
        known = network.description.preset or network.description.architecture
        self.name = f"{source.stem if source.is_file() else known} torch"

    def run(self, lr_image: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        return self._apply(self.network, lr_image)

    def run_levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Run the network on float32 NHWC of fitting size."""
        return self._apply(self.network.upscale_levels, lr_image)

    def _apply(self, network: Callable[[Any], Any], lr_image: np.ndarray) -> np.ndarray:
        import torch

        tensor = torch.from_numpy(lr_image).permute(0, 3, 1, 2).to(self._device)  # (n, c, h, w)
        known = torch.backends.cudnn  # what is not named here would be switched off
        kept = {name: getattr(known, name) for name in ("enabled", "benchmark", "deterministic")}
        with torch.inference_mode(), known.flags(**kept, allow_tf32=False):
            return network(tensor).permute(0, 2, 3, 1).cpu().numpy()


class OnnxUpscaler(NetworkUpscaler):
    """An ONNX file of ours, by onnxruntime on the CPU."""

    def __init__(self, path: Path) -> None:
        self._session, metadata = open_onnx(path)
        self.path, self.sha256 = path, sha256_file(path)
        _adopt(self, metadata, "onnx")

    def run(self, lr_image: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        return self._session.run(["output"], {"input": lr_image})[0]

    def run_levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Run the network on float32 NHWC of fitting size."""
        return self._levels_session.run(["output"], {"input": lr_image})[0]

    @cached_property
    def _levels_session(self) -> Any:
        import onnx
        import onnxruntime

        changed = onnx_levels(onnx.load(self.path), str(self.path))
        return onnxruntime.InferenceSession(changed.SerializeToString(), providers=["CPUExecutionProvider"])


class OpenVinoUpscaler(NetworkUpscaler):
    """An IR of ours (model.xml beside model.bin), by OpenVINO.

    The fp32 IR is run in fp32, the others in what the device is faster with (bf16 or f16 where it has them). What
    is compiled is kept for the next start (see sr.runtime.compiled_cache).

    Args:
        path: the .xml file.
        device: CPU, GPU, NPU or AUTO; GPU.1 where there are several.
        keep_compiled: False where the file will not be used again.
    """

    def __init__(self, path: Path, device: str = CPU, keep_compiled: bool = True) -> None:
        from sr.runtime.openvino_runtime import openvino

        self.path, self._core, self._device = path, openvino.Core(), device
        self._keep_compiled = keep_compiled
        model, metadata = read_ir(self._core, path)
        self._precision, self.fixed_size = metadata.precision, fixed_size(model)
        self._request = self._compiled(model).create_infer_request()
        self.sha256 = ir_sha256(path)
        _adopt(self, metadata, f"openvino {metadata.precision}")

    def run(self, lr_image: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        return self._request.infer({"input": lr_image})[
            "output"
        ].copy()  # the next call would overwrite the result

    def run_levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Run the network on float32 NHWC of fitting size."""
        return self._levels_request.infer({"input": lr_image})["output"].copy()

    @cached_property
    def _levels_request(self) -> Any:
        model = openvino_levels(self._core.read_model(self.path), str(self.path))
        return self._compiled(model).create_infer_request()

    def _compiled(self, model: Any) -> Any:
        return compile_ir(
            self._core, model, self.path, self._device, self._precision, keep=self._keep_compiled
        )


def _image(lr_image: ArrayLike) -> np.ndarray:
    """What a formula is given, as an array with its channels."""
    image = np.asarray(lr_image)
    if image.ndim != 3:
        raise ValueError(f"Expected a shape of (height, width, channels), got {image.shape}.")
    return image


def _filtered(levels: np.ndarray, scale: int, filter_: Image.Resampling) -> np.ndarray:
    """Upscale float32 HWC by one of Pillow's filters, in float32; it may leave 0 to 255."""
    size = (levels.shape[1] * scale, levels.shape[0] * scale)
    planes = [
        Image.fromarray(levels[:, :, channel]).resize(size, filter_) for channel in range(levels.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def _adopt(upscaler: NetworkUpscaler, metadata: ModelMetadata, form: str) -> None:
    upscaler.scale, upscaler.size_multiple = metadata.scale, metadata.size_multiple
    upscaler.color, upscaler.halo_px = metadata.color, metadata.halo_px
    upscaler.name = f"{metadata.preset} {form}"


_FILES = {
    ".pth": TorchUpscaler,
    ".safetensors": TorchUpscaler,
    ".onnx": OnnxUpscaler,
    ".xml": OpenVinoUpscaler,
}
_DIRECTORIES = {"model.json": TorchUpscaler, "model.onnx": OnnxUpscaler, "model.xml": OpenVinoUpscaler}


def load_upscaler(spec: str | Path, scale: int = 2, tile_px: int = 0, device: str = CPU) -> Upscaler:
    """The upscaler that `spec` names.

    Args:
        spec: "bicubic", "lanczos" (both Pillow's), a .pth, .safetensors, .onnx or .xml file, or a directory of
            models/ or exports/.
        scale: for the formulas; a network has its own.
        tile_px: a network runs larger images by tiles of this side, in low pixels; 0: never.
        device: that an IR runs on: CPU, GPU, NPU or AUTO; formulas know none.

    Raises:
        UserError: nothing by that name, a file of another kind, one that is not a model of ours, a tile that is all
            halo, or a device that is not there or that the file's runtime does not know.
    """
    if str(spec) in FORMULAS:
        return PillowUpscaler(str(spec), scale)
    if tile_px and tile_px < 4 * HALO_PX:
        raise UserError(f"0 or at least {4 * HALO_PX} px", str(tile_px), "the side of a tile", "raise it")
    network = _load_network(Path(spec), device)
    network.tile_px = tile_px
    return network


def _load_network(path: Path, device: str) -> NetworkUpscaler:
    kind, file = _FILES.get(path.suffix), path
    if path.is_dir():
        there = [name for name in _DIRECTORIES if (path / name).is_file()]
        kind = _DIRECTORIES[there[0]] if there else None
        file = path / there[0] if there and kind is not TorchUpscaler else path
    if kind is None or not path.exists():
        raise UserError(
            "bicubic, lanczos, a .pth, .safetensors, .onnx or .xml file, or a model's directory",
            repr(str(path)) + ("" if path.exists() else ", which does not exist"),
            "the model to upscale with",
            "name one of these",
        )
    if kind is OpenVinoUpscaler:
        return OpenVinoUpscaler(file, device)
    if device != CPU:
        raise UserError(
            f"an IR (.xml) for the device {device}", str(path), "the model", "export it with ExportOpenVINO"
        )
    return kind(file)
