"""The batches of one rank: training pairs by step, and the validation images.

The path of a pair: `sampler` chooses it, `crop_cache` has its crop, `augment` makes it. Batches are made one ahead of
the network: for a GPU in a stream of its own, from pinned memory, so that no step waits for a copy.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
import torch
from torch import Tensor

from data.errors import UserError
from sr.degradation.degrade import blur_radius_px, degrade_lr_image, draw_blur_sigma_px
from sr.degradation.parser import parse_degradation
from sr.distributed.ranks import Rank
from sr.pairs.augment import augment, cut, cut_centers, encode_choices, margin_px, split_pairs
from sr.pairs.crop_cache import CropCache
from sr.pairs.sampler import Samples, draw_samples
from sr.pairs.settings import PairSettings, patch_px_at

VALIDATION_PIXELS = 8 * 512**2
"""HR pixels of a batch of validation images."""
Identity = tuple[int | str, ...]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Pairs in the form that the network takes."""

    lr_image: Tensor
    """uint8 [n,3,h,w] RGB, channels last in memory."""
    hr_image: Tensor
    """uint8 [n,3,scale·h,scale·w] RGB, channels last in memory."""
    ready: torch.cuda.Event | None = None
    """When a GPU has made them in another stream; None: they are ready."""

    def wait(self) -> "Batch":
        """Have the GPU's current stream wait for the pairs, and keep their memory until it has used them."""
        if self.ready is not None:
            stream = torch.cuda.current_stream(self.lr_image.device)
            stream.wait_event(self.ready)
            self.lr_image.record_stream(stream)
            self.hr_image.record_stream(stream)
        return self

    def split(self, size: int) -> "list[Batch]":
        """Return its micro-batches of `size` pairs."""
        pairs = len(self.hr_image)
        spans = [slice(first, first + size) for first in range(0, pairs, size)]
        return [Batch(self.lr_image[span], self.hr_image[span]) for span in spans]


class PairMaker:
    """Makes pairs from patches: on the device, or on the CPU with threads if LR images are degraded."""

    def __init__(self, settings: PairSettings, scale: int, device: torch.device, num_threads: int) -> None:
        """Prepare for a device, with threads that degrade images if the settings say so."""
        self.scale, self._device = scale, device
        self._steps = parse_degradation(settings.degradation)
        self.blur_radius_px = blur_radius_px(self._steps)
        self._pool = ThreadPoolExecutor(num_threads, "degrade") if self._steps else None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.works_aside = bool(self._steps) or device.type == "cuda"
        """Whether making pairs takes more than the network's own device."""
        cv2.setNumThreads(1)  # OpenCV's own threads would compete with these

    def allocate(self, pairs: int, side_px: int) -> Tensor:
        """Return memory for patches, from which a GPU can copy by itself: uint8 [pairs,side,side,3]."""
        pinned = self._stream is not None
        return torch.empty((pairs, side_px, side_px, 3), dtype=torch.uint8, pin_memory=pinned)

    def make(
        self, patches: Tensor, margin: int, identities: Sequence[Identity], samples: Samples | None = None
    ) -> Batch:
        """Make the pairs of a batch.

        Args:
            patches: uint8 [n,side,side,3], from `allocate`.
            margin: pixels around each patch, a multiple of the scale.
            identities: of the pairs; the degradations follow from them.
            samples: how to augment the patches; None: not at all.
        """
        with torch.cuda.stream(self._stream) if self._stream else contextlib.nullcontext():
            if self._pool is None:
                patches = self._send(patches)
            if samples is not None:
                orientations, factors = encode_choices(samples)
                if self._pool is None:
                    orientations = self._send(orientations)
                    factors = None if factors is None else self._send(factors)
                patches = augment(patches, orientations, factors)
            if self._pool is None:
                pairs = split_pairs(patches, patches, margin, self.scale)
            else:
                degraded = self._degrade(patches, margin, identities, self._pool)
                pairs = self._send(degraded[0]), self._send(degraded[1])
            return Batch(*pairs, self._stream.record_event() if self._stream else None)

    def _send(self, tensor: Tensor) -> Tensor:
        if self._stream is None:
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _degrade(
        self, patches: Tensor, margin: int, identities: Sequence[Identity], pool: ThreadPoolExecutor
    ) -> tuple[Tensor, Tensor]:
        """Make pairs with degraded LR images, on the CPU."""
        blurred = patches
        if self.blur_radius_px:
            blurred = patches.clone()

            def blur(index: int) -> None:
                image = blurred[index].numpy()
                if sigma_px := draw_blur_sigma_px(self._steps, *identities[index]):
                    cv2.GaussianBlur(image, (0, 0), sigma_px, dst=image)

            list(pool.map(blur, range(len(identities))))
        lr_image, hr_image = split_pairs(patches, blurred, margin, self.scale)
        images = lr_image.permute(0, 2, 3, 1).numpy()  # [n,h,w,3]

        def degrade(index: int) -> None:
            images[index] = degrade_lr_image(images[index], self._steps, *identities[index])

        list(pool.map(degrade, range(len(identities))))
        return lr_image, hr_image


class TrainingBatches:
    """The batches of one rank, step after step."""

    def __init__(
        self, cache: CropCache, settings: PairSettings, maker: PairMaker, rows: slice, total_steps: int
    ) -> None:
        """Prepare the batches.

        Args:
            cache: has the crops of the training split.
            settings: patches, batch, seed and augmentation.
            maker: makes the pairs.
            rows: this rank's share of the batch.
            total_steps: steps of the whole run, which `patch_stages` divides.
        """
        self.cache, self._settings, self._maker, self._rows = cache, settings, maker, rows
        self._total_steps = total_steps
        # On a CPU whose crops are decoded there is nothing to wait for, and a thread would take the network's cores.
        self._runs_ahead = maker.works_aside or not cache.keeps
        self._ahead = _Ahead(self.make, "batches")

    def get(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0."""
        return self._ahead.get(step, step + 1) if self._runs_ahead else self.make(step)

    def make(self, step: int) -> Batch:
        """Make the batch of a step."""
        samples = draw_samples(self._settings, self.cache.crops, step, self._rows)
        patch_px = patch_px_at(self._settings, step, self._total_steps)
        maker = self._maker
        margin = margin_px(self.cache.side_px, patch_px, maker.scale, maker.blur_radius_px)
        patches = maker.allocate(len(samples.rows), patch_px + 2 * margin)
        cut(self.cache.load(samples.crops), samples, patches.numpy())
        identities = [(self._settings.seed, step, row) for row in samples.rows.tolist()]
        return maker.make(patches, margin, identities, samples)

    def describe(self, step: int) -> str:
        """Return where the crops of this rank's pairs of a step are."""
        samples = draw_samples(self._settings, self.cache.crops, step, self._rows)
        return " ".join(map(self.cache.reader.locate, samples.crops.tolist()))


class ValidationBatches:
    """One rank's share of the validation images: whole, in order and not augmented. It can be iterated repeatedly.

    The LR images are degraded like those of training, but the same way in each pass.
    """

    def __init__(self, cache: CropCache, seed: int, maker: PairMaker, size_multiple: int, rank: Rank) -> None:
        """Prepare the batches.

        Args:
            cache: has the crops of the validation split.
            seed: of the degradations.
            maker: makes the pairs.
            size_multiple: the side of the LR images is cut to a multiple of it, around the center.
            rank: the process.

        Raises:
            UserError: there are fewer samples than ranks.
        """
        if cache.crops < rank.world_size:
            message = (
                f"The selection has {cache.crops} validation samples, too few for {rank.world_size} ranks"
            )
            raise UserError(message, "Select more samples, or lower [training] world_size")
        share, multiple_px = rank.share(cache.crops), maker.scale * size_multiple
        self._side_px = cache.side_px // multiple_px * multiple_px
        size = max(1, VALIDATION_PIXELS // self._side_px**2)
        self._firsts = range(share.start, share.stop, size)
        self._numbers = range(share.stop)
        self.cache, self._seed, self._maker = cache, seed, maker
        self._ahead = _Ahead(self.make, "validation")

    def __iter__(self) -> Iterator[Batch]:
        """Yield each sample of the share once; the next batch is made meanwhile."""
        for first, following in itertools.zip_longest(self._firsts, self._firsts[1:]):
            yield self._ahead.get(first, following)

    def first(self) -> Batch:
        """Return the first batch of the share."""
        return self.make(self._firsts[0]).wait()

    def make(self, first: int) -> Batch:
        """Make the batch that begins with a sample."""
        numbers = self._numbers[first : first + self._firsts.step]
        patches = self._maker.allocate(len(numbers), self._side_px)
        cut_centers(self.cache.load(np.array(numbers)), patches.numpy())
        identities = [(self._seed, "validation", number) for number in numbers]
        return self._maker.make(patches, 0, identities)


class _Ahead:
    """Makes batches in a thread, while the network uses the one before."""

    def __init__(self, make: Callable[[int], Batch], name: str) -> None:
        self._make = make
        # Its operations stay out of the way of the network's threads.
        self._thread = ThreadPoolExecutor(1, name, lambda: torch.set_num_threads(1))
        self._made: tuple[int, Future[Batch]] | None = None

    def get(self, number: int, following: int | None) -> Batch:
        """Return a batch, and begin to make the one that will be asked for next."""
        if self._made is None or self._made[0] != number:
            self._made = number, self._thread.submit(self._make, number)
        batch = self._made[1].result()
        self._made = None if following is None else (following, self._thread.submit(self._make, following))
        return batch.wait()
