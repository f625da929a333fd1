"""Everything that enlarges a picture, behind one protocol: Pillow's and MATLAB's filters, a torch network, an
ONNX file, an IR.

One evaluator scores all of them. Each pads its input to what its network needs and cuts the result
afterwards; none knows of files other than its own model, and none keeps anything of a picture.
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

from data.digests import sha256_file
from data.errors import UserError
from sr.graph_levels import onnx_levels, openvino_levels
from sr.metadata import ModelMetadata
from sr.model_files import compile_ir, fixed_size, ir_sha256, open_onnx, read_ir, wrong_size
from sr.resize import imresize, pillow_resize
from sr.tiles import HALO_PX, by_tiles
from sr.video_range import from_video, to_video

FORMULAS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
"""Upscalers without weights, by name."""
CPU = "CPU"
"""The device that is always there."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""How much R, G and B weigh in luma of full range. Source: ITU-R BT.601-7, 2.5.1."""
_MATLAB_KERNELS = {"bicubic": "cubic", "lanczos": "lanczos3"}


class Upscaler(Protocol):
    """Enlarges one picture. Not thread-safe; the same picture gives the same result."""

    name: str
    """For reports: a filter's name, or the preset and the form (realtime-x2 torch)."""
    scale: int
    """How many times taller and wider the result is; 1 or more."""
    sha256: str | None
    """Of the model's bytes; None for a formula."""
    colour: str
    """What the model works on: "rgb", or "luma" (one plane). A luma model takes RGB too."""
    fixed_size: tuple[int, int] | None
    """Height and width of the one picture that the model takes; None: any."""

    def __call__(self, low: ArrayLike) -> np.ndarray:
        """Enlarge.

        Args:
            low: what numpy makes an array of (a Pillow picture in RGB, too): uint8 HWC RGB, at least 1x1; for formulas
                also HW1, and for a luma model HW1 of video luma (16 black, 235 white; `sr.video_range` converts a
                grey picture).

        Returns:
            uint8 of as many channels, height and width times `scale`; rounded and clamped.
        """

    def enlarge_levels(self, low: np.ndarray) -> np.ndarray:
        """Enlarge a picture of more than 8 bits.

        Args:
            low: float32 of the same shapes, in levels 0 to 255 with any fractions.

        Returns:
            float32 of as many channels, height and width times `scale`; clamped to 0 to 255, not rounded. Of
            whole levels it is what a network's call gives, before rounding. Pillow rounds bytes and clamps them
            between its two passes; a formula's result differs by that.
        """


class PillowUpscaler:
    """A classic filter, as Pillow computes it: what a network has to beat."""

    sha256, fixed_size = None, None
    colour = "rgb"

    def __init__(self, name: str, scale: int) -> None:
        self.name, self.scale = name, scale

    def __call__(self, low: ArrayLike) -> np.ndarray:
        """Enlarge, as every Upscaler does."""
        low = _picture(low)
        height, width, channels = low.shape
        picture = low[:, :, 0] if channels == 1 else low
        high = pillow_resize(picture, height * self.scale, width * self.scale, FORMULAS[self.name])
        return high.reshape(*high.shape[:2], channels)

    def enlarge_levels(self, low: np.ndarray) -> np.ndarray:
        """Enlarge fractional levels, as every Upscaler does."""
        return _filtered(low, self.scale, FORMULAS[self.name]).clip(0.0, 255.0)


class MatlabUpscaler:
    """A classic filter, as MATLAB's imresize computes it: what the published tables call bicubic."""

    sha256, fixed_size = None, None
    colour = "rgb"

    def __init__(self, name: str, scale: int) -> None:
        self.name, self.scale = name, scale

    def __call__(self, low: ArrayLike) -> np.ndarray:
        """Enlarge, as every Upscaler does; rounded to uint8 after each axis, as MATLAB does with bytes."""
        low = _picture(low)
        height, width = low.shape[:2]
        size = (height * self.scale, width * self.scale)
        return imresize(low, *size, _MATLAB_KERNELS[self.name], edges="clamp", rounding="passes")

    def enlarge_levels(self, low: np.ndarray) -> np.ndarray:
        """Enlarge fractional levels, as every Upscaler does."""
        size = (low.shape[0] * self.scale, low.shape[1] * self.scale)
        high = imresize(low, *size, _MATLAB_KERNELS[self.name], edges="clamp", rounding="none")
        return high.clip(0.0, 255.0).astype(np.float32)

    def enlarge_plane(self, plane: np.ndarray) -> np.ndarray:
        """Enlarge HW values that were never rounded; HW float64, not rounded and not clamped."""
        height, width = plane.shape
        size = (height * self.scale, width * self.scale)
        return imresize(plane, *size, _MATLAB_KERNELS[self.name], rounding="none")


class NetworkUpscaler(abc.ABC):
    """Base of the upscalers that run a network: checks, pads by repeating the edge, runs, cuts."""

    name: str
    scale: int
    sha256: str | None
    size_multiple: int
    colour: str = "rgb"
    fixed_size: tuple[int, int] | None = None
    tile_px: int = 0
    """Larger pictures are run by tiles of this side (low pixels, the halo included); 0, or with a fixed size: always
    in one piece."""
    halo_px: int = HALO_PX
    """Low pixels around what is kept of a tile."""

    def __call__(self, low: ArrayLike) -> np.ndarray:
        """Enlarge, as every Upscaler does.

        Raises:
            ValueError: the picture is not uint8 HWC with three channels, or with the one of a luma model.
        """
        low = np.asarray(low)
        self._check(low, np.uint8)
        if low.shape[2] == self._channels:
            return self._enlarge(self.run, low)
        return np.rint(self.enlarge_levels(low.astype(np.float32))).astype(np.uint8)

    def enlarge_levels(self, low: np.ndarray) -> np.ndarray:
        """Enlarge fractional levels, as every Upscaler does.

        Raises:
            ValueError: the picture is not float32 HWC with three channels, or with the one of a luma model.
        """
        self._check(low, np.float32)
        if low.shape[2] == self._channels:
            return self._enlarge(self.run_levels, low)
        luma = low @ _LUMA[:, None]  # (h, w, 1)
        high = from_video(self._enlarge(self.run_levels, to_video(luma)))
        gain = high - _filtered(luma, self.scale, FORMULAS["bicubic"])
        # As much on R, G and B: luma is the network's then, and the colour differences are the bicubic's.
        return (_filtered(low, self.scale, FORMULAS["bicubic"]) + gain).clip(0.0, 255.0)

    @property
    def _channels(self) -> int:
        return 1 if self.colour == "luma" else 3

    def _check(self, low: np.ndarray, kind: type) -> None:
        channels = " or 1" if self.colour == "luma" else ""
        fits = low.ndim == 3 and low.shape[2] in (3, self._channels)
        if low.dtype != kind or not fits or low.size == 0:
            wanted = f"{np.dtype(kind)} of shape (height, width, 3{channels})"
            raise ValueError(f"Expected {wanted}, got {low.dtype} of shape {low.shape}.")

    def _enlarge(self, run: Callable[[np.ndarray], np.ndarray], low: np.ndarray) -> np.ndarray:
        height, width = low.shape[:2]
        if self.fixed_size and (height, width) != self.fixed_size:
            raise wrong_size(self.fixed_size, height, width, self.name)
        rest = ((0, -height % self.size_multiple), (0, -width % self.size_multiple), (0, 0))
        padded = np.ascontiguousarray(np.pad(low, rest, mode="edge"))

        def run_one(low: np.ndarray) -> np.ndarray:
            high = run(low[None])[0]  # (1, h, w, c) in and out
            wanted = (low.shape[0] * self.scale, low.shape[1] * self.scale, low.shape[2])
            if high.shape != wanted:
                expected = f"a model that makes {wanted} of {low.shape}, as its metadata says"
                raise UserError(expected, str(high.shape), self.name, "export the model again")
            return high

        if self.tile_px and not self.fixed_size and max(padded.shape[:2]) > self.tile_px:
            high = by_tiles(run_one, padded, self.scale, self.tile_px, self.halo_px, self.size_multiple)
        else:
            high = run_one(padded)
        return np.ascontiguousarray(high[: height * self.scale, : width * self.scale])

    @abc.abstractmethod
    def run(self, low: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size; uint8 NHWC at `scale`."""

    @abc.abstractmethod
    def run_levels(self, low: np.ndarray) -> np.ndarray:
        """Run the network on float32 NHWC of fitting size, levels 0 to 255; the same at `scale`, not rounded."""


class TorchUpscaler(NetworkUpscaler):
    """A network in torch, in full fp32 (no TF32), on the GPU where there is one.

    Args:
        source: a directory with model.safetensors and model.json, or a .pth or .safetensors checkpoint.
    """

    def __init__(self, source: Path) -> None:
        import torch

        from sr.checkpoint import export_checkpoint, load_model
        from sr.models.reach import halo_px

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

    def run(self, low: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        return self._apply(self.network, low)

    def run_levels(self, low: np.ndarray) -> np.ndarray:
        """Run the network on float32 NHWC of fitting size."""
        return self._apply(self.network.enlarge_levels, low)

    def _apply(self, network: Callable[[Any], Any], low: np.ndarray) -> np.ndarray:
        import torch

        tensor = torch.from_numpy(low).permute(0, 3, 1, 2).to(self._device)  # (n, c, h, w)
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

    def run(self, low: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        return self._session.run(["high"], {"low": low})[0]

    def run_levels(self, low: np.ndarray) -> np.ndarray:
        """Run the network on float32 NHWC of fitting size."""
        return self._levels_session.run(["high"], {"low": low})[0]

    @cached_property
    def _levels_session(self) -> Any:
        import onnx
        import onnxruntime

        changed = onnx_levels(onnx.load(self.path), str(self.path))
        return onnxruntime.InferenceSession(changed.SerializeToString(), providers=["CPUExecutionProvider"])


class OpenVinoUpscaler(NetworkUpscaler):
    """An IR of ours (model.xml beside model.bin), by OpenVINO.

    The fp32 IR is run in fp32, the others in what the device is faster with (bf16 or f16 where it has them). What
    is compiled is kept for the next start (see sr.compiled_models).

    Args:
        path: the .xml file.
        device: CPU, GPU, NPU or AUTO; GPU.1 where there are several.
        keep_compiled: False where the file will not be used again.
    """

    def __init__(self, path: Path, device: str = CPU, keep_compiled: bool = True) -> None:
        from sr.openvino_runtime import openvino

        self.path, self._core, self._device = path, openvino.Core(), device
        self._keep_compiled = keep_compiled
        model, metadata = read_ir(self._core, path)
        self._precision, self.fixed_size = metadata.precision, fixed_size(model)
        self._request = self._compiled(model).create_infer_request()
        self.sha256 = ir_sha256(path)
        _adopt(self, metadata, f"openvino {metadata.precision}")

    def run(self, low: np.ndarray) -> np.ndarray:
        """Run the network on uint8 NHWC of fitting size."""
        return self._request.infer({"low": low})["high"].copy()  # the next call would overwrite the result

    def run_levels(self, low: np.ndarray) -> np.ndarray:
        """Run the network on float32 NHWC of fitting size."""
        return self._levels_request.infer({"low": low})["high"].copy()

    @cached_property
    def _levels_request(self) -> Any:
        model = openvino_levels(self._core.read_model(self.path), str(self.path))
        return self._compiled(model).create_infer_request()

    def _compiled(self, model: Any) -> Any:
        return compile_ir(
            self._core, model, self.path, self._device, self._precision, keep=self._keep_compiled
        )


def _picture(low: ArrayLike) -> np.ndarray:
    """What a formula is given, as an array with its channels."""
    picture = np.asarray(low)
    if picture.ndim != 3:
        raise ValueError(f"Expected a shape of (height, width, channels), got {picture.shape}.")
    return picture


def _filtered(levels: np.ndarray, scale: int, filter_: Image.Resampling) -> np.ndarray:
    """Enlarge float32 HWC by one of Pillow's filters, in float32; it may leave 0 to 255."""
    size = (levels.shape[1] * scale, levels.shape[0] * scale)
    planes = [
        Image.fromarray(levels[:, :, channel]).resize(size, filter_) for channel in range(levels.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def _adopt(upscaler: NetworkUpscaler, metadata: ModelMetadata, form: str) -> None:
    upscaler.scale, upscaler.size_multiple = metadata.scale, metadata.size_multiple
    upscaler.colour, upscaler.halo_px = metadata.colour, metadata.halo_px
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
        tile_px: a network runs larger pictures by tiles of this side, in low pixels; 0: never.
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
            expected="bicubic, lanczos, a .pth, .safetensors, .onnx or .xml file, or a model's directory",
            got=repr(str(path)) + ("" if path.exists() else ", which does not exist"),
            where="the model to upscale with",
            remedy="name one of these",
        )
    if kind is OpenVinoUpscaler:
        return OpenVinoUpscaler(file, device)
    if device != CPU:
        raise UserError(
            f"an IR (.xml) for the device {device}", str(path), "the model", "export it with ExportOpenVINO"
        )
    return kind(file)
