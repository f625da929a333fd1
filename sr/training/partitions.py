"""One partition of the training stream: assembles its batches with threads, and tracks its position.

`pairs` and `degradation` make the pairs; a ShardReader reads the images. Partitions are independent of each other.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from data.errors import UserError
from sr.training.degradation import blur_radius_px, degrade_lr_image, draw_blur_sigma_px
from sr.training.degradation_parser import DegradationStep
from sr.training.job import TrainingJob
from sr.training.pairs import Augmentation, cut_batch, cut_pair, draw_augmentation
from sr.training.schedule import patch_px_at
from sr.training.shard_reader import DeviceReader, Image, LoadImage, ShardReader

POSITION_VERSION = 2
_JOBS_PER_THREAD = 4
Pair = tuple[Image, Image]
"""(lr_image, hr_image), uint8 HWC RGB."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Pairs in the form that the network takes."""

    lr_image: Tensor
    """uint8 [n,3,h,w] RGB, channels last in memory."""
    hr_image: Tensor
    """uint8 [n,3,scale·h,scale·w] RGB, channels last in memory."""
    keys: tuple[str, ...]
    """Where each pair comes from: tar:offset:member."""


class PairBuilder:
    """Builds the pairs of one partition. Each depends only on its batch, its index and the job."""

    def __init__(
        self,
        job: TrainingJob,
        partition: int,
        scale: int,
        steps: tuple[DegradationStep, ...],
        total_steps: int,
    ) -> None:
        self.job, self.partition, self.scale = job, partition, scale
        self._steps, self._blur_radius_px, self._total_steps = steps, blur_radius_px(steps), total_steps

    def patch_px(self, batch: int) -> int:
        """Return the side of the HR patches of a batch; each partition gives one batch per step."""
        return patch_px_at(self.job, batch, self._total_steps)

    def draw_augmentations(self, batch: int) -> list[Augmentation]:
        """Draw the random choices for each pair of a batch."""
        return [
            draw_augmentation(self.job, self.partition, batch, index)
            for index in range(self.job.micro_batch_size)
        ]

    def build(self, image: Image, batch: int, index: int) -> Pair:
        """Build the pair at one index of a batch: (lr_image, hr_image), uint8 HWC."""
        augmentation = draw_augmentation(self.job, self.partition, batch, index)
        if not self._steps:
            return cut_pair(image, augmentation, self.patch_px(batch), self.scale)
        number = (self.job.seed, self.partition, batch, index)
        sigma_px = draw_blur_sigma_px(self._steps, *number)
        lr_image, hr_image = cut_pair(
            image, augmentation, self.patch_px(batch), self.scale, sigma_px, self._blur_radius_px
        )
        return degrade_lr_image(lr_image, self._steps, *number), hr_image


class Partition:
    """The batches of one partition. On the CPU, the next one is assembled while the trainer uses the last."""

    def __init__(
        self,
        reader: ShardReader,
        builder: PairBuilder,
        batch: int,
        position: bytes,
        device: torch.device,
        pool: ThreadPoolExecutor,
        on_gpu: bool,
    ) -> None:
        """Start at a position.

        Args:
            reader: reads the images, from `position` on.
            builder: builds the pairs.
            batch: number of batches that were delivered before.
            position: the reader's position after them.
            device: where the batches go.
            pool: threads that build pairs.
            on_gpu: decode and cut on the GPU; the reader must be a DeviceReader.
        """
        self._reader, self._builder, self._device, self._pool = reader, builder, device, pool
        self._on_gpu = on_gpu
        self._delivered = (batch, position)
        """The number of delivered batches, and the position of the reader after them."""
        # One thread reads and coordinates the others, so that the trainer only has to wait for the result.
        self._coordinator = ThreadPoolExecutor(1, "partition")
        self._next_batch: Future[Batch] | None = None

    def next(self) -> Batch:
        """Return the next batch."""
        if self._on_gpu and isinstance(self._reader, DeviceReader):
            # Only DALI and the GPU's own queue run ahead here.
            batch = self._cut_on_gpu(self._reader)
            self._delivered = (self._delivered[0] + 1, self._reader.position())
            return batch
        future = self._next_batch or self._coordinator.submit(self._assemble, self._delivered[0])
        batch = future.result()
        self._delivered = (self._delivered[0] + 1, self._reader.position())
        # Not before: the reader may reuse its memory for the images it reads next.
        self._next_batch = self._coordinator.submit(self._assemble, self._delivered[0])
        return batch

    def position(self) -> bytes:
        """Return the position after the delivered batches: a line of JSON, then the reader's position."""
        batch, position = self._delivered
        return json.dumps({"version": POSITION_VERSION, "batch": batch}).encode() + b"\n" + position

    def _assemble(self, batch: int) -> Batch:
        """Read the images of a batch and have the threads build its pairs."""
        return make_batch(
            self._reader.read(),
            self._builder.job.patches_per_image,
            self._builder.patch_px(batch),
            self._builder.scale,
            lambda image, index: self._builder.build(image, batch, index),
            self._device,
            self._pool,
        )

    def _cut_on_gpu(self, reader: DeviceReader) -> Batch:
        batch = self._delivered[0]
        images, keys = reader.read_on_device()
        patch_px, scale = self._builder.patch_px(batch), self._builder.scale
        lr_image, hr_image = cut_batch(images, self._builder.draw_augmentations(batch), patch_px, scale)
        return Batch(lr_image, hr_image, keys * self._builder.job.patches_per_image)


def make_batch(
    images: list[LoadImage],
    patches_per_image: int,
    hr_px: int,
    scale: int,
    build_pair: Callable[[Image, int], Pair],
    device: torch.device,
    pool: ThreadPoolExecutor,
) -> Batch:
    """Assemble a batch with threads.

    Args:
        images: functions that load its images.
        patches_per_image: pairs from each image.
        hr_px: side of the HR images.
        scale: upscaling factor.
        build_pair: builds the pair at an index of the batch; image i has the indexes i, i + len(images) …
        device: where the batch goes.
        pool: the threads.
    """
    pairs, pinned = len(images) * patches_per_image, device.type == "cuda"
    lr_image, hr_image = (
        torch.empty((pairs, side, side, 3), dtype=torch.uint8, pin_memory=pinned)
        for side in (hr_px // scale, hr_px)
    )
    lr_images, hr_images = lr_image.numpy(), hr_image.numpy()

    def fill(first: int, end: int) -> list[str]:
        keys = []
        for number in range(first, end):
            image, key = images[number]()
            for index in range(number, pairs, len(images)):
                lr_images[index], hr_images[index] = build_pair(image, index)
            keys.append(key)
        return keys

    jobs = min(len(images), _JOBS_PER_THREAD * pool._max_workers)
    bounds = [len(images) * job // jobs for job in range(jobs + 1)]
    futures: list[Future[list[str]]] = [pool.submit(fill, *span) for span in itertools.pairwise(bounds)]
    keys = tuple(key for future in futures for key in future.result())
    lr_batch, hr_batch = (
        one.to(device, non_blocking=True).permute(0, 3, 1, 2) for one in (lr_image, hr_image)
    )
    return Batch(lr_batch, hr_batch, keys * patches_per_image)


def read_position(position: bytes) -> tuple[int, bytes]:
    """Return the number of delivered batches and the reader's position.

    Args:
        position: what `Partition.position` returned.

    Raises:
        UserError: another version of this program wrote it.
    """
    line, _, of_reader = position.partition(b"\n")
    try:
        fields = json.loads(line)
        if fields["version"] == POSITION_VERSION:
            return fields["batch"], of_reader
        found = f"version {fields['version']}"
    except (ValueError, KeyError, TypeError):
        found = "an older version"
    message = f"The checkpoint's data position has {found}, but this program reads version {POSITION_VERSION}"
    hint = "Resume with the version that started the run, or delete its checkpoints to start over"
    raise UserError(message, hint)
