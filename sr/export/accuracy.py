"""Whether an exported form is as good as the network that it was made from: on drawn images, and on photographs
by what matters to those who look at them, the distance from the originals.

Raises where a bound is missed, and else gives the figures. Never runs a device of its own: it is handed what runs.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from data.errors import UserError
from sr.evaluation import metrics
from sr.export.calibration import Crop, photographs
from sr.export.parity import Parity, Run, image_batches, image_of, measure
from sr.models.metadata import ModelMetadata

LARGEST_DIFFERENCE = 1
"""Levels by which a form in fp32, run in fp32, may differ from the network in any pixel."""
LEAST_HALF_PSNR_DB = 50.0
"""Of an fp16 IR, run as the device likes, against the network: half a level off on average moves no
figure."""
HALF_LOSS_DB = 0.02
"""By so much an fp16 IR, run as the device likes, may lie below the network on photographs."""
PSNR_CAP_DB = 100.0


@dataclasses.dataclass(frozen=True)
class PhotographParity:
    """How a form and its network do on the photographs."""

    images: int
    reference_psnr_db: float
    """Against the originals, of all pixels of all images and of the planes that the model works on."""
    psnr_db: float
    """The same of the form."""
    bound_db: float | None
    """By so much the form may lie below; None where levels are bounded instead."""
    largest_loss_db: float
    """By so much the form lies below on the image where it does so most."""
    max_level_difference: int
    """Of the form from the network, in any pixel."""
    bound_levels: int | None
    """None where decibels are bounded instead."""


def check_parity(
    run: Run, reference: Run, metadata: ModelMetadata, size: tuple[int, int] | None = None
) -> Parity:
    """Run both on the drawn images.

    Args:
        run: the form.
        reference: the network, in float32.
        metadata: the form's.
        size: the one height and width that the form takes; None for any.

    Raises:
        UserError: fp32 or fp16 lies too far off. (Drawn images say nothing of int8.)
    """
    channels = metadata.channels
    batches = [image_of(*size, channels)] if size else image_batches(metadata.size_multiple, channels)
    parity = measure(reference, run, batches)
    too_far = metadata.precision == "fp32" and parity.max_level_difference > LARGEST_DIFFERENCE
    too_noisy = metadata.precision == "fp16" and (parity.psnr_db or PSNR_CAP_DB) < LEAST_HALF_PSNR_DB
    if too_far or too_noisy:
        raise _missed(
            f"at most {LARGEST_DIFFERENCE} level from the network, or {LEAST_HALF_PSNR_DB} dB for fp16",
            f"{parity.max_level_difference} levels, {parity.psnr_db} dB",
            metadata,
            "drawn images",
        )
    return parity


def check_photographs(run: Run, reference: Run, metadata: ModelMetadata) -> PhotographParity:
    """Run both on the photographs; a form in fp32 or fp16.

    Args: as `check_parity`.

    Raises:
        UserError: fp32 differs by more than a level somewhere, or fp16 loses more than HALF_LOSS_DB.
    """
    crops = photographs(metadata.scale, metadata.size_multiple)
    if metadata.color == "luma":
        crops = [crop.in_luma() for crop in crops]
    errors = [[_squared_error(form, crop, metadata.scale) for crop in crops] for form in (reference, run)]
    # Of all pixels together: an image that the network restores to within half a level (retina, 51 dB) shows bf16's
    # own rounding, which no figure of a real benchmark does; how far it falls is told beside.
    whole, ours = (_psnr_db(sum(each) / len(each)) for each in errors)
    losses = [_psnr_db(one) - _psnr_db(other) for one, other in zip(*errors, strict=True)]
    furthest = measure(reference, run, [crop.lr_image[None] for crop in crops]).max_level_difference
    exact = metadata.precision == "fp32"
    if furthest > LARGEST_DIFFERENCE if exact else whole - ours > HALF_LOSS_DB:
        raise _missed(
            f"at most {LARGEST_DIFFERENCE} level from the network, or {HALF_LOSS_DB} dB below it for fp16",
            f"{furthest} levels, {ours:.3f} dB against {whole:.3f} dB",
            metadata,
            f"{len(crops)} photographs",
        )
    return PhotographParity(
        images=len(crops),
        reference_psnr_db=round(whole, 4),
        psnr_db=round(ours, 4),
        bound_db=None if exact else HALF_LOSS_DB,
        largest_loss_db=round(max(losses), 4),
        max_level_difference=furthest,
        bound_levels=LARGEST_DIFFERENCE if exact else None,
    )


def mean_psnr_db(run: Run, crops: Sequence[Crop], border_px: int) -> float:
    """PSNR against the originals, dB, mean over the crops; an equal image counts as PSNR_CAP_DB.

    Args:
        run: a form of the network.
        crops: one at least.
        border_px: not measured, of the HR image.
    """
    scores = []
    for crop in crops:
        pair = (metrics.crop_border(one, border_px) for one in (crop.hr_image, run(crop.lr_image[None])[0]))
        scores.append(min(metrics.psnr(*pair), PSNR_CAP_DB))
    return sum(scores) / len(scores)


def _squared_error(run: Run, crop: Crop, border_px: int) -> float:
    """The mean squared error of one crop, in levels squared."""
    hr_image, ours = (
        metrics.crop_border(one, border_px) for one in (crop.hr_image, run(crop.lr_image[None])[0])
    )
    return float(np.square(hr_image.astype(np.float64) - ours).mean())


def _psnr_db(squared_error: float) -> float:
    return min(PSNR_CAP_DB, 10 * math.log10(255.0**2 / squared_error)) if squared_error else PSNR_CAP_DB


def _missed(expected: str, got: str, metadata: ModelMetadata, images: str) -> UserError:
    remedy = "use another form meanwhile, and report this with the model's preset"
    return UserError(expected, got, f"the {metadata.precision} form, on {images}", remedy)
