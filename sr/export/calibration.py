"""Images for quantization out of a selection's shards: low ones to calibrate with, pairs to judge the
result by; and photographs that every installation has, to judge any form by.

Which crops are taken follows from the selection, the split and a seed alone. Never decodes more than was
asked for.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.hashing import number
from data.imaging.decode import decode
from data.selection import open_split
from data.shards import read_index
from data.sources.folder import photos
from sr.evaluation.degradation import degrade
from sr.evaluation.metrics import luma

DEGRADATION = "pillow-bicubic"
PHOTOGRAPH_PX = 256
"""Side of what is cut from the middle of a photograph, at most, in high pixels."""


@dataclasses.dataclass(frozen=True)
class Crop:
    """One crop of a selection, cut to a patch, with its LR image."""

    key: str
    hr_image: np.ndarray
    """uint8 HWC: RGB, or luma alone."""
    lr_image: np.ndarray
    """The same, smaller by the scale."""

    def in_luma(self) -> "Crop":
        """The crop as video would store its luma, one channel (BT.601, 16 black and 235 white, rounded)."""
        return Crop(
            self.key,
            *(np.rint(luma(one)).astype(np.uint8)[..., None] for one in (self.hr_image, self.lr_image)),
        )


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a crop's encoded image lies."""

    key: str
    tar: str
    offset: int
    bytes: int


def choose_crops(
    selection: Path, split: str, count: int, seed: int, patch_px: int, scale: int, size_multiple: int
) -> Iterator[Crop]:
    """Yield `count` crops of a split, or all where it has fewer, in an order drawn from the seed.

    Args:
        selection: path of selection.json.
        split: train or validation.
        count: at most so many.
        seed: of the draw.
        patch_px: side of the patch cut from the middle of each crop, in high pixels; rounded down to what the
            network can take.
        scale, size_multiple: the network's.

    Raises:
        UserError: the split is empty, or a file is not the one that selection.json names.
    """
    opened = open_split(selection, split)
    step = scale * size_multiple
    side = min(patch_px, opened.crop_size_px) // step * step
    places = [
        _Place(line.key, tar, component[1], component[2])
        for tar, index in zip(opened.tars, opened.indexes, strict=True)
        for line in read_index(Path(index))
        for component in line.components
        if component[0] == opened.image_extension
    ]
    places.sort(key=lambda place: number("calibration", seed, split, place.key))
    for place in places[:count]:
        with open(place.tar, "rb") as tar:
            tar.seek(place.offset)
            crop = decode(tar.read(place.bytes))
        yield _middle(place.key, crop, side, scale)


def photographs(scale: int, size_multiple: int) -> list[Crop]:
    """The middles of scikit-image's color photographs with their LR images, in the order of their names.

    Args:
        scale, size_multiple: the network's.

    Raises:
        UserError: the package is not there.
    """
    step, source = scale * size_multiple, photos()
    side = PHOTOGRAPH_PX // step * step
    return [_middle(name, decode(source.load(name)), side, scale) for name in sorted(source.files)]


def _middle(key: str, image: np.ndarray, side: int, scale: int) -> Crop:
    top, left = ((size - side) // 2 for size in image.shape[:2])
    hr_image = np.ascontiguousarray(image[top : top + side, left : left + side])
    return Crop(key, hr_image, degrade(hr_image, scale, DEGRADATION))
