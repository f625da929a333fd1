"""Makes a training pair: a patch cut from an image, augmented at random, and its bicubic downscaling.

The random numbers of a pair depend on the seed, its partition, its batch and its index in the batch, and on nothing
else, so threads, ranks and resuming do not matter. Augmentations only move whole pixels or scale levels; none
interpolates. This module does not read files and does not know the order of the batches.
"""

import dataclasses

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from data.hashing import generator
from sr.training.job import TrainingJob
from sr.training.shard_reader import Image

CUBIC_CONTEXT_LR_PX = 2
"""LR pixels beyond a patch that the antialiased cubic kernel of its outermost LR pixels reads."""
_ROTATIONS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random choices for one pair."""

    top: float
    """Vertical position of the patch, from 0 (top of the image) up to 1 (bottom)."""
    left: float
    """Horizontal position of the patch, from 0 (left) up to 1 (right)."""
    quarter_turns: int
    """Counterclockwise, 0 to 3."""
    flipped: bool
    """Mirrored left to right, after rotating."""
    brightness: float
    """Factor on the levels."""


def draw_augmentation(job: TrainingJob, partition: int, batch: int, index: int) -> Augmentation:
    """Draw the random choices for one pair.

    Args:
        job: seed and probabilities.
        partition, batch, index: the pair's partition, its batch in the partition (from 0) and its index in the batch.
    """
    numbers = generator("augment", job.seed, partition, batch, index).random(7)
    top, left, rotates, turns, flips, brightens, brightness = numbers.tolist()
    spread = job.brightness_max - job.brightness_min
    return Augmentation(
        top,
        left,
        1 + int(3 * turns) if rotates < job.rotate_probability else 0,
        flips < job.flip_probability,
        job.brightness_min + spread * brightness if brightens < job.brightness_probability else 1.0,
    )


def margin_px(image_px: int, patch_px: int, scale: int, radius_px: int = 0) -> int:
    """Return how many pixels around a patch are cut with it, so that its LR image matches that of the whole image.

    Args:
        image_px: side of the image.
        patch_px: side of the HR patch.
        scale: upscaling factor.
        radius_px: radius of a blur before downscaling, in HR pixels.

    Returns:
        A multiple of the scale; less than needed if the image is too small.
    """
    needed = CUBIC_CONTEXT_LR_PX + -(-radius_px // scale)
    return min(needed, (image_px - patch_px) // 2 // scale) * scale


def cut_pair(
    image: Image,
    augmentation: Augmentation,
    patch_px: int,
    scale: int,
    blur_sigma_px: float = 0.0,
    radius_px: int = 0,
) -> tuple[Image, Image]:
    """Cut one pair out of an image.

    The patch is downscaled with a margin around it, so the LR image is what downscaling the whole rotated and
    brightened image would give at that place.

    Args:
        image: uint8 HWC RGB, at least `patch_px` a side.
        augmentation: the random choices.
        patch_px: side of the HR patch, a multiple of `scale`.
        scale: upscaling factor.
        blur_sigma_px: sigma of a Gaussian blur of the HR image before downscaling; 0 for none.
        radius_px: radius of the strongest blur of the job; the same for all its pairs.

    Returns:
        (lr_image, hr_image), uint8 HWC.
    """
    margin = margin_px(min(image.shape[:2]), patch_px, scale, radius_px)
    side = patch_px + 2 * margin
    height, width = image.shape[:2]
    top, left = _corner(augmentation, height, width, side)
    patch = np.array(image[top : top + side, left : left + side])
    if augmentation.brightness != 1.0:
        levels = np.rint(np.arange(256) * augmentation.brightness).clip(0, 255).astype(np.uint8)
        patch = cv2.LUT(patch, levels).astype(np.uint8, copy=False)
    patch = np.ascontiguousarray(_rotate_and_flip(patch, augmentation))
    hr_image = patch[margin : margin + patch_px, margin : margin + patch_px]
    if blur_sigma_px:
        patch = cv2.GaussianBlur(patch, (0, 0), blur_sigma_px).astype(np.uint8, copy=False)
    inner = slice(margin // scale, margin // scale + patch_px // scale)
    return downscale_bicubic(patch, scale)[inner, inner], hr_image


def downscale_bicubic(image: Image, scale: int) -> Image:
    """Downscale by antialiased bicubic (a = -0.5) like Pillow, within one level; uint8 HWC to uint8 HWC."""
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None].permute(0, 3, 1, 2)  # [1,3,h,w]
    size = (image.shape[0] // scale, image.shape[1] // scale)
    smaller = functional.interpolate(pixels, size=size, mode="bicubic", antialias=True)[0]
    lr_image: Image = smaller.permute(1, 2, 0).numpy()
    return lr_image


def cut_batch(
    images: Tensor, augmentations: list[Augmentation], patch_px: int, scale: int
) -> tuple[Tensor, Tensor]:
    """Do what `cut_pair` does, for many pairs in few operations: for images on a GPU.

    Args:
        images: uint8 [n,h,w,3].
        augmentations: one for each pair; pair i is cut from image i modulo n.
        patch_px, scale: as in `cut_pair`.

    Returns:
        (lr_images, hr_images), uint8 [pairs,3,·,·], channels last in memory, on the device of the images.
    """
    margin = margin_px(min(images.shape[1:3]), patch_px, scale)
    side = patch_px + 2 * margin
    values = _cut_augmented(images, augmentations, side)
    lr_values, lr_side = values, side // scale
    for size in ((side, lr_side), (lr_side, lr_side)):  # rounded after each pass, as in `downscale_bicubic`
        lr_values = functional.interpolate(lr_values, size=size, mode="bicubic", antialias=True)
        lr_values = lr_values.round_().clamp_(0, 255)
    inner = slice(margin // scale, (margin + patch_px) // scale)
    lr_images = lr_values[:, :, inner, inner].to(torch.uint8)
    hr_images = values[:, :, margin : margin + patch_px, margin : margin + patch_px].to(torch.uint8)
    return (
        lr_images.contiguous(memory_format=torch.channels_last),
        hr_images.contiguous(memory_format=torch.channels_last),
    )


def _cut_augmented(images: Tensor, augmentations: list[Augmentation], side: int) -> Tensor:
    """Cut, rotate, flip and brighten: uint8 [n,h,w,3] to float [pairs,3,side,side] of whole levels."""
    height, width = images.shape[1:3]
    cut = []
    for number, augmentation in enumerate(augmentations):
        top, left = _corner(augmentation, height, width, side)
        cut.append(images[number % len(images), top : top + side, left : left + side])
    patches = torch.stack(cut)  # [pairs,side,side,3]

    # Each torch.tensor(…, device=…) waits for the stream. The reader relies on that: the images are in its memory.
    def select(conditions: list[bool], yes: Tensor, no: Tensor) -> Tensor:
        return torch.where(torch.tensor(conditions, device=no.device)[:, None, None, None], yes, no)

    # A quarter turn is a transposition and a reflection; half a turn is two reflections.
    turns = [one.quarter_turns for one in augmentations]
    patches = select([turn % 2 == 1 for turn in turns], patches.transpose(1, 2), patches)
    patches = select([turn in (1, 2) for turn in turns], patches.flip(1), patches)
    mirrored = [(one.quarter_turns in (2, 3)) != one.flipped for one in augmentations]
    patches = select(mirrored, patches.flip(2), patches)
    factors = torch.tensor([one.brightness for one in augmentations], device=patches.device)
    return (patches * factors[:, None, None, None]).round_().clamp_(0, 255).permute(0, 3, 1, 2)


def _corner(augmentation: Augmentation, height: int, width: int, side: int) -> tuple[int, int]:
    """Return the top left corner of a square of `side` pixels in an image."""
    top = min(int(augmentation.top * (height - side + 1)), height - side)
    return top, min(int(augmentation.left * (width - side + 1)), width - side)


def _rotate_and_flip(image: Image, augmentation: Augmentation) -> Image:
    if augmentation.quarter_turns:
        image = cv2.rotate(image, _ROTATIONS[augmentation.quarter_turns]).astype(np.uint8, copy=False)
    return cv2.flip(image, 1).astype(np.uint8, copy=False) if augmentation.flipped else image
