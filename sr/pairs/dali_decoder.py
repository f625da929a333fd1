"""Decodes images with DALI, on the CPU, with its own threads."""

from typing import Any

import numpy as np
import numpy.typing as npt
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import pipeline_def

MAX_BATCH = 32


class DaliDecoder:
    """Decodes lists of images."""

    def __init__(self, num_threads: int) -> None:
        """Start the threads."""
        self._num_threads = num_threads
        self._pipeline = self._start()

    def __call__(self, encoded: list[bytes]) -> list[npt.NDArray[np.uint8] | None]:
        """Return the images as uint8 HWC RGB; None for one that DALI cannot decode."""
        decoded: list[npt.NDArray[np.uint8] | None] = []
        for first in range(0, len(encoded), MAX_BATCH):
            decoded += self._decode(encoded[first : first + MAX_BATCH])
        return decoded

    def _decode(self, encoded: list[bytes]) -> list[npt.NDArray[np.uint8] | None]:
        contents = [np.frombuffer(one, np.uint8) for one in encoded]
        try:
            (images,) = self._pipeline.run(encoded=contents)
        except RuntimeError:
            # A failure ends the pipeline. One image after the other, in a new one, finds out which image it was.
            self._pipeline = self._start()
            return [None] if len(encoded) == 1 else [self._decode([one])[0] for one in encoded]
        return [np.array(images.at(index)) for index in range(len(encoded))]

    def _start(self) -> Any:
        pipeline = _decoded(batch_size=MAX_BATCH, num_threads=self._num_threads, device_id=None)
        pipeline.build()  # type: ignore[no-untyped-call]  # DALI
        return pipeline


@pipeline_def(prefetch_queue_depth=1)
def _decoded() -> DataNode:
    """Define the pipeline: encoded images in, uint8 HWC RGB out."""
    encoded: Any = fn.external_source(name="encoded", dtype=types.DALIDataType.UINT8, ndim=1, no_copy=True)
    images: DataNode = fn.decoders.image(encoded, device="cpu", output_type=types.DALIImageType.RGB)
    return images
