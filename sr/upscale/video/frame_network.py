"""A model as videos need it: called by several threads at once, at one size.

An IR is compiled for the video's size, on the CPU with one stream a core: two frames side by side on a core each never
wait for each other, as two cores on one frame do at every layer. Other devices choose for themselves. Every other kind
of model runs as it does for images, by one thread.
"""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from sr.runtime.model_files import compile_ir, fixed_size, read_ir, wrong_size
from sr.runtime.upscalers import CPU, Upscaler, load_upscaler
from sr.upscale.video.upscale_frame import Network


def load_network(spec: str | Path, height: int, width: int, device: str = CPU) -> Network:
    """Load the model for a video.

    Args:
        spec: a model file or directory, as `load_upscaler` takes it.
        height: of the video's frames.
        width: of the video's frames.
        device: that an IR runs on.

    Raises:
        UserError: as `load_upscaler`.
    """
    path = Path(spec)
    path = path / "model.xml" if path.is_dir() and (path / "model.xml").is_file() else path
    if path.suffix == ".xml" and path.is_file():
        return StreamsNetwork(path, height, width, device)
    return ImageNetwork(load_upscaler(spec, device=device))


class ImageNetwork:
    """Any upscaler, one frame at a time."""

    workers = 1

    def __init__(self, upscaler: Upscaler) -> None:
        self.name, self.scale = upscaler.name, upscaler.scale
        self.color = upscaler.color
        self.bytes, self.levels = upscaler, upscaler.upscale_levels


class StreamsNetwork:
    """An IR of ours; on the CPU with a stream for each core."""

    def __init__(self, path: Path, height: int, width: int, device: str) -> None:
        from sr.runtime.openvino_runtime import check_device, openvino

        self._core, self._path, self._device = openvino.Core(), path, device
        check_device(self._core, device)
        model, metadata = read_ir(self._core, path)
        self.name, self.scale = f"{metadata.preset} openvino {metadata.precision}", metadata.scale
        self.color, self._precision = metadata.color, metadata.precision
        multiple, fixed = metadata.size_multiple, fixed_size(model)
        padded = (height + -height % multiple, width + -width % multiple)
        if fixed and padded != fixed:
            raise wrong_size(fixed, height, width, self.name)
        self._shape = (1, *padded, metadata.channels)
        self.workers = len(os.sched_getaffinity(0))
        self._compiled: dict[str, Any] = {}
        self._lock, self._local = threading.Lock(), threading.local()

    def bytes(self, lr_image: np.ndarray) -> np.ndarray:
        """Upscale uint8 HWC; the result is this thread's until its next call."""
        return self._run(lr_image, "bytes")

    def levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Upscale float32 HWC in levels; the result is this thread's until its next call."""
        return self._run(lr_image, "levels")

    def _run(self, lr_image: np.ndarray, face: str) -> np.ndarray:
        request = self._request(face)
        height, width = lr_image.shape[:2]
        place = request.get_input_tensor().data[0]  # (h, w, c), padded by repeating the edge
        place[:height, :width] = lr_image
        place[:height, width:] = lr_image[:, -1:]
        place[height:] = place[height - 1]
        request.infer()
        return request.get_output_tensor().data[0, : height * self.scale, : width * self.scale]

    def _request(self, face: str) -> Any:
        requests = self._local.__dict__.setdefault("requests", {})
        if face not in requests:
            with self._lock:
                if face not in self._compiled:
                    model = self._core.read_model(self._path)
                    if face == "levels":
                        from sr.runtime.float_graph import openvino_levels

                        model = openvino_levels(model, str(self._path))
                    model.reshape({"input": list(self._shape)})
                    self._compiled[face] = self._compile(model)
            requests[face] = self._compiled[face].create_infer_request()
        return requests[face]

    def _compile(self, model: Any) -> Any:
        from sr.runtime.openvino_runtime import DEVICES_CHOICE

        own = (
            {"streams": self.workers, "threads": self.workers}
            if self._device == CPU
            else {"streams": DEVICES_CHOICE}
        )
        return compile_ir(self._core, model, self._path, self._device, self._precision, **own)
