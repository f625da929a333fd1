"""One image under a protocol: its LR image, what an upscaler makes of it, and how far that is from the truth.

Everything here is about a single image in memory; files and means are `sr.evaluation.evaluate`'s.
"""

import dataclasses

import numpy as np

from data.errors import UserError
from data.records import EvalProtocol
from sr.evaluation import metrics
from sr.evaluation.degradation import degrade
from sr.evaluation.protocols import SUPPLIED, cut_px
from sr.imaging.resize import imresize
from sr.runtime.upscalers import MatlabUpscaler, PillowUpscaler, Upscaler

Scores = dict[str, float]
"""psnr_db, ssim; lpips where that was asked for."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """An HR image, ready to be judged by, and its low one."""

    name: str
    hr_image: np.ndarray
    """uint8 HWC RGB, cut as the protocol wants it; under "classic" its 8-bit luma in all three channels."""
    lr_image: np.ndarray
    """uint8 HWC RGB, smaller by the scale; under "classic" only for looking at, as it is rounded."""
    supplied: bool
    """Whether the benchmark brought the LR image."""


def formula(name: str, protocol: EvalProtocol) -> Upscaler:
    """Bicubic or Lanczos as the protocol wants it computed."""
    kind = MatlabUpscaler if protocol.filters == "matlab" else PillowUpscaler
    return kind(name, protocol.scale)


def make_pair(
    name: str, hr_image: np.ndarray, lr_image: np.ndarray | None, protocol: EvalProtocol, window_px: int
) -> Pair:
    """Cut an HR image as the protocol wants it, and find or make its low one.

    Args:
        name: for errors.
        hr_image: uint8 HWC RGB, or HW gray, which counts as three equal channels.
        lr_image: the same, as the benchmark brought it, or None.
        protocol: a checked one.
        window_px: the smallest side that the metrics can measure after the border is cut.

    Raises:
        UserError: the image is too small, or its low one is missing or of a wrong size.
    """
    is_gray = hr_image.ndim == 2
    hr_image, lr_image = _as_rgb(hr_image), None if lr_image is None else _as_rgb(lr_image)
    scale, multiple = protocol.scale, cut_px(protocol)
    height, width = (size - size % multiple for size in hr_image.shape[:2])
    least = 2 * protocol.border_px + window_px
    if min(height, width) < least:
        size = f"{hr_image.shape[0]}x{hr_image.shape[1]} px"
        size += f" ({height}x{width} after cutting)" if min(hr_image.shape[:2]) >= least else ""
        raise UserError(f"at least {least}x{least} px", size, name, "take the image out of the benchmark")
    if lr_image is not None and protocol.use_supplied:
        lr_image = _fitting(name, lr_image, hr_image.shape[:2], (height, width), scale)
        return Pair(name, np.ascontiguousarray(hr_image[:height, :width]), lr_image, supplied=True)
    if protocol.degradation == SUPPLIED:
        raise UserError("an LR image", "none", name, "add it, or name a degradation that makes it")
    hr_image = np.ascontiguousarray(hr_image[:height, :width])
    if protocol.rounding == "classic":
        # The classic scripts take a gray file's levels for luma as they are.
        hr_image = hr_image if is_gray else _stacked(np.floor(metrics.luma(hr_image) + 0.5).astype(np.uint8))
    return Pair(name, hr_image, degrade(hr_image, scale, protocol.degradation), supplied=False)


def upscale(upscaler: Upscaler, pair: Pair, protocol: EvalProtocol) -> np.ndarray:
    """What an upscaler makes of a pair's LR image.

    Returns:
        uint8 HWC RGB of the HR image's size.

    Raises:
        UserError: the protocol is "classic", and the upscaler takes nothing but bytes of RGB.
    """
    if protocol.rounding != "classic":
        return upscaler(pair.lr_image)
    if not isinstance(upscaler, MatlabUpscaler):
        remedy = "judge it by rgb-network or protocol-a"
        expected = (
            "bicubic or lanczos under the protocol classic, whose LR images are luma of no whole levels"
        )
        raise UserError(expected, "a network of RGB bytes", upscaler.name, remedy)
    plane = pair.hr_image[..., 0]
    height, width = (size // protocol.scale for size in plane.shape)
    lr_image = imresize(plane, height, width, rounding="none")
    levels = np.floor(upscaler.upscale_plane(lr_image) + 0.5).clip(0, 255).astype(np.uint8)
    return _stacked(levels)


def score(hr_image: np.ndarray, ours: np.ndarray, protocol: EvalProtocol) -> Scores:
    """PSNR (dB, infinite for equal images) and SSIM of two uint8 HWC RGB images of one shape."""
    first, second = (
        metrics.crop_border(_measured(image, protocol), protocol.border_px) for image in (hr_image, ours)
    )
    data_range = float(protocol.data_range)
    return {
        "psnr_db": metrics.psnr(first, second, data_range),
        "ssim": metrics.ssim(first, second, data_range),
    }


def _measured(image: np.ndarray, protocol: EvalProtocol) -> np.ndarray:
    """The values that are compared: uint8 HWC, or HW float64 luma."""
    if protocol.channel == "rgb":
        return image
    if protocol.rounding == "classic":
        return image[..., 0]
    luma = metrics.luma(image)
    return np.floor(luma + 0.5) if protocol.rounding == "luma" else luma


def _fitting(
    name: str, lr_image: np.ndarray, given: tuple[int, int], cut: tuple[int, int], scale: int
) -> np.ndarray:
    """A supplied LR image, cut along with its high one; refused where it cannot belong to it."""
    wanted = tuple(size // scale for size in given)
    if lr_image.shape[:2] != wanted:
        expected, got = (f"{size[0]}x{size[1]} px" for size in (wanted, lr_image.shape))
        remedy = "supply the one that belongs to the HR image, or check --scale"
        raise UserError(f"an LR image of {expected}", got, name, remedy)
    return np.ascontiguousarray(lr_image[: cut[0] // scale, : cut[1] // scale])


def _as_rgb(image: np.ndarray) -> np.ndarray:
    return _stacked(image) if image.ndim == 2 else image


def _stacked(plane: np.ndarray) -> np.ndarray:
    return np.stack([plane] * 3, axis=2)
