"""Reads and decodes the images of a split with DALI, from the tar shards through their (filtered) indexes.

DALI decodes ahead in its own threads and tracks the position in the shuffled stream. Cropping, rotating and downscaling
are left to OpenCV and torch, which do them several times faster on a CPU than DALI's operators.
"""

from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, pipeline_def
from torch import Tensor

from data.errors import UserError
from data.imaging.decode import ImageFault, decode
from data.selection import Split
from sr.training.shard_reader import LoadImage, damaged_sample

SHUFFLE_BUFFER_SAMPLES = 1024
"""Encoded samples in the shuffle buffers of all partitions together; packing has shuffled the shards already."""
_MIN_PARTITION_BUFFER_SAMPLES = 64
_PREFETCH_BATCHES = 2
"""Batches that DALI decodes ahead."""


class DaliReader:
    """Reads the images of one partition, shuffled without end or in order; see `sr.training.shard_reader`."""

    def __init__(
        self,
        split: Split,
        partition: int,
        num_partitions: int,
        images_per_batch: int,
        seed: int | None,
        num_threads: int,
        first_batch: int = 0,
        position: bytes = b"",
        device_id: int | None = None,
    ) -> None:
        """Start reading.

        Args:
            split: what to read.
            partition: this partition, 0 to `num_partitions` - 1.
            num_partitions: the split is divided into this many ranges; a shuffled partition visits them in turn.
            images_per_batch: number of images that `read` returns.
            seed: seed of the order. None: the order of the indexes, padded to the longest partition.
            num_threads: threads for decoding.
            first_batch: ignored; the position says it.
            position: a value that `position` returned, to continue from there.
            device_id: the GPU to decode on; None for the CPU.
        """
        self._options: dict[str, Any] = {
            "split": split,
            "partition": partition,
            "num_partitions": num_partitions,
            "shuffled": seed is not None,
            "batch_size": images_per_batch,
            "num_threads": num_threads,
            "seed": seed or 0,
            "device_id": None,
        }
        self._position = position
        on_device = {"device_id": device_id, "checkpoint": position or None}
        self._pipeline = _images(decoded=True, **self._options | on_device)
        self._pipeline.build()  # type: ignore[no-untyped-call]  # DALI

    def read(self) -> list[LoadImage]:
        """Return functions that give the next images, which lie in DALI's own memory until the next call."""
        images, locations = self._run()
        pixels = np.asarray(images.as_tensor())  # [n,h,w,3]

        def loader_of(index: int) -> LoadImage:
            return lambda: (pixels[index], locations[index])

        return [loader_of(index) for index in range(len(locations))]

    def read_on_device(self) -> tuple[Tensor, tuple[str, ...]]:
        """Return the next images where they were decoded, valid until the next call: uint8 [n,h,w,3]."""
        # DALI may reuse the memory as soon as the tensor is dropped, even if the stream still needs it:
        # `cut_batch` waits for the stream after it has copied from there.
        images, locations = self._run()
        return torch.utils.dlpack.from_dlpack(images.as_tensor()), tuple(locations)

    def position(self) -> bytes:
        """Return the position in the stream: a few hundred bytes."""
        return self._position

    def _run(self) -> tuple[Any, list[str]]:
        try:
            images, places = self._pipeline.run()
        except RuntimeError as error:
            raise self._diagnose(error) from None
        self._position = self._pipeline.checkpoint()  # type: ignore[no-untyped-call]  # DALI
        return images, [_text(places.at(index)) for index in range(len(places))]

    def _diagnose(self, error: RuntimeError) -> UserError:
        """Find the sample that DALI failed on: read again from the last good position, without decoding."""
        again = _images(decoded=False, **self._options | {"checkpoint": self._position or None})
        try:
            again.build()  # type: ignore[no-untyped-call]  # DALI
            for _ in range(_PREFETCH_BATCHES + 2):
                contents, places = again.run()
                for index in range(len(places)):
                    content = bytes(np.asarray(contents.at(index)))
                    tar, offset, member = _text(places.at(index)).rsplit(":", 2)
                    try:
                        decode(content)
                    except ImageFault as fault:
                        return damaged_sample(
                            tar, f"{member} at offset {offset}", f"does not decode ({fault})"
                        )
        except RuntimeError as second:
            error = second
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if "rror" in line and "Critical" not in line), lines[-1])
        message = f"DALI cannot read one of the shards {', '.join(self._options['split'].tars)}: {reason}"
        return UserError(message, "Run VerifyDataset on the datasets of the selection")


@pipeline_def(enable_checkpointing=True, prefetch_queue_depth=_PREFETCH_BATCHES)
def _images(
    split: Split, partition: int, num_partitions: int, shuffled: bool, decoded: bool
) -> tuple[DataNode, ...]:
    """Define the pipeline: the images (uint8 HWC, or encoded unless `decoded`) and their locations in the tars."""
    buffer = max(SHUFFLE_BUFFER_SAMPLES // num_partitions, _MIN_PARTITION_BUFFER_SAMPLES)
    order = (
        {"random_shuffle": True, "initial_fill": max(1, min(buffer, split.samples // num_partitions))}
        if shuffled
        else {"stick_to_shard": True, "pad_last_batch": True}
    )
    encoded: Any = fn.readers.webdataset(
        paths=list(split.tars),
        index_paths=list(split.indexes),
        ext=[split.image_extension],
        missing_component_behavior="error",
        shard_id=partition,
        num_shards=num_partitions,
        name="reader",
        **order,
    )
    places = fn.get_property(encoded, key="source_info", name="places")
    if not decoded:
        # Named like the decoder, so that a position of one pipeline is valid in the other.
        return fn.copy(encoded, name="images"), places
    device = "cpu" if Pipeline.current().device_id is None else "mixed"  # type: ignore[no-untyped-call]  # DALI
    rgb = types.DALIImageType.RGB
    return fn.decoders.image(encoded, device=device, output_type=rgb, name="images"), places


def _text(characters: Any) -> str:
    return bytes(np.asarray(characters)).decode(errors="replace")
