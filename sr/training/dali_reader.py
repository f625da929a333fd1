"""The images of a split, read and decoded by DALI from the tar shards through their (filtered) indexes.

DALI decodes ahead in threads of its own and keeps the position of the shuffled stream. Nothing else is done
here: OpenCV and torch cut, turn and reduce on the CPU several times faster than DALI's operators do.
"""

from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline
from torch import Tensor

from data.errors import UserError
from data.imaging.decode import ImageFault, decode
from data.selection import Split
from sr.training.readers import Load
from sr.training.tar_reader import damaged

SHUFFLE_BUFFER_SAMPLES = 1024
"""Encoded samples that all lanes together hold for shuffling; shards are shuffled when written, too."""
_MIN_LANE_BUFFER_SAMPLES = 64
_AHEAD = 2
"""Batches that DALI decodes ahead."""


class DaliReader:
    """One lane's images: an endless shuffled stream, or in order; see `sr.training.readers.Reader`."""

    def __init__(
        self,
        split: Split,
        lane: int,
        lanes: int,
        count: int,
        seed: int | None,
        threads: int,
        batch: int = 0,
        position: bytes = b"",
        device_id: int | None = None,
    ) -> None:
        """Start reading.

        Args:
            split: what to read.
            lane: this one, 0 to `lanes` - 1.
            lanes: how many share the split, a range each; where it is shuffled the ranges go round.
            count: images at a time.
            seed: of the order; None for the order of the indexes, padded to the longest lane.
            threads: for decoding.
            batch: not needed here.
            position: what `position` gave, to go on from there.
            device_id: the GPU to decode on; None for the CPU.
        """
        self._options: dict[str, Any] = {
            "split": split,
            "lane": lane,
            "lanes": lanes,
            "shuffled": seed is not None,
        }
        self._options |= {"batch_size": count, "num_threads": threads, "seed": seed or 0, "device_id": None}
        self._position = position
        on_device = {"device_id": device_id, "checkpoint": position or None}
        self._pipeline = _images(decoded=True, **self._options | on_device)
        self._pipeline.build()

    def take(self) -> list[Load]:
        """Return what gives the next images; they lie in DALI's own memory until the next call."""
        images, keys = self._run()
        pixels = np.asarray(images.as_tensor())  # [n,h,w,3]

        def load_of(number: int) -> Load:
            return lambda: (pixels[number], keys[number])

        return [load_of(number) for number in range(len(keys))]

    def take_on_device(self) -> tuple[Tensor, tuple[str, ...]]:
        """Return the next images where they were decoded: uint8 [n,h,w,3], to be used before the next call."""
        # DALI may use the memory again as soon as the tensor is dropped, not only when the stream is done with it:
        # `cut_batch` waits for the stream after it has copied from there.
        images, keys = self._run()
        return torch.from_dlpack(images.as_tensor()), tuple(keys)

    def position(self) -> bytes:
        """Where the stream stands: a few hundred bytes."""
        return self._position

    def _run(self) -> tuple[Any, list[str]]:
        try:
            images, places = self._pipeline.run()
        except RuntimeError as error:
            raise self._diagnosis(error) from None
        self._position = self._pipeline.checkpoint()
        return images, [_text(places.at(number)) for number in range(len(places))]

    def _diagnosis(self, error: RuntimeError) -> UserError:
        """Find out which sample DALI stumbled over: read again from the last good position, without decoding."""
        again = _images(decoded=False, **self._options | {"checkpoint": self._position or None})
        try:
            again.build()
            for _ in range(_AHEAD + 2):
                contents, places = again.run()
                for number in range(len(places)):
                    content = bytes(np.asarray(contents.at(number)))
                    tar, offset, member = _text(places.at(number)).rsplit(":", 2)
                    try:
                        decode(content)
                    except ImageFault as fault:
                        return damaged(tar, f"{member} at {offset}", f"what is {fault}")
        except RuntimeError as second:
            error = second
        first = str(error).strip().splitlines()
        told = next((line for line in first if "rror" in line and "Critical" not in line), first[-1])
        shards = ", ".join(self._options["split"].tars)
        remedy = "run VerifyDataset on the selection's datasets"
        return UserError("shards that DALI can read", told, f"one of {shards}", remedy)


@pipeline_def(enable_checkpointing=True, prefetch_queue_depth=_AHEAD)
def _images(split: Split, lane: int, lanes: int, shuffled: bool, decoded: bool) -> tuple[DataNode, ...]:
    """The images (uint8 HWC; encoded, where they are not to be decoded), and their places in the tars."""
    buffer = max(SHUFFLE_BUFFER_SAMPLES // lanes, _MIN_LANE_BUFFER_SAMPLES)
    order = (
        {"random_shuffle": True, "initial_fill": max(1, min(buffer, split.samples // lanes))}
        if shuffled
        else {"stick_to_shard": True, "pad_last_batch": True}
    )
    encoded = fn.readers.webdataset(
        paths=list(split.tars),
        index_paths=list(split.indexes),
        ext=[split.image_extension],
        missing_component_behavior="error",
        shard_id=lane,
        num_shards=lanes,
        name="reader",
        **order,
    )
    places = fn.get_property(encoded, key="source_info", name="places")
    if not decoded:
        # Under the decoder's name, so that a position of the one pipeline is one of the other.
        return fn.copy(encoded, name="images"), places
    device = "cpu" if Pipeline.current().device_id is None else "mixed"
    return fn.decoders.image(encoded, device=device, output_type=types.RGB, name="images"), places


def _text(characters: Any) -> str:
    return bytes(np.asarray(characters)).decode(errors="replace")
