"""Convert decoded frames to RGB: uint8 height x width x 3, as an SDR display with BT.709 primaries shows them.

Color metadata in the video is used as it is. Missing metadata gets the usual default for that kind of video;
unsupported metadata is an ImageFault. Nothing is ever dithered or sharpened.
"""

import dataclasses
import functools
import struct
from fractions import Fraction

import av.filter
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from data.imaging.decode import ImageFault
from data.records import Box, RejectionReason
from data.video import tonemap
from data.video.pyav import build_filter_graph, read_side_data

_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
"""Matrix coefficients of H.273 to the scale filter's names; constant luminance, ICtCp and IPT are not supported."""
UNSPECIFIED = 2
"""The number of H.273 for unspecified primaries, transfer characteristics or matrix coefficients."""
FULL_RANGE = 2
"""FFmpeg's number for samples that use all code values (AVCOL_RANGE_JPEG)."""
_SDR_TRANSFERS = (1, UNSPECIFIED, 4, 5, 6, 7, 11, 12, 13, 14, 15)
"""Transfer characteristics of H.273 that are not converted: all are made for SDR displays."""
_HDR_TRANSFERS = {16: tonemap.PQ, 18: tonemap.HLG}
_BT2020 = 9
_HD_HEIGHT, _HD_WIDTH = 720, 1280
"""From this size on an unspecified matrix is BT.709, below it BT.601, as in players."""
_SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none:out_range=pc"
_WHITE_8_BITS = 255 << 8
MASTERING_DISPLAY = struct.Struct("22i")
"""FFmpeg's AVMasteringDisplayMetadata: ten rationals (the last is the peak luminance) and two flags."""


@dataclasses.dataclass(frozen=True)
class ColorInfo:
    """How a frame's code values become light."""

    matrix: str
    """YUV matrix, by the scale filter's name; empty for RGB."""
    is_full_range: bool
    chroma_location: str
    """Where 4:2:0 chroma samples lie: left, center or topleft."""
    transfer: str
    """tonemap.PQ, tonemap.HLG or tonemap.SDR."""
    is_bt2020: bool
    """Whether the primaries are those of BT.2020; otherwise those of BT.709, which stand in for BT.601's too."""


def read_color_info(frame: VideoFrame) -> ColorInfo:
    """Return a frame's color metadata, with defaults for what is unspecified.

    Raises:
        ImageFault: the matrix, transfer or primaries are not supported.
    """
    transfer = _HDR_TRANSFERS.get(frame.color_trc)
    if transfer is None and frame.color_trc not in _SDR_TRANSFERS:
        raise ImageFault(RejectionReason.UNSUPPORTED, f"transfer characteristics {frame.color_trc} of H.273")
    is_bt2020 = frame.color_primaries == _BT2020 or (
        transfer is not None and frame.color_primaries == UNSPECIFIED
    )
    if transfer is not None and not is_bt2020:
        detail = f"{transfer} with primaries {frame.color_primaries} of H.273 instead of BT.2020's"
        raise ImageFault(RejectionReason.UNSUPPORTED, detail)
    is_rgb = frame.format.is_rgb
    matrix = "" if is_rgb else _matrix_name(frame, is_bt2020)
    is_full_range = is_rgb or frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
    chroma_location = "topleft" if transfer else "center" if is_full_range else "left"
    return ColorInfo(matrix, is_full_range, chroma_location, transfer or tonemap.SDR, is_bt2020)


def _matrix_name(frame: VideoFrame, is_bt2020: bool) -> str:
    if frame.colorspace in _MATRICES:
        return _MATRICES[frame.colorspace]
    if frame.colorspace != UNSPECIFIED:
        raise ImageFault(RejectionReason.UNSUPPORTED, f"matrix coefficients {frame.colorspace} of H.273")
    if is_bt2020:
        return "bt2020"
    return "bt709" if frame.height >= _HD_HEIGHT or frame.width >= _HD_WIDTH else "bt601"


def to_rgb(frame: VideoFrame, box: Box) -> npt.NDArray[np.uint8]:
    """Convert part of a frame to SDR RGB.

    Limited range is stretched, chroma is interpolated (bicubic), and HDR or BT.2020 is mapped by `tonemap.ToneMap`.

    Args:
        frame: as it comes from the decoder.
        box: the part to return, in pixels of the frame.

    Returns:
        uint8, box.height x box.width x 3.

    Raises:
        ImageFault: see `read_color_info`.
    """
    color = read_color_info(frame)
    rgb = _to_rgb16(frame, color)
    code = rgb[box.top : box.top + box.height, box.left : box.left + box.width]
    white = _white(frame, color)
    if not color.is_bt2020:
        return np.asarray(cv2.convertScaleAbs(code, alpha=255 / white), np.uint8)
    peak_nits = tonemap.SDR_WHITE_NITS
    if color.transfer != tonemap.SDR:
        peak_nits = read_peak_nits(frame) if color.transfer == tonemap.PQ else tonemap.HLG_PEAK_NITS
    return _tone_map(color.transfer, peak_nits, white)(code)


def _to_rgb16(frame: VideoFrame, color: ColorInfo) -> npt.NDArray[np.uint16]:
    """Return uint16 height x width x 3 R'G'B'; `_white` says which value is 1.0."""
    graph = _rgb_graph(frame, color)
    graph.vpush(frame)
    return graph.vpull().to_ndarray().view(np.uint16)


def _rgb_graph(frame: VideoFrame, color: ColorInfo) -> av.filter.Graph:
    options = _SCALE
    if color.matrix:
        options += f":in_color_matrix={color.matrix}:in_range={'pc' if color.is_full_range else 'tv'}"
        options += f":in_chroma_loc={color.chroma_location}"
    time_base = frame.time_base or Fraction(1)
    return build_filter_graph(frame, time_base, ("scale", options), ("format", "gbrp16le"))


def _white(frame: VideoFrame, color: ColorInfo) -> int:
    """Return the 16-bit value that the scale filter gives to white: it scales by shifting, not dividing."""
    depth = frame.format.components[0].bits
    return ((1 << depth) - 1) << (16 - depth) if color.is_full_range else _WHITE_8_BITS


@functools.lru_cache(maxsize=8)
def _tone_map(transfer: str, peak_nits: float, white: int) -> tonemap.ToneMap:
    return tonemap.ToneMap(transfer, peak_nits, white)


def read_peak_nits(frame: VideoFrame) -> float:
    """Return the peak luminance of a PQ video: whole cd/m², 100 to 10,000.

    It is the smaller of the brightest pixel (MaxCLL) and the mastering display's peak, of those that are stated and
    not 0; 1,000 if neither is.
    """
    stated: list[float] = []
    side_data = read_side_data(frame)
    mastering = side_data.get("MASTERING_DISPLAY_METADATA", b"")
    if len(mastering) >= MASTERING_DISPLAY.size:
        fields = MASTERING_DISPLAY.unpack_from(mastering)
        numerator, denominator, has_luminance = fields[18], fields[19], fields[21]
        if has_luminance and numerator > 0 and denominator > 0:
            stated.append(numerator / denominator)
    light_level = side_data.get("CONTENT_LIGHT_LEVEL")
    if light_level is not None:
        max_cll = struct.unpack_from("I", light_level)[0]
        stated += [max_cll] if max_cll else []
    peak = round(min(stated, default=tonemap.DEFAULT_PEAK_NITS))
    return float(min(max(peak, tonemap.SDR_WHITE_NITS), tonemap.PQ_PEAK_NITS))
