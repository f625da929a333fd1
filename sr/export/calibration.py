"""Images to export with: LR crops of the training data to calibrate int8, pairs to measure accuracy, and photographs.

Which crops are chosen depends only on the selection, the split and a seed. Only the chosen crops are decoded.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.dali_index import read_index
from data.hashing import number
from data.imaging.decode import decode
from data.selection import open_split
from data.shards import read_image
from data.sources.folder import open_scikit_image_photos
from sr.evaluation.degradation import degrade
from sr.evaluation.metrics import luma

DEGRADATION = "pillow-bicubic"
PHOTOGRAPH_PX = 256
"""Largest side of the center crop of a photograph, in HR pixels."""
HwcImage = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Crop:
    """An HR patch with its LR image."""

    key: str
    """The sample's key in its shard, or the photograph's name."""
    hr_image: HwcImage
    """uint8 HWC: RGB, or luma only."""
    lr_image: HwcImage
    """The same, smaller by the scale."""

    def to_luma(self) -> "Crop":
        """Convert to luma as video stores it: one channel, BT.601, 16 is black and 235 is white, rounded."""
        hr_image, lr_image = (
            np.rint(luma(image)).astype(np.uint8)[..., None] for image in (self.hr_image, self.lr_image)
        )
        return Crop(self.key, hr_image, lr_image)


def choose_crops(
    selection: Path, split: str, count: int, seed: int, patch_px: int, scale: int, size_multiple: int
) -> Iterator[Crop]:
    """Choose crops of a split at random.

    Args:
        selection: path of selection.json.
        split: train or validation.
        count: how many crops; all, if the split has fewer.
        seed: sets which crops, and their order.
        patch_px: side of the center patch of each crop, in HR pixels; rounded down to what the network accepts.
        scale, size_multiple: of the network.

    Yields:
        The crops, in random order.

    Raises:
        UserError: the split is empty, or a file is not the one that selection.json names.
    """
    opened = open_split(selection, split)
    step = scale * size_multiple
    side_px = min(patch_px, opened.crop_size_px) // step * step
    samples = [
        (line, tar)
        for tar, index in zip(opened.tars, opened.indexes, strict=True)
        for line in read_index(Path(index))
    ]
    samples.sort(key=lambda sample: number("calibration", seed, split, sample[0].key))
    for line, tar in samples[:count]:
        with open(tar, "rb") as file:
            image = decode(read_image(file, line))
        yield _make_crop(line.key, image, side_px, scale)


def load_photographs(scale: int, size_multiple: int) -> list[Crop]:
    """Load the centers of scikit-image's color photographs, sorted by name.

    Args:
        scale, size_multiple: of the network.

    Raises:
        UserError: scikit-image is not installed.
    """
    step, source = scale * size_multiple, open_scikit_image_photos()
    side_px = PHOTOGRAPH_PX // step * step
    return [_make_crop(name, decode(source.load(name)), side_px, scale) for name in sorted(source.files)]


def _make_crop(key: str, image: HwcImage, side_px: int, scale: int) -> Crop:
    """Cut the center out of an image, and downscale it."""
    top, left = ((size - side_px) // 2 for size in image.shape[:2])
    return cut_crop(key, image, top, left, side_px, scale)


def cut_crop(key: str, image: HwcImage, top: int, left: int, side_px: int, scale: int) -> Crop:
    """Cut a square out of an image, and downscale it."""
    hr_image = np.ascontiguousarray(image[top : top + side_px, left : left + side_px])
    return Crop(key, hr_image, degrade(hr_image, scale, DEGRADATION))
