"""Makes the training pairs of a batch: patches cut from crops, augmented, and downscaled by the antialiased bicubic.

Augmentations only move whole pixels or scale levels; none interpolates. A patch is downscaled with a margin around it,
so the LR image is what downscaling the whole rotated and brightened crop gives at that place.
"""

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor

from sr.pairs.crop_reader import Image
from sr.pairs.sampler import Fractions, Samples

CUBIC_CONTEXT_LR_PX = 2
"""LR pixels beyond a patch that the antialiased cubic kernel of its outermost LR pixels reads."""


def margin_px(crop_px: int, patch_px: int, scale: int, radius_px: int = 0) -> int:
    """Return how many pixels around a patch are cut with it, so that its LR image matches that of the whole crop.

    Args:
        crop_px: side of the crop.
        patch_px: side of the HR patch.
        scale: upscaling factor.
        radius_px: radius of a blur before downscaling, in HR pixels.

    Returns:
        A multiple of the scale; less than needed if the crop is too small.
    """
    needed = CUBIC_CONTEXT_LR_PX + -(-radius_px // scale)
    return min(needed, (crop_px - patch_px) // 2 // scale) * scale


def cut(crops: Sequence[Image], samples: Samples, out: npt.NDArray[np.uint8]) -> None:
    """Copy a square of each crop, at its sampled position, to `out`: uint8 [n, side, side, 3]."""
    side = out.shape[1]
    free = crops[0].shape[0] - side
    for target, crop, top, left in zip(
        out, crops, _corners(samples.tops, free), _corners(samples.lefts, free), strict=True
    ):
        target[:] = crop[top : top + side, left : left + side]


def cut_centers(crops: Sequence[Image], out: npt.NDArray[np.uint8]) -> None:
    """Copy the central square of each crop to `out`: uint8 [n, side, side, 3]."""
    side = out.shape[1]
    for target, crop in zip(out, crops, strict=True):
        corner = (crop.shape[0] - side) // 2
        target[:] = crop[corner : corner + side, corner : corner + side]


def _corners(positions: Fractions, free: int) -> list[int]:
    """Return the corners, 0 to `free` pixels, for positions from 0 to below 1."""
    corners: list[int] = (positions * (free + 1)).astype(np.int64).clip(max=free).tolist()
    return corners


def encode_choices(samples: Samples) -> tuple[Tensor, Tensor | None]:
    """Return what `augment` needs to know about each pair, on the CPU.

    Returns:
        The orientations, int64 [n], see `_orientations`; and the factors on the levels, float32 [n], or None if all
        are 1.
    """
    turns = samples.quarter_turns
    # A quarter turn is a transposition and a reflection; half a turn is two reflections.
    transposed, upset = turns % 2, (turns == 1) | (turns == 2)
    orientations = 4 * transposed + 2 * upset + ((turns >= 2) != samples.flipped)
    factors = torch.from_numpy(samples.brightness) if (samples.brightness != 1.0).any() else None
    return torch.from_numpy(orientations), factors


def augment(patches: Tensor, orientations: Tensor, factors: Tensor | None) -> Tensor:
    """Rotate, flip and brighten patches.

    Args:
        patches: uint8 [n,side,side,3].
        orientations, factors: what `encode_choices` returned, on the device of the patches.

    Returns:
        uint8 [n,side,side,3].
    """
    pairs, side = patches.shape[:2]
    sources = _orientations(side, patches.device)[orientations]  # [n,side²]
    sources += _firsts(pairs, side, patches.device)
    # One gather of whole pixels. Choosing between transposed and mirrored copies would take ten times as long.
    patches = patches.reshape(-1, 3).index_select(0, sources.reshape(-1)).reshape(patches.shape)
    if factors is None:
        return patches
    return (patches * factors[:, None, None, None]).round_().clamp_(0, 255).to(torch.uint8)


@functools.lru_cache(maxsize=8)
def _orientations(side: int, device: torch.device) -> Tensor:
    """Return where the pixels of a square come from in each of its eight orientations: int32 [8,side²].

    The bits of an orientation's number say whether it is transposed (4), then mirrored top to bottom (2), then left to
    right (1).
    """
    plain = torch.arange(side * side, dtype=torch.int32).reshape(side, side)
    turned = []
    for number in range(8):
        square = plain.T if number & 4 else plain
        axes = [axis for axis, bit in ((0, 2), (1, 1)) if number & bit]
        turned.append(square.flip(axes).reshape(-1))
    return torch.stack(turned).to(device)


@functools.lru_cache(maxsize=8)
def _firsts(pairs: int, side: int, device: torch.device) -> Tensor:
    """Return the number of the first pixel of each patch of a batch: int32 [n,1]."""
    return (torch.arange(pairs, dtype=torch.int32) * (side * side))[:, None].to(device)


def downscale(patches: Tensor, scale: int) -> Tensor:
    """Downscale by antialiased bicubic (a = -0.5) like Pillow, within one level.

    Args:
        patches: uint8 [n,3,h,w], channels last in memory; the sides are multiples of `scale`.
        scale: upscaling factor.

    Returns:
        uint8 [n,3,h/scale,w/scale].
    """
    if patches.device.type != "cpu":
        return downscale_floats(patches, scale)
    size = (patches.shape[2] // scale, patches.shape[3] // scale)
    return functional.interpolate(patches, size=size, mode="bicubic", antialias=True)


def downscale_floats(patches: Tensor, scale: int) -> Tensor:
    """Do the same as `downscale` on any device: GPUs have the filter only for floats."""
    height, width = patches.shape[2:]
    values = patches.float()
    for size in ((height, width // scale), (height // scale, width // scale)):
        # Rounded after each pass, as Pillow does.
        values = functional.interpolate(values, size=size, mode="bicubic", antialias=True)
        values = values.round_().clamp_(0, 255)
    return values.to(torch.uint8)


def split_pairs(patches: Tensor, blurred: Tensor, margin: int, scale: int) -> tuple[Tensor, Tensor]:
    """Turn patches with a margin into pairs.

    Args:
        patches: uint8 [n,side,side,3].
        blurred: what is downscaled: the same patches, or these after a blur.
        margin: pixels around each patch, a multiple of `scale`.
        scale: upscaling factor.

    Returns:
        (lr_image, hr_image), uint8 [n,3,h,w] and [n,3,scale·h,scale·w], channels last in memory.
    """
    side = patches.shape[1]
    inner, inner_lr = slice(margin, side - margin), slice(margin // scale, (side - margin) // scale)
    lr_image = downscale(blurred.permute(0, 3, 1, 2), scale).permute(0, 2, 3, 1)
    # Copied as [n,h,w,3], which is faster than as channels last.
    return (
        lr_image[:, inner_lr, inner_lr].contiguous().permute(0, 3, 1, 2),
        patches[:, inner, inner].contiguous().permute(0, 3, 1, 2),
    )
