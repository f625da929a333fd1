"""A pair for training: a patch cut from an image, turned and brightened by chance, and its bicubic reduction.

Chance is drawn by number: a pair depends on the seed, its lane, its batch and its place in the batch, and on
nothing else, so that threads, ranks and resuming cannot matter. Every augmentation moves pixels on their
lattice or scales levels; none interpolates. Knows nothing of files, decoders or batches' order.
"""

import dataclasses

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from data.hashing import generator
from data.records import TrainingJob

CONTEXT_LOW_PX = 2
"""As far as the antialiased cubic kernel of a patch's outermost low pixels reaches."""
_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclasses.dataclass(frozen=True)
class Draw:
    """What chance decided for one pair."""

    down: float
    """Where the patch lies: 0 at the top, up to 1 at the bottom."""
    right: float
    """0 at the left, up to 1 at the right."""
    quarter_turns: int
    """Counter-clockwise, 0 to 3."""
    flipped: bool
    """Left to right, after turning."""
    brightness: float
    """Factor on the levels."""


def draw(job: TrainingJob, lane: int, batch: int, place: int) -> Draw:
    """Decide about one pair.

    Args:
        job: seed and probabilities.
        lane, batch, place: the pair's number: its lane, that lane's batch from 0, its place there.
    """
    chance = generator("augment", job.seed, lane, batch, place).random(7)
    down, right, turned, turns, flipped, changed, factor = chance.tolist()
    spread = job.brightness_max - job.brightness_min
    return Draw(
        down,
        right,
        1 + int(3 * turns) if turned < job.rotate_probability else 0,
        flipped < job.flip_probability,
        job.brightness_min + spread * factor if changed < job.brightness_probability else 1.0,
    )


def margin_px(image_px: int, patch_px: int, scale: int, reach_px: int = 0) -> int:
    """How many pixels around a patch are looked at, so that its LR image is that of the whole image.

    Args:
        image_px: side of the image.
        patch_px: side of the high patch.
        scale: upsampling factor.
        reach_px: how far something else than the reduction looks, in high pixels.

    Returns:
        A multiple of the scale; less than wanted where the image has no room for more.
    """
    wanted = CONTEXT_LOW_PX + -(-reach_px // scale)
    return min(wanted, (image_px - patch_px) // 2 // scale) * scale


def cut_pair(
    image: np.ndarray,
    chosen: Draw,
    patch_px: int,
    scale: int,
    blur_sigma_px: float = 0.0,
    reach_px: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut one pair out of an image.

    The LR image is what the reduction of the whole image, turned and brightened, has at that place: it is
    made with a margin around the patch.

    Args:
        image: uint8 HWC RGB, at least `patch_px` a side.
        chosen: chance's part.
        patch_px: side of the high patch, a multiple of `scale`.
        scale: upsampling factor.
        blur_sigma_px: of a Gaussian over the HR image before it is reduced; 0 for none.
        reach_px: how far the strongest blur reaches; the same for all pairs of a job.

    Returns:
        lr_image, high: uint8 HWC.
    """
    margin = margin_px(min(image.shape[:2]), patch_px, scale, reach_px)
    side = patch_px + 2 * margin
    top, left = (
        min(int(share * (size - side + 1)), size - side)
        for share, size in zip((chosen.down, chosen.right), image.shape[:2], strict=True)
    )
    patch = np.array(image[top : top + side, left : left + side])
    if chosen.brightness != 1.0:
        levels = np.rint(np.arange(256) * chosen.brightness).clip(0, 255).astype(np.uint8)
        patch = cv2.LUT(patch, levels)
    patch = np.ascontiguousarray(_turned(patch, chosen))
    hr_image = patch[margin : margin + patch_px, margin : margin + patch_px]
    if blur_sigma_px:
        patch = cv2.GaussianBlur(patch, (0, 0), blur_sigma_px)
    margin_low, lr_image_px = margin // scale, patch_px // scale
    lr_image = reduce(patch, scale)[
        margin_low : margin_low + lr_image_px, margin_low : margin_low + lr_image_px
    ]
    return lr_image, hr_image


def reduce(image: np.ndarray, scale: int) -> np.ndarray:
    """The antialiased bicubic reduction (a = -0.5) as Pillow does it, to one level; uint8 HWC both."""
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None].permute(0, 3, 1, 2)  # [1,3,h,w]
    size = (image.shape[0] // scale, image.shape[1] // scale)
    return (
        functional.interpolate(pixels, size=size, mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    )


def cut_batch(images: Tensor, chosen: list[Draw], patch_px: int, scale: int) -> tuple[Tensor, Tensor]:
    """Do what `cut_pair` does for many pairs at once, in few operations: for images that are on a GPU.

    Args:
        images: uint8 [n,h,w,3].
        chosen: for each pair; pair i is cut from image i modulo n.
        patch_px, scale: as in `cut_pair`.

    Returns:
        lr_image, high: uint8 [pairs,3,·,·], channels last in memory, on the images' device.
    """
    margin = margin_px(min(images.shape[1:3]), patch_px, scale)
    side = patch_px + 2 * margin
    cut = []
    for number, one in enumerate(chosen):
        top, left = (
            min(int(share * (size - side + 1)), size - side)
            for share, size in zip((one.down, one.right), images.shape[1:3], strict=True)
        )
        cut.append(images[number % len(images), top : top + side, left : left + side])
    patches = torch.stack(cut)  # [pairs,side,side,3]

    # Each torch.tensor(…, device=…) waits for the stream. The reader counts on that: the images are its memory.
    def where(answers: list[bool], yes: Tensor, no: Tensor) -> Tensor:
        return torch.where(torch.tensor(answers, device=no.device)[:, None, None, None], yes, no)

    # A quarter turn is a transposition and a reflection; half a turn two reflections.
    patches = where([one.quarter_turns % 2 == 1 for one in chosen], patches.transpose(1, 2), patches)
    patches = where([one.quarter_turns in (1, 2) for one in chosen], patches.flip(1), patches)
    patches = where(
        [(one.quarter_turns in (2, 3)) != one.flipped for one in chosen], patches.flip(2), patches
    )
    factors = torch.tensor([one.brightness for one in chosen], device=patches.device)
    values = (patches * factors[:, None, None, None]).round_().clamp_(0, 255).permute(0, 3, 1, 2)
    lr_image, low_side = values, side // scale
    for size in ((side, low_side), (low_side, low_side)):  # rounded after each pass, as `reduce` does
        lr_image = (
            functional.interpolate(lr_image, size=size, mode="bicubic", antialias=True)
            .round_()
            .clamp_(0, 255)
        )
    inner = slice(margin // scale, (margin + patch_px) // scale)
    hr_image = values[:, :, margin : margin + patch_px, margin : margin + patch_px]
    lr_image, hr_image = lr_image[:, :, inner, inner].to(torch.uint8), hr_image.to(torch.uint8)
    return tuple(one.contiguous(memory_format=torch.channels_last) for one in (lr_image, hr_image))


def _turned(image: np.ndarray, chosen: Draw) -> np.ndarray:
    if chosen.quarter_turns:
        image = cv2.rotate(image, _TURNS[chosen.quarter_turns])
    return cv2.flip(image, 1) if chosen.flipped else image
