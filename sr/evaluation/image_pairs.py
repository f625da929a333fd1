"""Turn the images of a benchmark dataset into pairs of HR and LR images, one at a time.

Only one pair is in memory. What makes a dataset unfit as a whole is refused here: no images, names that would share a
file, LR images for some only.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from sr.evaluation import metrics
from sr.evaluation.image_pair import ImagePair, make_pair
from sr.evaluation.panels import sheet_name
from sr.evaluation.protocols import EvaluationProtocol, check_protocol

if TYPE_CHECKING:
    from sr.evaluation.lpips import Lpips  # it imports torch, which filters and exported files do without

Pixels = npt.NDArray[np.uint8]
NamedImage = tuple[str, Pixels] | tuple[str, Pixels, Pixels]
"""(name, HR image) or (name, HR image, LR image); pixels are uint8, HWC RGB or HW gray."""


def make_pairs(
    images: Iterable[NamedImage], protocol: EvaluationProtocol, lpips: "Lpips | None" = None
) -> Iterator[ImagePair]:
    """Yield the pair of every image.

    Args:
        images: read one by one; names are unique.
        protocol: how HR images are cropped and LR images are made.
        lpips: given if LPIPS is measured, which needs larger images.

    Raises:
        UserError: there are no images; an image is too small, or its LR image has a wrong size; names repeat; LR
            images are provided for some only; the protocol cannot be followed; or LPIPS is asked of luma alone.
    """
    check_protocol(protocol)
    min_side_px = _min_side_px(protocol, lpips)
    provided: set[bool] = set()
    for name, hr_image, lr_image in _check_names(images):
        pair = make_pair(name, hr_image, lr_image, protocol, min_side_px)
        provided.add(pair.lr_provided)
        if len(provided) > 1:
            raise UserError(
                "The benchmark dataset provides LR images for some of its images only",
                "Complete them, or remove them all",
            )
        yield pair
    if not provided:
        raise UserError("The benchmark dataset has no images", "Check its folder")


def _min_side_px(protocol: EvaluationProtocol, lpips: "Lpips | None") -> int:
    """Return the smallest side that the metrics can measure, in pixels."""
    if lpips is None:
        return metrics.SSIM_WINDOW_PX
    if protocol.rounding == "classic":
        raise UserError(
            "LPIPS needs RGB images, but the protocol classic measures luma alone",
            "Choose another protocol, or turn LPIPS off",
        )
    from sr.evaluation.lpips import MIN_SIDE_PX

    return MIN_SIDE_PX


def _check_names(images: Iterable[NamedImage]) -> Iterator[tuple[str, Pixels, Pixels | None]]:
    """Yield the images, with None where there is no LR image; refuse names that would share a file."""
    seen: set[str] = set()
    for name, hr_image, *rest in images:
        if sheet_name(name) in seen:
            raise UserError(
                f"The benchmark dataset has two images named {name!r} (a slash counts as an underscore)",
                "Rename one of the two",
            )
        seen.add(sheet_name(name))
        yield name, hr_image, rest[0] if rest else None
