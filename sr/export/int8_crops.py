"""Which crops an int8 export uses: of a selection, of any images, or of the photographs in the box.

Of a selection, training crops calibrate and validation crops measure. Of images, every fourth image measures and the
others calibrate, so that no image does both. Which images, and where in them, depends only on their names and a seed.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data.errors import UserError
from data.hashing import generator, number
from data.imaging.decode import decode
from data.sources.folder import open_scikit_image_photos
from sr.export.calibration import Crop, HwcImage, choose_crops, cut_crop
from sr.export.settings import Int8Settings
from sr.models.metadata import ModelMetadata

HELD_OUT_SHARE = 4
"""Of images, one in so many is held out."""
BOX = "scikit-image"
"""Where the photographs in the box come from: scikit-image's package has them with it, free to use."""


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images to calibrate with."""

    name: str
    """For the record: what they are."""
    images: Mapping[str, Callable[[], HwcImage]]
    """From names to functions that decode: uint8, height x width x 3."""


@dataclasses.dataclass(frozen=True)
class Int8Crops:
    """The crops of an int8 export, by use."""

    origin: str
    """The directory of the selection, or the name of the images."""
    calibration: Sequence[Crop]
    ranking: Sequence[Crop]
    """Other crops of the same part, on which groups of layers are ranked; so that the held-out crops, which give the
    accuracy, have no part in that choice."""
    held_out: Sequence[Crop]


def photographs_in_the_box() -> ImageSet:
    """Return the photographs that calibrate where nothing else is given.

    Raises:
        UserError: scikit-image is not installed.
    """
    source = open_scikit_image_photos()

    def load(name: str) -> Callable[[], HwcImage]:
        return lambda: decode(source.load(name))

    return ImageSet(BOX, {name: load(name) for name in sorted(source.files)})


def choose_int8_crops(
    source: Path | ImageSet | None, settings: Int8Settings, metadata: ModelMetadata
) -> Int8Crops:
    """Choose crops to calibrate with, to rank layers on, and to measure on.

    Args:
        source: path of selection.json, or images; None: the photographs in the box.
        settings: how many, and the seed.
        metadata: of the network; one of luma gets crops of luma.

    Raises:
        UserError: there are no crops, or a file is not the one that selection.json names.
    """
    if isinstance(source, Path):
        chosen = _choose_selected(source, settings, metadata)
    else:
        chosen = _cut_from_images(source or photographs_in_the_box(), settings, metadata)
    if metadata.color != "luma":
        return chosen
    calibration, ranking, held_out = (
        [crop.to_luma() for crop in crops] for crops in (chosen.calibration, chosen.ranking, chosen.held_out)
    )
    return Int8Crops(chosen.origin, calibration, ranking, held_out)


def _choose_selected(selection: Path, settings: Int8Settings, metadata: ModelMetadata) -> Int8Crops:
    def choose(split: str, count: int) -> list[Crop]:
        size = (settings.patch_px, metadata.scale, metadata.size_multiple)
        return list(choose_crops(selection, split, count, settings.seed, *size))

    training = choose("train", settings.calibration_crops + settings.held_out_crops)
    calibration = training[: settings.calibration_crops]
    ranking = training[settings.calibration_crops :] or calibration  # a small split has no others
    held_out = choose("validation", settings.held_out_crops)
    return Int8Crops(selection.parent.name, calibration, ranking, held_out)


def _cut_from_images(source: ImageSet, settings: Int8Settings, metadata: ModelMetadata) -> Int8Crops:
    """Cut crops at random from as many images as possible.

    Raises:
        UserError: there are fewer than two images.
    """
    names = sorted(source.images, key=lambda name: number("calibration", settings.seed, name))
    if len(names) < 2:
        raise UserError(
            f"int8 needs two images at least, one to calibrate with and one to measure on; {source.name} has "
            f"{len(names)}",
            "Give a folder with more images",
        )
    held_out, others = names[::HELD_OUT_SHARE], [name for at, name in enumerate(names) if at % HELD_OUT_SHARE]

    def cut(part: Sequence[str], count: int) -> list[Crop]:
        used = part[:count]  # one crop of each where there are more images than crops
        per_image = [count // len(used) + (at < count % len(used)) for at in range(len(used))]
        rounds = [
            _cut_crops(name, source.images[name](), many, settings, metadata)
            for name, many in zip(used, per_image, strict=True)
        ]
        # By rounds: the first crops of all images come before the second ones.
        return [crops[at] for at in range(max(per_image)) for crops in rounds if at < len(crops)]

    training = cut(others, settings.calibration_crops + settings.held_out_crops)
    calibration = training[: settings.calibration_crops]
    ranking = training[settings.calibration_crops :]
    return Int8Crops(source.name, calibration, ranking, cut(held_out, settings.held_out_crops))


def _cut_crops(
    name: str, image: HwcImage, count: int, settings: Int8Settings, metadata: ModelMetadata
) -> list[Crop]:
    """Cut `count` crops at random places.

    Raises:
        UserError: the image is too small.
    """
    step = metadata.scale * metadata.size_multiple
    side_px = min(settings.patch_px, *image.shape[:2]) // step * step
    if not side_px:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise UserError(
            f"The image {name} is too small to calibrate with: {size}",
            f"Remove it, or give images of {step} px",
        )
    places = generator("calibration", settings.seed, name)
    crops = []
    for at in range(count):
        top, left = (int(places.integers(size - side_px + 1)) for size in image.shape[:2])
        crops.append(cut_crop(f"{name}#{at}", image, top, left, side_px, metadata.scale))
    return crops
