"""Evaluate one image under a protocol: make its LR image, upscale it, and measure the distance from the original.

Everything here is about a single image in memory; files and means belong to `sr.evaluation.evaluate`.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from sr.evaluation import metrics
from sr.evaluation.degradation import RgbImage, degrade
from sr.evaluation.protocols import PROVIDED, EvaluationProtocol, crop_multiple
from sr.imaging.resize import imresize
from sr.runtime.filters import MatlabUpscaler, PillowUpscaler
from sr.runtime.upscaler import Upscaler

Figures = dict[str, float]
"""psnr_db and ssim; lpips where it is measured."""


@dataclasses.dataclass(frozen=True)
class ImagePair:
    """An HR image to compare with, and its LR image."""

    name: str
    hr_image: RgbImage
    """uint8 HWC RGB, cropped as the protocol says; under "classic" its 8-bit luma in all three channels."""
    lr_image: RgbImage
    """uint8 HWC RGB, smaller by the scale; under "classic" it is rounded, and only for looking at."""
    lr_provided: bool
    """Whether the benchmark dataset provided the LR image."""


def build_baseline(name: str, protocol: EvaluationProtocol) -> Upscaler:
    """Return the bicubic or Lanczos upscaler of a protocol.

    Args:
        name: "bicubic" or "lanczos".
        protocol: its `filters` say whose implementation is used.
    """
    if protocol.filters == "matlab":
        return MatlabUpscaler(name, protocol.scale)
    return PillowUpscaler(name, protocol.scale)


def make_pair(
    name: str,
    hr_image: npt.NDArray[np.uint8],
    lr_image: npt.NDArray[np.uint8] | None,
    protocol: EvaluationProtocol,
    min_side_px: int,
) -> ImagePair:
    """Crop an HR image as the protocol says, and crop or make its LR image.

    Args:
        name: of the image, for errors.
        hr_image: uint8 HWC RGB, or HW gray, which counts as three equal channels.
        lr_image: the same, as the benchmark dataset provides it, or None.
        protocol: a checked one.
        min_side_px: the smallest side that the metrics can measure after the border is cropped.

    Raises:
        UserError: the image is too small, or its LR image is missing or of a wrong size.
    """
    is_gray = hr_image.ndim == 2
    full = _as_rgb(hr_image)
    height, width = _cropped_size(name, full, protocol, min_side_px)
    cropped = np.ascontiguousarray(full[:height, :width])
    if lr_image is not None and protocol.use_provided_lr:
        lr_image = _as_rgb(lr_image)
        _check_lr_size(name, lr_image, full, protocol.scale)
        lr_image = np.ascontiguousarray(lr_image[: height // protocol.scale, : width // protocol.scale])
        return ImagePair(name, cropped, lr_image, lr_provided=True)
    if protocol.degradation == PROVIDED:
        raise UserError(
            f"{name} has no LR image, but the protocol uses provided ones",
            "Add it, or choose a degradation that makes it",
        )
    if protocol.rounding == "classic" and not is_gray:
        # The classic scripts take the levels of a gray file for luma as they are.
        cropped = _repeat_plane(np.floor(metrics.luma(cropped) + 0.5).astype(np.uint8))
    return ImagePair(name, cropped, degrade(cropped, protocol.scale, protocol.degradation), lr_provided=False)


def upscale_pair(upscaler: Upscaler, pair: ImagePair, protocol: EvaluationProtocol) -> RgbImage:
    """Upscale the LR image of a pair.

    Returns:
        uint8 HWC RGB of the HR image's size.

    Raises:
        UserError: the protocol is "classic", and the upscaler takes only 8-bit RGB.
    """
    if protocol.rounding != "classic":
        return upscaler(pair.lr_image)
    if not isinstance(upscaler, MatlabUpscaler):
        raise UserError(
            f"{upscaler.name} takes 8-bit RGB, but the LR images of the protocol classic are unrounded luma: only "
            "bicubic and lanczos can be evaluated by it",
            "Use the protocol rgb-network or protocol-a",
        )
    plane = pair.hr_image[..., 0]
    height, width = (size // protocol.scale for size in plane.shape)
    lr_plane = imresize(plane, height, width, rounding="none")
    levels = np.floor(upscaler.upscale_plane(lr_plane) + 0.5).clip(0, 255).astype(np.uint8)
    return _repeat_plane(levels)


def measure(hr_image: RgbImage, upscaled: RgbImage, protocol: EvaluationProtocol) -> Figures:
    """Measure PSNR (dB, infinite for equal images) and SSIM of two uint8 HWC RGB images of one shape."""
    original, result = (
        metrics.crop_border(_select_channel(image, protocol), protocol.border_px)
        for image in (hr_image, upscaled)
    )
    data_range = float(protocol.data_range)
    return {
        "psnr_db": metrics.psnr(original, result, data_range),
        "ssim": metrics.ssim(original, result, data_range),
    }


def _select_channel(image: RgbImage, protocol: EvaluationProtocol) -> metrics.Pixels:
    """Return the values that are compared: uint8 HWC, or HW luma."""
    if protocol.channel == "rgb":
        return image
    if protocol.rounding == "classic":
        return image[..., 0]
    luma = metrics.luma(image)
    return np.floor(luma + 0.5) if protocol.rounding == "luma" else luma


def _cropped_size(
    name: str, hr_image: RgbImage, protocol: EvaluationProtocol, min_side_px: int
) -> tuple[int, int]:
    """Return height and width after modcrop; refuse an image that is too small to be measured."""
    multiple = crop_multiple(protocol)
    height, width = (size - size % multiple for size in hr_image.shape[:2])
    least = 2 * protocol.border_px + min_side_px
    if min(height, width) < least:
        found = f"{hr_image.shape[0]}x{hr_image.shape[1]} px"
        if min(hr_image.shape[:2]) >= least:
            found += f" ({height}x{width} after cropping)"
        raise UserError(
            f"{name} is {found}, but the protocol needs at least {least}x{least} px",
            "Remove it from the benchmark dataset",
        )
    return height, width


def _check_lr_size(name: str, lr_image: RgbImage, hr_image: RgbImage, scale: int) -> None:
    """Refuse a provided LR image that cannot belong to its HR image (before cropping)."""
    height, width = (size // scale for size in hr_image.shape[:2])
    if lr_image.shape[:2] != (height, width):
        raise UserError(
            f"The LR image of {name} is {lr_image.shape[0]}x{lr_image.shape[1]} px, "
            f"but its HR image needs one of {height}x{width} px",
            "Replace it with the one that belongs to the HR image, or check --scale",
        )


def _as_rgb(image: npt.NDArray[np.uint8]) -> RgbImage:
    return _repeat_plane(image) if image.ndim == 2 else image


def _repeat_plane(plane: npt.NDArray[np.uint8]) -> RgbImage:
    return np.stack([plane] * 3, axis=2)
