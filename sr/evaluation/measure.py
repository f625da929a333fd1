"""One picture under a protocol: its low picture, what an upscaler makes of it, and how far that is from the truth.

Everything here is about a single picture in memory; files and means are `sr.evaluation.evaluate`'s.
"""

import dataclasses

import numpy as np

from data.errors import UserError
from data.records import EvalProtocol
from sr.evaluation import metrics
from sr.evaluation.degrade import degrade
from sr.evaluation.protocols import SUPPLIED, cut_px
from sr.resize import imresize
from sr.upscalers import MatlabUpscaler, PillowUpscaler, Upscaler

Scores = dict[str, float]
"""psnr_db, ssim; lpips where that was asked for."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A high picture, ready to be judged by, and its low one."""

    name: str
    high: np.ndarray
    """uint8 HWC RGB, cut as the protocol wants it; under "classic" its 8-bit luma in all three channels."""
    low: np.ndarray
    """uint8 HWC RGB, smaller by the scale; under "classic" only for looking at, as it is rounded."""
    supplied: bool
    """Whether the benchmark brought the low picture."""


def formula(name: str, protocol: EvalProtocol) -> Upscaler:
    """Bicubic or Lanczos as the protocol wants it computed."""
    kind = MatlabUpscaler if protocol.filters == "matlab" else PillowUpscaler
    return kind(name, protocol.scale)


def make_pair(
    name: str, high: np.ndarray, low: np.ndarray | None, protocol: EvalProtocol, window_px: int
) -> Pair:
    """Cut a high picture as the protocol wants it, and find or make its low one.

    Args:
        name: for errors.
        high: uint8 HWC RGB, or HW grey, which counts as three equal channels.
        low: the same, as the benchmark brought it, or None.
        protocol: a checked one.
        window_px: the smallest side that the metrics can measure after the border is cut.

    Raises:
        UserError: the picture is too small, or its low one is missing or of a wrong size.
    """
    is_grey = high.ndim == 2
    high, low = _as_rgb(high), None if low is None else _as_rgb(low)
    scale, multiple = protocol.scale, cut_px(protocol)
    height, width = (size - size % multiple for size in high.shape[:2])
    least = 2 * protocol.border_px + window_px
    if min(height, width) < least:
        size = f"{high.shape[0]}x{high.shape[1]} px"
        size += f" ({height}x{width} after cutting)" if min(high.shape[:2]) >= least else ""
        raise UserError(f"at least {least}x{least} px", size, name, "take the picture out of the benchmark")
    if low is not None and protocol.use_supplied:
        low = _fitting(name, low, high.shape[:2], (height, width), scale)
        return Pair(name, np.ascontiguousarray(high[:height, :width]), low, supplied=True)
    if protocol.degradation == SUPPLIED:
        raise UserError("a low picture", "none", name, "add it, or name a degradation that makes it")
    high = np.ascontiguousarray(high[:height, :width])
    if protocol.rounding == "classic":
        # The classic scripts take a grey file's levels for luma as they are.
        high = high if is_grey else _stacked(np.floor(metrics.luma(high) + 0.5).astype(np.uint8))
    return Pair(name, high, degrade(high, scale, protocol.degradation), supplied=False)


def enlarge(upscaler: Upscaler, pair: Pair, protocol: EvalProtocol) -> np.ndarray:
    """What an upscaler makes of a pair's low picture.

    Returns:
        uint8 HWC RGB of the high picture's size.

    Raises:
        UserError: the protocol is "classic", and the upscaler takes nothing but bytes of RGB.
    """
    if protocol.rounding != "classic":
        return upscaler(pair.low)
    if not isinstance(upscaler, MatlabUpscaler):
        remedy = "judge it by rgb-network or protocol-a"
        expected = (
            "bicubic or lanczos under the protocol classic, whose low pictures are luma of no whole levels"
        )
        raise UserError(expected, "a network of RGB bytes", upscaler.name, remedy)
    plane = pair.high[..., 0]
    height, width = (size // protocol.scale for size in plane.shape)
    low = imresize(plane, height, width, rounding="none")
    levels = np.floor(upscaler.enlarge_plane(low) + 0.5).clip(0, 255).astype(np.uint8)
    return _stacked(levels)


def score(high: np.ndarray, ours: np.ndarray, protocol: EvalProtocol) -> Scores:
    """PSNR (dB, infinite for equal pictures) and SSIM of two uint8 HWC RGB pictures of one shape."""
    first, second = (
        metrics.crop_border(_measured(picture, protocol), protocol.border_px) for picture in (high, ours)
    )
    data_range = float(protocol.data_range)
    return {
        "psnr_db": metrics.psnr(first, second, data_range),
        "ssim": metrics.ssim(first, second, data_range),
    }


def _measured(picture: np.ndarray, protocol: EvalProtocol) -> np.ndarray:
    """The values that are compared: uint8 HWC, or HW float64 luma."""
    if protocol.channel == "rgb":
        return picture
    if protocol.rounding == "classic":
        return picture[..., 0]
    luma = metrics.luma(picture)
    return np.floor(luma + 0.5) if protocol.rounding == "luma" else luma


def _fitting(
    name: str, low: np.ndarray, given: tuple[int, int], cut: tuple[int, int], scale: int
) -> np.ndarray:
    """A supplied low picture, cut along with its high one; refused where it cannot belong to it."""
    wanted = tuple(size // scale for size in given)
    if low.shape[:2] != wanted:
        expected, got = (f"{size[0]}x{size[1]} px" for size in (wanted, low.shape))
        remedy = "supply the one that belongs to the high picture, or check --scale"
        raise UserError(f"a low picture of {expected}", got, name, remedy)
    return np.ascontiguousarray(low[: cut[0] // scale, : cut[1] // scale])


def _as_rgb(picture: np.ndarray) -> np.ndarray:
    return _stacked(picture) if picture.ndim == 2 else picture


def _stacked(plane: np.ndarray) -> np.ndarray:
    return np.stack([plane] * 3, axis=2)
