"""From a selection to batches: pictures are read, patches cut and augmented, and the low pictures made.

It never converts levels into a network's values. What is done to a pair is `pairs` and `degradation`; who
reads the shards is a Reader. Here batches are put together, a little ahead of the trainer, by threads.

The training stream is dealt in *lanes*, one for each micro batch of a step. A lane's batches depend on the
job and its number only, so a step sees the same pictures whether one rank carries all lanes or several share
them, and a run can go on with another number of ranks.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from data.digests import number
from data.errors import UserError
from data.records import TrainingJob
from sr.selection import Split
from sr.training.degradation import Step, blur_reach_px, blur_sigma_px, degrade_low, parse_degradation
from sr.training.pairs import Draw, cut_batch, cut_pair, draw
from sr.training.readers import Load, Reader, open_reader
from sr.training.schedule import parse_stages, patch_px_at

POSITION_VERSION = 2
_JOBS_PER_THREAD = 4
_Pair = tuple[np.ndarray, np.ndarray]
_WHOLE = Draw(0.0, 0.0, 0, False, 1.0)


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
        total_steps: int = 0,
    ) -> None:
        """Open the lanes of one rank.

        Args:
            split: the training split.
            job: loader, patch, batch, seed, augmentation and degradation.
            scale: upsampling factor.
            size_multiple: the low side must be a multiple of it.
            lanes: this rank's lanes, each from 0 to `job.accumulation` - 1.
            device: where the batches shall be.
            threads: CPU threads for decoding, over all lanes, and as many for making pairs.
            states: what `states` gave, by lane; None to begin at the beginning.
            total_steps: steps of the whole run, which `job.patch_stages` shares out.

        Raises:
            UserError: patch, batch and split do not fit together, or a state is of another version.
        """
        _check_settings(job, scale * size_multiple, split)
        steps = parse_degradation(job.degradation)
        # A GPU decodes JPEG; pictures that OpenCV is to spoil are better decoded where they are needed.
        on_gpu = device.type == "cuda" and job.loader == "dali" and not steps
        pool = ThreadPoolExecutor(threads, "pairs")
        cv2.setNumThreads(1)  # OpenCV's own threads would compete with these
        self._lanes: dict[int, _Lane] = {}
        for lane in lanes:
            batch, position = (0, b"") if states is None else _read_state(states[lane])
            reader = open_reader(
                job.loader,
                split=split,
                lane=lane,
                lanes=job.accumulation,
                count=job.micro_batch // job.patches_per_picture,
                seed=number("lane", job.seed, lane) % 2**31,
                threads=max(1, threads // len(lanes)),
                batch=batch,
                position=position,
                device_id=device.index if on_gpu else None,
            )
            recipe = _Recipe(job, lane, scale, steps, total_steps)
            self._lanes[lane] = _Lane(reader, recipe, batch, position, device, pool, on_gpu)
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


class _Recipe:
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
        return [draw(self.job, self.lane, batch, place) for place in range(self.job.micro_batch)]

    def pair(self, picture: np.ndarray, batch: int, place: int) -> _Pair:
        """low, high (uint8 HWC) of one place in a batch."""
        chosen = draw(self.job, self.lane, batch, place)
        if not self._steps:
            return cut_pair(picture, chosen, self.patch_px(batch), self.scale)
        pair = (self.job.seed, self.lane, batch, place)
        sigma_px = blur_sigma_px(self._steps, *pair)
        low, high = cut_pair(picture, chosen, self.patch_px(batch), self.scale, sigma_px, self._reach_px)
        return degrade_low(low, self._steps, *pair), high


class _Lane:
    """One lane's batches; on the CPU the next one is made while the trainer works on the last."""

    def __init__(
        self,
        reader: Reader,
        recipe: _Recipe,
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
        self._ahead: Callable[[], Batch] | None = None

    def next(self) -> Batch:
        """Return the next batch."""
        if self._on_gpu:
            # Nothing runs ahead here but DALI and the GPU's own queue.
            batch = self._cut_on_gpu()
            self._given = (self._given[0] + 1, self._reader.position())
            return batch
        finish = self._ahead or self._begin(self._given[0])
        batch = finish()
        self._given = (self._given[0] + 1, self._reader.position())
        # Only now, since the reader may use its memory again for what is taken next.
        self._ahead = self._begin(self._given[0])
        return batch

    def state(self) -> bytes:
        """A line of JSON, then the reader's position."""
        batch, position = self._given
        return json.dumps({"version": POSITION_VERSION, "batch": batch}).encode() + b"\n" + position

    def _begin(self, batch: int) -> Callable[[], Batch]:
        """Set threads to work on a batch; return what waits for it."""
        job, loads = self._recipe.job, self._reader.take()
        return _make(
            loads,
            job.patches_per_picture,
            self._recipe.patch_px(batch),
            self._recipe.scale,
            lambda picture, place: self._recipe.pair(picture, batch, place),
            self._device,
            self._pool,
        )

    def _cut_on_gpu(self) -> Batch:
        batch = self._given[0]
        pictures, keys = self._reader.take_on_device()
        patch_px, scale = self._recipe.patch_px(batch), self._recipe.scale
        low, high = cut_batch(pictures, self._recipe.draws(batch), patch_px, scale)
        return Batch(low, high, keys * self._recipe.job.patches_per_picture)


def _make(
    loads: list[Load],
    patches: int,
    high_px: int,
    scale: int,
    pair: Callable[[np.ndarray, int], _Pair],
    device: torch.device,
    pool: ThreadPoolExecutor,
) -> Callable[[], Batch]:
    """Have a batch made by threads.

    Args:
        loads: its pictures.
        patches: pairs from each.
        high_px: side of the high pictures.
        scale: upsampling factor.
        pair: makes low and high of a picture and a place in the batch: picture i's are i, i + len(loads) …
        device: where the batch shall be.
        pool: the threads.

    Returns:
        What waits for the batch, and raises what went wrong.
    """
    pairs, pinned = len(loads) * patches, device.type == "cuda"
    low, high = (
        torch.empty((pairs, side, side, 3), dtype=torch.uint8, pin_memory=pinned)
        for side in (high_px // scale, high_px)
    )
    lows, highs = low.numpy(), high.numpy()

    def fill(first: int, end: int) -> list[str]:
        keys = []
        for at in range(first, end):
            picture, key = loads[at]()
            for place in range(at, pairs, len(loads)):
                lows[place], highs[place] = pair(picture, place)
            keys.append(key)
        return keys

    jobs = min(len(loads), _JOBS_PER_THREAD * pool._max_workers)
    bounds = [len(loads) * one // jobs for one in range(jobs + 1)]
    futures: list[Future[list[str]]] = [pool.submit(fill, *span) for span in itertools.pairwise(bounds)]

    def finish() -> Batch:
        keys = tuple(key for future in futures for key in future.result())
        tensors = (one.to(device, non_blocking=True).permute(0, 3, 1, 2) for one in (low, high))
        return Batch(*tensors, keys * patches)

    return finish


class ValidationSet:
    """One rank's share of the validation pictures: whole, in order, not augmented, as often as wanted.

    Their low pictures are degraded as those of training are, each always in the same way.
    """

    def __init__(
        self,
        split: Split,
        job: TrainingJob,
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
            job: loader, seed and degradation.
            scale: upsampling factor.
            size_multiple: the low side must be a multiple of it; the centre of the picture is cut to fit.
            batch: pictures at once, at most.
            rank: 0 to `ranks` - 1.
            ranks: how many share the split.
            device: where the batches shall be.
            threads: CPU threads for decoding.
        """
        # Readers deal ranges of samples in the same way.
        self._first = split.samples * rank // ranks
        self.samples = split.samples * (rank + 1) // ranks - self._first
        longest = math.ceil(split.samples / ranks)
        batch = min(batch, longest)
        self._runs = math.ceil(longest / batch)
        self._options: dict[str, Any] = {"split": split, "lane": rank, "lanes": ranks, "count": batch}
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

                def pair(picture: np.ndarray, place: int, begun: int = begun) -> _Pair:
                    return self._pair(picture, begun + place)

                finish = _make(loads, 1, self._side_px, self._scale, pair, self._device, self._pool)
                batch = finish()
                self.first = self.first or batch
                yield batch
            left -= len(loads)
        if self._job.loader == "torch":
            self._reader = open_reader("torch", **self._options)

    def _pair(self, picture: np.ndarray, sample: int) -> _Pair:
        """low, high of the centre of a picture; `sample` is its number in the split."""
        top, left = ((size - self._side_px) // 2 for size in picture.shape[:2])
        centre = picture[top : top + self._side_px, left : left + self._side_px]
        which = (self._job.seed, "validation", sample)
        sigma_px = blur_sigma_px(self._steps, *which)
        low, high = cut_pair(centre, _WHOLE, self._side_px, self._scale, sigma_px)
        return degrade_low(low, self._steps, *which), high


def _read_state(state: bytes) -> tuple[int, bytes]:
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
    patches = job.patches_per_picture
    if min(patches, job.micro_batch) < 1 or job.micro_batch % patches:
        expected = "a micro batch that is a multiple of the patches per picture"
        raise UserError(expected, f"{job.micro_batch} and {patches}", where, "change one of them")
    if split.samples < job.accumulation:
        expected = f"at least {job.accumulation} training samples, one for each micro batch of a step"
        raise UserError(
            expected, str(split.samples), "the selection", "lower accumulation, or select more samples"
        )
