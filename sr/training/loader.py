"""Turns a selection into batches: opens the training stream and iterates over the validation images.

The training stream is divided into *partitions*, one for each micro-batch of a step. The batches of a partition depend
only on the job and the partition's number. So a step sees the same images whether one rank reads all partitions or
several ranks share them, and a run can resume with another number of ranks. `partitions` assembles the batches; levels
are converted to a network's values elsewhere.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import torch

from data.errors import UserError
from data.hashing import number
from data.selection import Split
from sr.training.degradation import degrade_lr_image, draw_blur_sigma_px
from sr.training.degradation_parser import DegradationStep, parse_degradation
from sr.training.job import TrainingJob
from sr.training.pairs import Augmentation, cut_pair
from sr.training.partitions import Batch, Pair, PairBuilder, Partition, make_batch, read_position
from sr.training.readers import open_reader
from sr.training.schedule import parse_stages
from sr.training.shard_reader import Image

_UNCHANGED = Augmentation(0.0, 0.0, 0, False, 1.0)


class TrainingStream:
    """An endless stream of augmented batches for one rank, whose position can be saved and restored."""

    def __init__(
        self,
        split: Split,
        job: TrainingJob,
        scale: int,
        size_multiple: int,
        partitions: Sequence[int],
        device: torch.device,
        num_workers: int,
        positions: Mapping[int, bytes] | None = None,
        total_steps: int = 0,
    ) -> None:
        """Open the partitions of one rank.

        Args:
            split: the training split.
            job: loader, patch, batch, seed, augmentation and degradation.
            scale: upscaling factor.
            size_multiple: the side of the LR patches must be a multiple of it.
            partitions: this rank's partitions, each from 0 to `job.gradient_accumulation_steps` - 1.
            device: where the batches go.
            num_workers: threads for decoding, over all partitions; as many more build the pairs.
            positions: what `positions` returned; None to start at the beginning.
            total_steps: steps of the whole run, which `job.patch_stages` divides.

        Raises:
            UserError: patch, batch and split do not fit together, or another version wrote a position.
        """
        _check_settings(job, scale * size_multiple, split)
        self._split, self._job, self._scale, self._device = split, job, scale, device
        self._pool = ThreadPoolExecutor(num_workers, "pairs")
        self._threads_per_reader = max(1, num_workers // len(partitions))
        cv2.setNumThreads(1)  # OpenCV's own threads would compete with these
        steps = parse_degradation(job.degradation)
        saved = {} if positions is None else {partition: positions[partition] for partition in partitions}
        self._partitions = {
            partition: self._open(partition, saved.get(partition), steps, total_steps)
            for partition in partitions
        }
        self._order = list(partitions)
        self._turn = 0

    def _open(
        self,
        partition: int,
        saved: bytes | None,
        steps: tuple[DegradationStep, ...],
        total_steps: int,
    ) -> Partition:
        """Open a partition at its saved position."""
        job, device = self._job, self._device
        # A GPU decodes JPEG; images that OpenCV degrades are better decoded on the CPU.
        on_gpu = device.type == "cuda" and job.loader == "dali" and not steps
        batch, position = (0, b"") if saved is None else read_position(saved)
        reader = open_reader(
            job.loader,
            split=self._split,
            partition=partition,
            num_partitions=job.gradient_accumulation_steps,
            images_per_batch=job.micro_batch_size // job.patches_per_image,
            seed=number("lane", job.seed, partition) % 2**31,  # words: ok
            num_threads=self._threads_per_reader,
            first_batch=batch,
            position=position,
            device_id=device.index if on_gpu else None,
        )
        builder = PairBuilder(job, partition, self._scale, steps, total_steps)
        return Partition(reader, builder, batch, position, device, self._pool, on_gpu)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch. The partitions take turns, so one round is one step."""
        batch = self._partitions[self._order[self._turn]].next()
        self._turn = (self._turn + 1) % len(self._order)
        return batch

    def positions(self) -> dict[int, bytes]:
        """Return the position of each partition. Call it only between steps.

        Raises:
            RuntimeError: the step is not complete.
        """
        if self._turn:
            raise RuntimeError(
                "TrainingStream is in the middle of a step; finish it before saving positions."
            )
        return {partition: opened.position() for partition, opened in self._partitions.items()}


class ValidationSet:
    """One rank's share of the validation images: whole, in order and not augmented. It can be iterated repeatedly.

    The LR images are degraded like those of training, but the same way in each pass.
    """

    def __init__(
        self,
        split: Split,
        job: TrainingJob,
        scale: int,
        size_multiple: int,
        batch_size: int,
        rank: int,
        world_size: int,
        device: torch.device,
        num_workers: int,
    ) -> None:
        """Open the share of a rank.

        Args:
            split: the validation split.
            job: loader, seed and degradation.
            scale: upscaling factor.
            size_multiple: the side of the LR images is cut to a multiple of it, around the center.
            batch_size: maximum number of images per batch.
            rank: 0 to `world_size` - 1.
            world_size: number of ranks that share the split.
            device: where the batches go.
            num_workers: threads for decoding.

        Raises:
            UserError: there are fewer samples than ranks.
        """
        _check_samples(split, world_size)
        # Readers divide the samples into the same ranges.
        self._first = split.samples * rank // world_size
        self.samples = split.samples * (rank + 1) // world_size - self._first
        longest = math.ceil(split.samples / world_size)
        batch_size = min(batch_size, longest)
        self._batches = math.ceil(longest / batch_size)
        self._options: dict[str, Any] = {"split": split, "partition": rank, "num_partitions": world_size}
        self._options |= {"images_per_batch": batch_size, "seed": None, "num_threads": num_workers}
        self._job, self._scale, self._device = job, scale, device
        self._steps = parse_degradation(job.degradation)
        multiple_px = scale * size_multiple
        self._side_px = split.crop_size_px // multiple_px * multiple_px
        self._pool = ThreadPoolExecutor(num_workers, "validation")
        self._reader = open_reader(job.loader, **self._options)
        self.first: Batch | None = None
        """The first batch, kept for display once a pass has begun."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield each sample of the share once. A pass must be finished before the next begins."""
        left = self.samples
        # Padding makes every rank's pass as long as the longest, so the next one begins at the first image.
        for _ in range(self._batches):
            images, start = self._reader.read(), self._first + self.samples - left
            if images := images[: max(left, 0)]:

                def build_pair(image: Image, index: int, start: int = start) -> Pair:
                    return self._build_pair(image, start + index)

                batch = make_batch(
                    images, 1, self._side_px, self._scale, build_pair, self._device, self._pool
                )
                self.first = self.first or batch
                yield batch
            left -= len(images)
        if self._job.loader == "torch":
            self._reader = open_reader("torch", **self._options)

    def _build_pair(self, image: Image, sample: int) -> Pair:
        """Return (lr_image, hr_image) of the center of an image; `sample` is its number in the split."""
        top, left = ((size - self._side_px) // 2 for size in image.shape[:2])
        center = image[top : top + self._side_px, left : left + self._side_px]
        identity = (self._job.seed, "validation", sample)
        sigma_px = draw_blur_sigma_px(self._steps, *identity)
        lr_image, hr_image = cut_pair(center, _UNCHANGED, self._side_px, self._scale, sigma_px)
        return degrade_lr_image(lr_image, self._steps, *identity), hr_image


def _check_samples(split: Split, world_size: int) -> None:
    if split.samples < world_size:
        message = f"The selection has {split.samples} validation samples, too few for {world_size} ranks"
        raise UserError(message, "Select more samples, or lower [training] world_size")


def _check_settings(job: TrainingJob, multiple_px: int, split: Split) -> None:
    """Check that patches of the job can be cut from the split's crops and shared among the micro-batches.

    Raises:
        UserError: they cannot.
    """
    settings = {px: "patch_stages" for px, _ in parse_stages(job.patch_stages)} | {job.patch_px: "patch_px"}
    for patch_px, setting in settings.items():
        if patch_px % multiple_px or not 0 < patch_px <= split.crop_size_px:
            message = (
                f"[training] {setting} has a patch of {patch_px} px, but this network and selection need a multiple "
                f"of {multiple_px} px, at most {split.crop_size_px} px"
            )
            raise UserError(message, f"Change {setting}")
    if split.samples < job.gradient_accumulation_steps:
        message = (
            f"The selection has {split.samples} training samples, too few for the "
            f"{job.gradient_accumulation_steps} micro-batches of a step"
        )
        raise UserError(message, "Lower gradient_accumulation_steps, or select more samples")
