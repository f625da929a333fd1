"""One lane of the training stream: its batches in turn, put together by threads, and its position.

What is done to a pair is `pairs` and `degradation`; who reads the shards is a Reader. It knows no other lane.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from data.errors import UserError
from data.records import TrainingJob
from sr.training.degradation import blur_reach_px, blur_sigma_px, degrade_low
from sr.training.degradation_parser import Step
from sr.training.pairs import Draw, cut_batch, cut_pair, draw
from sr.training.readers import Load, Reader
from sr.training.schedule import patch_px_at

POSITION_VERSION = 2
_JOBS_PER_THREAD = 4
Pair = tuple[np.ndarray, np.ndarray]
"""low, high: uint8 HWC RGB."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Pairs as the network takes them."""

    lr_image: Tensor
    """uint8 [n,3,h,w] RGB, channels last in memory."""
    hr_image: Tensor
    """uint8 [n,3,scale·h,scale·w] RGB, channels last in memory."""
    keys: tuple[str, ...]
    """Where each pair comes from: tar:offset:member, so that a bad one can be found."""


class Recipe:
    """How the pairs of one lane are made: functions of their numbers alone."""

    def __init__(
        self, job: TrainingJob, lane: int, scale: int, steps: tuple[Step, ...], total_steps: int
    ) -> None:
        self.job, self.lane, self.scale = job, lane, scale
        self._steps, self._reach_px, self._total_steps = steps, blur_reach_px(steps), total_steps

    def patch_px(self, batch: int) -> int:
        """The side of the high patches of a batch: each lane gives one batch a step."""
        return patch_px_at(self.job, batch, self._total_steps)

    def draws(self, batch: int) -> list[Draw]:
        """Chance's part in each pair of a batch."""
        return [draw(self.job, self.lane, batch, place) for place in range(self.job.micro_batch_size)]

    def pair(self, image: np.ndarray, batch: int, place: int) -> Pair:
        """low, high (uint8 HWC) of one place in a batch."""
        chosen = draw(self.job, self.lane, batch, place)
        if not self._steps:
            return cut_pair(image, chosen, self.patch_px(batch), self.scale)
        pair = (self.job.seed, self.lane, batch, place)
        sigma_px = blur_sigma_px(self._steps, *pair)
        lr_image, hr_image = cut_pair(
            image, chosen, self.patch_px(batch), self.scale, sigma_px, self._reach_px
        )
        return degrade_low(lr_image, self._steps, *pair), hr_image


class Lane:
    """One lane's batches; on the CPU the next one is made while the trainer works on the last."""

    def __init__(
        self,
        reader: Reader,
        recipe: Recipe,
        batch: int,
        position: bytes,
        device: torch.device,
        pool: ThreadPoolExecutor,
        on_gpu: bool,
    ) -> None:
        self._reader, self._recipe, self._device, self._pool = reader, recipe, device, pool
        self._on_gpu = on_gpu
        self._given = (batch, position)
        """The number of batches that were given away, and where the reader stood then."""
        # One thread sees to the reader and to the work of the others, so that the trainer only ever fetches.
        self._foreman = ThreadPoolExecutor(1, "lane")
        self._ahead: Future[Batch] | None = None

    def next(self) -> Batch:
        """Return the next batch."""
        if self._on_gpu:
            # Nothing runs ahead here but DALI and the GPU's own queue.
            batch = self._cut_on_gpu()
            self._given = (self._given[0] + 1, self._reader.position())
            return batch
        ahead = self._ahead or self._foreman.submit(self._make, self._given[0])
        batch = ahead.result()
        self._given = (self._given[0] + 1, self._reader.position())
        # Only now, since the reader may use its memory again for what is taken next.
        self._ahead = self._foreman.submit(self._make, self._given[0])
        return batch

    def state(self) -> bytes:
        """A line of JSON, then the reader's position."""
        batch, position = self._given
        return json.dumps({"version": POSITION_VERSION, "batch": batch}).encode() + b"\n" + position

    def _make(self, batch: int) -> Batch:
        """Read a batch's images and have threads put it together."""
        job, loads = self._recipe.job, self._reader.take()
        return make_batch(
            loads,
            job.patches_per_image,
            self._recipe.patch_px(batch),
            self._recipe.scale,
            lambda image, place: self._recipe.pair(image, batch, place),
            self._device,
            self._pool,
        )()

    def _cut_on_gpu(self) -> Batch:
        batch = self._given[0]
        images, keys = self._reader.take_on_device()
        patch_px, scale = self._recipe.patch_px(batch), self._recipe.scale
        lr_image, hr_image = cut_batch(images, self._recipe.draws(batch), patch_px, scale)
        return Batch(lr_image, hr_image, keys * self._recipe.job.patches_per_image)


def make_batch(
    loads: list[Load],
    patches: int,
    hr_image_px: int,
    scale: int,
    pair: Callable[[np.ndarray, int], Pair],
    device: torch.device,
    pool: ThreadPoolExecutor,
) -> Callable[[], Batch]:
    """Have a batch made by threads.

    Args:
        loads: its images.
        patches: pairs from each.
        hr_image_px: side of the HR images.
        scale: upsampling factor.
        pair: makes low and high of an image and a place in the batch: image i's are i, i + len(loads) …
        device: where the batch shall be.
        pool: the threads.

    Returns:
        What waits for the batch, and raises what went wrong.
    """
    pairs, pinned = len(loads) * patches, device.type == "cuda"
    lr_image, hr_image = (
        torch.empty((pairs, side, side, 3), dtype=torch.uint8, pin_memory=pinned)
        for side in (hr_image_px // scale, hr_image_px)
    )
    lr_images, hr_images = lr_image.numpy(), hr_image.numpy()

    def fill(first: int, end: int) -> list[str]:
        keys = []
        for at in range(first, end):
            image, key = loads[at]()
            for place in range(at, pairs, len(loads)):
                lr_images[place], hr_images[place] = pair(image, place)
            keys.append(key)
        return keys

    jobs = min(len(loads), _JOBS_PER_THREAD * pool._max_workers)
    bounds = [len(loads) * one // jobs for one in range(jobs + 1)]
    futures: list[Future[list[str]]] = [pool.submit(fill, *span) for span in itertools.pairwise(bounds)]

    def finish() -> Batch:
        keys = tuple(key for future in futures for key in future.result())
        tensors = (one.to(device, non_blocking=True).permute(0, 3, 1, 2) for one in (lr_image, hr_image))
        return Batch(*tensors, keys * patches)

    return finish


def read_state(state: bytes) -> tuple[int, bytes]:
    """Return the number of batches and the reader's position.

    Raises:
        UserError: it is not of this version.
    """
    line, _, position = state.partition(b"\n")
    try:
        plain = json.loads(line)
        if plain["version"] == POSITION_VERSION:
            return plain["batch"], position
        found = f"version {plain['version']}"
    except (ValueError, KeyError, TypeError):
        found = "one of an older version"
    raise UserError(
        f"a loader's position of version {POSITION_VERSION}",
        found,
        "the state of the training run",
        "go on with the program's version that began the run, or delete its checkpoints to begin anew",
    )
