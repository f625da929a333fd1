"""A model for the frames of one video: of one size, called from several threads at once.

On the CPU an IR is compiled for the video's size with one inference stream for each core: two frames on a core each
never wait for each other, while two cores that share a frame wait at every layer. Other devices choose their number of
streams themselves. All other kinds of model run as they do for images, in one thread.
"""

import os
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from data.hashing import sha256_file
from sr.models.box import find_box_weights
from sr.runtime.load import load_upscaler
from sr.runtime.model_files import compile_ir, read_fixed_size, read_ir, size_mismatch_error
from sr.runtime.upscaler import CPU, Upscaler

_MODEL_FILES = ("model.safetensors", "model.onnx")
_UINT8, _LEVELS = "uint8", "levels"
"""The two graphs of an IR: its own, and the one with float input and output."""


class FrameNetwork(Protocol):
    """A model for the frames of a video; safe to call from several threads.

    A result may be the calling thread's buffer, valid until its next call.
    """

    name: str
    scale: int
    color: str
    """luma or rgb: whether it takes and gives one channel or three."""
    identity: str
    """What its results depend on: the sha256 of its weights, or of its file, and "int8" where they are quantized."""
    workers: int
    """How many threads may usefully call it at once."""

    def upscale_uint8(self, lr_image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Upscale uint8 HWC to uint8 HWC."""

    def upscale_levels(self, lr_image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Upscale float32 HWC in levels, 0 to 255, to float32 HWC, not rounded."""


def load_network(spec: str | Path, height: int, width: int, device: str = CPU) -> FrameNetwork:
    """Load the model for a video.

    Args:
        spec: a model file or directory, see `load_upscaler`.
        height: of the video's frames.
        width: of the video's frames.
        device: OpenVINO device for an IR.

    Raises:
        UserError: see `load_upscaler`.
    """
    path = Path(spec)
    path = path / "model.xml" if path.is_dir() and (path / "model.xml").is_file() else path
    if path.suffix == ".xml" and path.is_file():
        return OpenVINONetwork(path, height, width, device)
    return SerialNetwork(load_upscaler(spec, device=device), _identify(spec))


def _identify(spec: str | Path) -> str:
    """Return the sha256 of a model's file; of a directory, that of the weights or of the graph in it."""
    path = find_box_weights(spec) or Path(spec)
    if path.is_dir():
        path = next((path / name for name in _MODEL_FILES if (path / name).is_file()), path)
    return sha256_file(path) if path.is_file() else ""


class SerialNetwork:
    """Any upscaler, one frame at a time."""

    workers = 1

    def __init__(self, upscaler: Upscaler, identity: str = "") -> None:
        self.identity = identity
        self.name, self.scale, self.color = upscaler.name, upscaler.scale, upscaler.color
        self.upscale_uint8, self.upscale_levels = upscaler, upscaler.upscale_levels


class OpenVINONetwork:
    """An IR that this project exported; on the CPU with one inference stream for each core."""

    def __init__(self, path: Path, height: int, width: int, device: str) -> None:
        from sr.runtime.openvino_runtime import check_device, openvino

        self._core, self._path, self._device = openvino.Core(), path, device
        check_device(self._core, device)
        model, metadata = read_ir(self._core, path)
        self.name, self.scale = f"{metadata.preset} openvino {metadata.precision}", metadata.scale
        self.color, self._precision = metadata.color, metadata.precision
        self.identity = metadata.weights_sha256 + (" int8" if metadata.precision == "int8" else "")
        multiple, fixed = metadata.size_multiple, read_fixed_size(model)
        least = metadata.minimum_px
        padded = tuple(max(side + -side % multiple, least) for side in (height, width))
        if fixed and padded != fixed:
            raise size_mismatch_error(fixed, height, width, self.name)
        self._shape = (1, *padded, metadata.channels)  # NHWC
        self.workers = len(os.sched_getaffinity(0))
        self._compiled: dict[str, Any] = {}
        self._lock, self._local = threading.Lock(), threading.local()

    def upscale_uint8(self, lr_image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Upscale uint8 HWC; the result is this thread's until its next call."""
        upscaled: npt.NDArray[np.uint8] = self._infer(lr_image, _UINT8)
        return upscaled

    def upscale_levels(self, lr_image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Upscale float32 HWC in levels; the result is this thread's until its next call."""
        upscaled: npt.NDArray[np.float32] = self._infer(lr_image, _LEVELS)
        return upscaled

    def _infer(self, lr_image: npt.NDArray[Any], graph: str) -> npt.NDArray[Any]:
        request = self._infer_request(graph)
        height, width = lr_image.shape[:2]
        padded = request.get_input_tensor().data[0]  # HWC, padded by repeating the edge
        padded[:height, :width] = lr_image
        padded[:height, width:] = lr_image[:, -1:]
        padded[height:] = padded[height - 1]
        request.infer()
        output: npt.NDArray[Any] = request.get_output_tensor().data[0]
        return output[: height * self.scale, : width * self.scale]

    def _infer_request(self, graph: str) -> Any:
        """Return this thread's inference request for a graph, which is compiled when it is first needed."""
        requests = self._local.__dict__.setdefault("requests", {})
        if graph not in requests:
            with self._lock:
                if graph not in self._compiled:
                    model = self._core.read_model(self._path)
                    if graph == _LEVELS:
                        from sr.runtime.float_graph import openvino_to_float

                        model = openvino_to_float(model, str(self._path))
                    model.reshape({"input": list(self._shape)})
                    self._compiled[graph] = self._compile(model)
            requests[graph] = self._compiled[graph].create_infer_request()
        return requests[graph]

    def _compile(self, model: Any) -> Any:
        from sr.runtime.openvino_runtime import AUTO_STREAMS

        arguments = (self._core, model, self._path, self._device, self._precision)
        if self._device == CPU:
            return compile_ir(*arguments, streams=self.workers, threads=self.workers)
        return compile_ir(*arguments, streams=AUTO_STREAMS)
