"""Check that an exported model is as good as its network: equal on generated images, as accurate on photographs.

An export that misses a bound is refused with the figures. Nothing here runs a model itself: callers pass in functions
that do.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data.errors import UserError
from sr.evaluation.metrics import PSNR_CAP_DB, crop_border, psnr, psnr_of_error
from sr.export.calibration import Crop, HwcImage, load_photographs
from sr.export.parity import Parity, Runner, compare_outputs, make_test_batches, make_test_image
from sr.models.metadata import ModelMetadata

MAX_LEVEL_DIFFERENCE = 1
"""Largest allowed difference of an fp32 model, computed in fp32, from the network, in any pixel."""
MIN_FP16_PSNR_DB = 50.0
"""Least PSNR of an fp16 IR against the network; the device chooses the float type. An average error of half a level
changes no benchmark figure."""
MAX_FP16_LOSS_DB = 0.02
"""Largest loss of an fp16 IR on photographs, compared with the network; the device chooses the float type."""


@dataclasses.dataclass(frozen=True)
class PhotographParity:
    """The accuracy of an exported model and of its network on photographs."""

    images: int
    reference_psnr_db: float
    """PSNR of the network against the originals, over all pixels of all images and the channels it works on."""
    psnr_db: float
    """The same for the exported model."""
    bound_db: float | None
    """Largest allowed loss; None where `bound_levels` applies."""
    largest_loss_db: float
    """Largest loss on a single image."""
    max_level_difference: int
    """Largest difference from the network, in any pixel, in levels."""
    bound_levels: int | None
    """Largest allowed difference; None where `bound_db` applies."""

    def rounded(self) -> "PhotographParity":
        """Round the figures to four digits, for a record."""
        return dataclasses.replace(
            self,
            reference_psnr_db=round(self.reference_psnr_db, 4),
            psnr_db=round(self.psnr_db, 4),
            largest_loss_db=round(self.largest_loss_db, 4),
        )


def check_parity(
    run: Runner, reference: Runner, metadata: ModelMetadata, size: tuple[int, int] | None = None
) -> Parity:
    """Compare an exported model with its network on generated images.

    Args:
        run: runs the exported model.
        reference: runs the network, in float32.
        metadata: of the exported model.
        size: the only input height and width that it accepts; None: any.

    Raises:
        UserError: an fp32 or fp16 model differs too much. (int8 has no bound here.)
    """
    channels = metadata.channels
    batches = (
        [make_test_image(*size, channels)] if size else make_test_batches(metadata.size_multiple, channels)
    )
    parity = compare_outputs(reference, run, batches)
    psnr_db = PSNR_CAP_DB if parity.psnr_db is None else parity.psnr_db
    if metadata.precision == "fp32" and parity.max_level_difference > MAX_LEVEL_DIFFERENCE:
        raise _level_difference_error(parity.max_level_difference, metadata, "generated images")
    if metadata.precision == "fp16" and psnr_db < MIN_FP16_PSNR_DB:
        raise _inaccurate_error(
            metadata,
            "generated images",
            f"has a PSNR of {psnr_db} dB against the network (at least {MIN_FP16_PSNR_DB} dB is required)",
        )
    return parity


def check_photographs(run: Runner, reference: Runner, metadata: ModelMetadata) -> PhotographParity:
    """Compare an exported fp32 or fp16 model with its network on photographs.

    Args:
        run, reference, metadata: as for `check_parity`.

    Raises:
        UserError: an fp32 model differs by more than MAX_LEVEL_DIFFERENCE in a pixel, or an fp16 model loses more
            than MAX_FP16_LOSS_DB.
    """
    crops = load_photographs(metadata.scale, metadata.size_multiple)
    if metadata.color == "luma":
        crops = [crop.to_luma() for crop in crops]
    found = _measure_photographs(run, reference, metadata, crops)
    if found.bound_levels is not None and found.max_level_difference > found.bound_levels:
        raise _level_difference_error(found.max_level_difference, metadata, f"{found.images} photographs")
    if found.bound_db is not None and found.reference_psnr_db - found.psnr_db > found.bound_db:
        figures = f"{found.psnr_db:.3f} dB, the network {found.reference_psnr_db:.3f} dB"
        raise _inaccurate_error(
            metadata,
            f"{found.images} photographs",
            f"reaches {figures} (a loss of {found.bound_db} dB is allowed)",
        )
    return found.rounded()


def _measure_photographs(
    run: Runner, reference: Runner, metadata: ModelMetadata, crops: Sequence[Crop]
) -> PhotographParity:
    reference_errors, errors = (
        [_squared_error(runner, crop, metadata.scale) for crop in crops] for runner in (reference, run)
    )
    losses_db = [_psnr_db(ref) - _psnr_db(ours) for ref, ours in zip(reference_errors, errors, strict=True)]
    is_fp32 = metadata.precision == "fp32"
    # The bound is on all pixels together: an image that the network restores to within half a level (retina, 51 dB)
    # shows the rounding of bf16, which no benchmark figure does. `largest_loss_db` records it.
    return PhotographParity(
        images=len(crops),
        reference_psnr_db=_psnr_db(sum(reference_errors) / len(crops)),
        psnr_db=_psnr_db(sum(errors) / len(crops)),
        bound_db=None if is_fp32 else MAX_FP16_LOSS_DB,
        largest_loss_db=max(losses_db),
        max_level_difference=compare_outputs(
            reference, run, [crop.lr_image[None] for crop in crops]
        ).max_level_difference,
        bound_levels=MAX_LEVEL_DIFFERENCE if is_fp32 else None,
    )


def mean_psnr_db(run: Runner, crops: Sequence[Crop], border_px: int) -> float:
    """Compute the PSNR against the originals in dB, mean over the crops.

    Args:
        run: runs the model.
        crops: at least one.
        border_px: rows and columns at each edge of the HR image that are not counted.
    """
    figures = []
    for crop in crops:
        original, upscaled = _crop_pair(run, crop, border_px)
        figures.append(min(psnr(original, upscaled), PSNR_CAP_DB))
    return sum(figures) / len(figures)


def _crop_pair(run: Runner, crop: Crop, border_px: int) -> tuple[HwcImage, HwcImage]:
    upscaled = run(crop.lr_image[None])[0]
    return crop_border(crop.hr_image, border_px), crop_border(upscaled, border_px)


def _squared_error(run: Runner, crop: Crop, border_px: int) -> float:
    """Return the mean squared error of one crop, in levels squared."""
    original, upscaled = _crop_pair(run, crop, border_px)
    return float(np.square(original.astype(np.float64) - upscaled).mean())


def _psnr_db(squared_error: float) -> float:
    return min(PSNR_CAP_DB, psnr_of_error(squared_error))


def _level_difference_error(difference: int, metadata: ModelMetadata, images: str) -> UserError:
    return _inaccurate_error(
        metadata,
        images,
        f"differs from the network by {difference} levels in a pixel ({MAX_LEVEL_DIFFERENCE} is allowed)",
    )


def _inaccurate_error(metadata: ModelMetadata, images: str, problem: str) -> UserError:
    return UserError(
        f"The {metadata.precision} model {problem}, on {images}",
        "Use another precision, and report this with the model's preset",
    )
