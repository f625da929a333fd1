"""From a selection to batches: images are read, patches cut and augmented, and the LR images made.

It never converts levels into a network's values. Batches are put together in `lanes`, a little ahead of the
trainer; here lanes and readers are opened, and the validation images gone through.

The training stream is dealt in *lanes*, one for each micro batch of a step. A lane's batches depend on the
job and its number only, so a step sees the same images whether one rank carries all lanes or several share
them, and a run can go on with another number of ranks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch

from data.errors import UserError
from data.hashing import number
from data.records import TrainingJob
from data.selection import Split
from sr.training.degradation import blur_sigma_px, degrade_low
from sr.training.degradation_parser import parse_degradation
from sr.training.pairs import Draw, cut_pair
from sr.training.partitions import Batch, Lane, Pair, Recipe, make_batch, read_state
from sr.training.readers import open_reader
from sr.training.schedule import parse_stages

_WHOLE = Draw(0.0, 0.0, 0, False, 1.0)


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
        total_steps: int = 0,
    ) -> None:
        """Open the lanes of one rank.

        Args:
            split: the training split.
            job: loader, patch, batch, seed, augmentation and degradation.
            scale: upsampling factor.
            size_multiple: the low side must be a multiple of it.
            lanes: this rank's lanes, each from 0 to `job.gradient_accumulation_steps` - 1.
            device: where the batches shall be.
            threads: CPU threads for decoding, over all lanes, and as many for making pairs.
            states: what `states` gave, by lane; None to begin at the beginning.
            total_steps: steps of the whole run, which `job.patch_stages` shares out.

        Raises:
            UserError: patch, batch and split do not fit together, or a state is of another version.
        """
        _check_settings(job, scale * size_multiple, split)
        steps = parse_degradation(job.degradation)
        # A GPU decodes JPEG; images that OpenCV is to spoil are better decoded where they are needed.
        on_gpu = device.type == "cuda" and job.loader == "dali" and not steps
        pool = ThreadPoolExecutor(threads, "pairs")
        cv2.setNumThreads(1)  # OpenCV's own threads would compete with these
        self._lanes: dict[int, Lane] = {}
        for lane in lanes:
            batch, position = (0, b"") if states is None else read_state(states[lane])
            reader = open_reader(
                job.loader,
                split=split,
                lane=lane,
                lanes=job.gradient_accumulation_steps,
                count=job.micro_batch_size // job.patches_per_image,
                seed=number("lane", job.seed, lane) % 2**31,
                threads=max(1, threads // len(lanes)),
                batch=batch,
                position=position,
                device_id=device.index if on_gpu else None,
            )
            recipe = Recipe(job, lane, scale, steps, total_steps)
            self._lanes[lane] = Lane(reader, recipe, batch, position, device, pool, on_gpu)
        self._order = list(lanes)
        self._turn = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch: the lanes take turns, so a step is one round."""
        lane = self._lanes[self._order[self._turn]]
        batch = lane.next()
        self._turn = (self._turn + 1) % len(self._order)
        return batch

    def states(self) -> dict[int, bytes]:
        """Return the position of each lane; only between steps, when every lane has given as many batches.

        Raises:
            RuntimeError: a round is not over.
        """
        if self._turn:
            raise RuntimeError(
                "Expected the end of a step, got the middle in TrainingStream; finish the round first."
            )
        return {lane: one.state() for lane, one in self._lanes.items()}


class ValidationSet:
    """One rank's share of the validation images: whole, in order, not augmented, as often as wanted.

    Their LR images are degraded as those of training are, each always in the same way.
    """

    def __init__(
        self,
        split: Split,
        job: TrainingJob,
        scale: int,
        size_multiple: int,
        batch: int,
        rank: int,
        world_size: int,
        device: torch.device,
        threads: int,
    ) -> None:
        """Open the share of a rank.

        Args:
            split: the validation split.
            job: loader, seed and degradation.
            scale: upsampling factor.
            size_multiple: the low side must be a multiple of it; the center of the image is cut to fit.
            batch: images at once, at most.
            rank: 0 to `world_size` - 1.
            ranks: how many share the split.
            device: where the batches shall be.
            threads: CPU threads for decoding.

        Raises:
            UserError: there are fewer samples than ranks.
        """
        if split.samples < world_size:
            expected = f"at least {world_size} validation samples, one for each rank"
            raise UserError(expected, str(split.samples), "the selection", "select more, or lower ranks")
        # Readers deal ranges of samples in the same way.
        self._first = split.samples * rank // world_size
        self.samples = split.samples * (rank + 1) // world_size - self._first
        longest = math.ceil(split.samples / world_size)
        batch = min(batch, longest)
        self._runs = math.ceil(longest / batch)
        self._options: dict[str, Any] = {"split": split, "lane": rank, "lanes": world_size, "count": batch}
        self._options |= {"seed": None, "threads": threads}
        self._job, self._scale, self._device = job, scale, device
        self._steps = parse_degradation(job.degradation)
        multiple_px = scale * size_multiple
        self._side_px = split.crop_size_px // multiple_px * multiple_px
        self._pool = ThreadPoolExecutor(threads, "validation")
        self._reader = open_reader(job.loader, **self._options)
        self.first: Batch | None = None
        """The first batch, kept for showing once a pass has begun."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield each sample of the share once; a pass must be finished before the next begins."""
        left = self.samples
        # Padding makes every rank's pass as long as the longest, so the next begins at the beginning.
        for _ in range(self._runs):
            loads, begun = self._reader.take(), self._first + self.samples - left
            if loads := loads[: max(left, 0)]:

                def pair(image: np.ndarray, place: int, begun: int = begun) -> Pair:
                    return self._pair(image, begun + place)

                finish = make_batch(loads, 1, self._side_px, self._scale, pair, self._device, self._pool)
                batch = finish()
                self.first = self.first or batch
                yield batch
            left -= len(loads)
        if self._job.loader == "torch":
            self._reader = open_reader("torch", **self._options)

    def _pair(self, image: np.ndarray, sample: int) -> Pair:
        """low, high of the center of an image; `sample` is its number in the split."""
        top, left = ((size - self._side_px) // 2 for size in image.shape[:2])
        center = image[top : top + self._side_px, left : left + self._side_px]
        which = (self._job.seed, "validation", sample)
        sigma_px = blur_sigma_px(self._steps, *which)
        lr_image, hr_image = cut_pair(center, _WHOLE, self._side_px, self._scale, sigma_px)
        return degrade_low(lr_image, self._steps, *which), hr_image


def _check_settings(job: TrainingJob, multiple_px: int, split: Split) -> None:
    """Make sure that patches can be cut and dealt as the job says.

    Raises:
        UserError: they cannot.
    """
    where = "the training settings"
    names = {px: "patch_stages" for px, _ in parse_stages(job.patch_stages)} | {job.patch_px: "patch_px"}
    for patch_px, setting in names.items():
        if patch_px % multiple_px or not 0 < patch_px <= split.crop_size_px:
            expected = (
                f"a patch of at most {split.crop_size_px} px, in multiples of {multiple_px} for this network"
            )
            raise UserError(expected, f"{patch_px} px", where, f"change {setting}")
    if split.samples < job.gradient_accumulation_steps:
        expected = (
            f"at least {job.gradient_accumulation_steps} training samples, one for each micro batch of a step"
        )
        raise UserError(
            expected,
            str(split.samples),
            "the selection",
            "lower gradient_accumulation_steps, or select more samples",
        )
