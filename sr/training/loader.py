"""From a selection to batches: DALI reads the tar shards, cuts and augments, and makes the low pictures.

Every augmentation moves pixels on their lattice or scales levels; none interpolates. The low picture is made
last, from the augmented high one with a margin around it, so that it is what the bicubic reduction of the
whole picture has at that place, edges included. It never converts levels into a network's values, and never
reads pixels itself.

The training stream is dealt in *lanes*, one for each micro batch of a step. A lane's batches depend on the
job and its number only, so a step sees the same pictures whether one rank carries all lanes or several share
them, and a run can go on with another number of ranks.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline
from torch import Tensor

from data.digests import number
from data.errors import UserError
from data.records import TrainingJob
from sr.selection import Split

SHUFFLE_BUFFER_SAMPLES = 1024
"""Encoded samples that all lanes together hold for shuffling; shards are shuffled when written, too."""
_MIN_LANE_BUFFER_SAMPLES = 64
_RIGHT_ANGLES = [90.0, 180.0, 270.0]
_READER = "reader"


@dataclasses.dataclass(frozen=True)
class Batch:
    """Pairs as the network takes them."""

    low: Tensor
    """uint8 [n,3,h,w] RGB, channels last in memory."""
    high: Tensor
    """uint8 [n,3,scale·h,scale·w] RGB, channels last in memory."""
    keys: tuple[str, ...]
    """Where each pair comes from: tar:offset:member, so that a bad one can be found."""


class TrainingStream:
    """An endless stream of augmented batches for one rank, whose position can be saved and taken up again."""

    def __init__(
        self,
        split: Split,
        job: TrainingJob,
        scale: int,
        size_multiple: int,
        lanes: Sequence[int],
        device: torch.device,
        threads: int,
        states: Mapping[int, bytes] | None = None,
    ) -> None:
        """Open the lanes of one rank.

        Args:
            split: the training split.
            job: patch, batch, seed and augmentation.
            scale: upsampling factor.
            size_multiple: the low side must be a multiple of it.
            lanes: this rank's lanes, each from 0 to `job.accumulation` - 1.
            device: where the batches shall be.
            threads: CPU threads for decoding, over all lanes.
            states: what `states` gave, by lane; None to begin at the beginning.

        Raises:
            UserError: patch, batch and split do not fit together.
        """
        _check_settings(job, scale * size_multiple, split)
        options = _machine(device, max(1, threads // len(lanes)))
        self._lanes: dict[int, Pipeline] = {}
        for lane in lanes:
            state = None if states is None else states[lane]
            seed = number("lane", job.seed, lane) % 2**31
            pictures = job.micro_batch // job.patches_per_picture
            options |= {"batch_size": pictures, "seed": seed, "checkpoint": state}
            self._lanes[lane] = _augmented_pairs(split, job, scale, lane, **options)
        for pipeline in self._lanes.values():
            pipeline.build()
        self._order = list(lanes)
        self._turn = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch: the lanes take turns, so a step is one round."""
        pipeline = self._lanes[self._order[self._turn]]
        self._turn = (self._turn + 1) % len(self._order)
        *pictures, sources = pipeline.run()
        tensors = [_to_torch(output) for output in pictures]
        keys = tuple(_text(sources.at(index)) for index in range(len(sources)))
        patches = len(tensors) // 2
        return Batch(torch.cat(tensors[1::2]), torch.cat(tensors[0::2]), keys * patches)

    def states(self) -> dict[int, bytes]:
        """Return the position of each lane; only between steps, when every lane has given as many batches.

        Raises:
            RuntimeError: a round is not over.
        """
        if self._turn:
            raise RuntimeError(
                "Expected the end of a step, got the middle in TrainingStream; finish the round first."
            )
        return {lane: pipeline.checkpoint() for lane, pipeline in self._lanes.items()}


class ValidationSet:
    """One rank's share of the validation pictures: whole, in order, not augmented, as often as wanted."""

    def __init__(
        self,
        split: Split,
        scale: int,
        size_multiple: int,
        batch: int,
        rank: int,
        ranks: int,
        device: torch.device,
        threads: int,
    ) -> None:
        """Open the share of a rank.

        Args:
            split: the validation split.
            scale: upsampling factor.
            size_multiple: the low side must be a multiple of it; the centre of the picture is cut to fit.
            batch: pictures at once, at most.
            rank: 0 to `ranks` - 1.
            ranks: how many share the split.
            device: where the batches shall be.
            threads: CPU threads for decoding.
        """
        # DALI deals ranges of samples in the same way.
        self.samples = split.samples * (rank + 1) // ranks - split.samples * rank // ranks
        longest = math.ceil(split.samples / ranks)
        batch = min(batch, longest)
        self._runs = math.ceil(longest / batch)
        options = _machine(device, threads)
        self._pipeline = _whole_pairs(
            split, scale, scale * size_multiple, rank, ranks, batch_size=batch, seed=0, **options
        )
        self._pipeline.build()
        self.first: Batch | None = None
        """The first batch, kept for showing once a pass has begun."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield each sample of the share once; a pass must be finished before the next begins."""
        left = self.samples
        # Padding makes every rank's pass as long as the longest, so the next begins at the beginning.
        for _ in range(self._runs):
            high, low, sources = self._pipeline.run()
            count = min(left, len(sources))
            if count:
                keys = tuple(_text(sources.at(index)) for index in range(count))
                batch = Batch(_to_torch(low)[:count], _to_torch(high)[:count], keys)
                self.first = self.first or batch
                yield batch
            left -= count


def _check_settings(job: TrainingJob, multiple_px: int, split: Split) -> None:
    """Make sure that patches can be cut and dealt as the job says.

    Raises:
        UserError: they cannot.
    """
    where = "the training settings"
    if job.patch_px % multiple_px or not 0 < job.patch_px <= split.crop_size_px:
        expected = (
            f"a patch of at most {split.crop_size_px} px, in multiples of {multiple_px} for this network"
        )
        raise UserError(expected, f"{job.patch_px} px", where, "change patch_px")
    patches = job.patches_per_picture
    if min(patches, job.micro_batch) < 1 or job.micro_batch % patches:
        expected = "a micro batch that is a multiple of the patches per picture"
        raise UserError(expected, f"{job.micro_batch} and {patches}", where, "change one of them")
    if split.samples < job.accumulation:
        expected = f"at least {job.accumulation} training samples, one for each micro batch of a step"
        raise UserError(
            expected, str(split.samples), "the selection", "lower accumulation, or select more samples"
        )


@pipeline_def(enable_checkpointing=True, prefetch_queue_depth=2)
def _augmented_pairs(split: Split, job: TrainingJob, scale: int, lane: int) -> tuple[DataNode, ...]:
    """high, low of the first patch (uint8 HWC), those of the next …, and the samples' places in the tars."""
    lane_samples = split.samples // job.accumulation
    buffer = max(SHUFFLE_BUFFER_SAMPLES // job.accumulation, _MIN_LANE_BUFFER_SAMPLES)
    encoded = _read(
        split, lane, job.accumulation, random_shuffle=True, initial_fill=max(1, min(buffer, lane_samples))
    )
    picture = _decode(encoded)
    # Two low pixels: as far as the antialiased cubic kernel of a patch's outermost pixels reaches.
    spare_px = (split.crop_size_px - job.patch_px) // 2
    margin_px = min(2, spare_px // scale) * scale
    outputs = []
    for _ in range(job.patches_per_picture):
        patch = _augment(_random_crop(picture, job.patch_px + 2 * margin_px), job)
        low = _reduce(patch, (job.patch_px + 2 * margin_px) // scale)
        outputs += [
            _inner(patch, margin_px, job.patch_px),
            _inner(low, margin_px // scale, job.patch_px // scale),
        ]
    return *outputs, fn.get_property(encoded, key="source_info")


@pipeline_def(prefetch_queue_depth=2)
def _whole_pairs(split: Split, scale: int, multiple_px: int, rank: int, ranks: int) -> tuple[DataNode, ...]:
    """high, low (uint8 HWC) of each picture in the order of the indexes, and its place in its tar."""
    encoded = _read(split, rank, ranks, stick_to_shard=True, pad_last_batch=True)
    side_px = split.crop_size_px // multiple_px * multiple_px
    high = fn.crop(_decode(encoded), crop=(side_px, side_px))
    return high, _reduce(high, side_px // scale), fn.get_property(encoded, key="source_info")


def _read(split: Split, lane: int, lanes: int, **options: Any) -> DataNode:
    return fn.readers.webdataset(
        paths=list(split.tars),
        index_paths=list(split.indexes),
        ext=[split.image_extension],
        missing_component_behavior="error",
        shard_id=lane,
        num_shards=lanes,
        name=_READER,
        **options,
    )


def _decode(encoded: DataNode) -> DataNode:
    on_gpu = Pipeline.current().device_id is not None
    return fn.decoders.image(encoded, device="mixed" if on_gpu else "cpu", output_type=types.RGB)


def _random_crop(picture: DataNode, side_px: int) -> DataNode:
    down, right = fn.random.uniform(range=(0.0, 1.0)), fn.random.uniform(range=(0.0, 1.0))
    return fn.crop(picture, crop=(side_px, side_px), crop_pos_y=down, crop_pos_x=right)


def _augment(picture: DataNode, job: TrainingJob) -> DataNode:
    """Rotate by right angles, flip left to right, change the brightness; each with its probability."""
    rotated = fn.random.coin_flip(probability=job.rotate_probability)
    # On a square, right angles with the nearest pixel only permute the pixels; a test holds that.
    angle = rotated * fn.random.uniform(values=_RIGHT_ANGLES)
    picture = fn.rotate(picture, angle=angle, interp_type=types.INTERP_NN, keep_size=True)
    picture = fn.flip(picture, horizontal=fn.random.coin_flip(probability=job.flip_probability))
    if job.brightness_probability == 0:
        return picture
    changed = fn.random.coin_flip(probability=job.brightness_probability)
    # From the unit range, which is never empty: the two limits may be equal.
    spread = job.brightness_max - job.brightness_min
    factor = job.brightness_min + spread * fn.random.uniform(range=(0.0, 1.0))
    return fn.brightness(picture, brightness=1.0 + changed * (factor - 1.0))


def _reduce(picture: DataNode, side_px: int) -> DataNode:
    """The antialiased bicubic reduction (a = -0.5), computed in float and rounded once to uint8."""
    return fn.resize(picture, size=(side_px, side_px), interp_type=types.INTERP_CUBIC, antialias=True)


def _inner(picture: DataNode, margin_px: int, side_px: int) -> DataNode:
    return picture[margin_px : margin_px + side_px, margin_px : margin_px + side_px]


def _machine(device: torch.device, threads: int) -> dict[str, Any]:
    return {"num_threads": threads, "device_id": device.index if device.type == "cuda" else None}


def _to_torch(output: Any) -> Tensor:
    """Copy a DALI output, [n,h,w,3], to a [n,3,h,w] tensor: DALI writes later batches over its own."""
    if hasattr(output, "as_cpu"):
        tensor = torch.from_dlpack(output.as_tensor()).clone()
    else:
        tensor = torch.from_numpy(np.array(output.as_tensor(), copy=True))
    return tensor.permute(0, 3, 1, 2)


def _text(characters: Any) -> str:
    return bytes(np.asarray(characters)).decode(errors="replace")
