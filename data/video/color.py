"""From a decoded frame to the project's pixels: uint8 height x width x 3 RGB, as an SDR display of BT.709 shows them.

What the video says of its colors is believed; what it leaves unsaid is taken as its kind of video has it; what has no
plain meaning is an ImageFault. Nothing is ever dithered or sharpened.
"""

import dataclasses
import functools
import struct
from fractions import Fraction

import av.filter
import cv2
import numpy as np
from av.video.frame import VideoFrame

from data.imaging.decode import ImageFault
from data.records import Box, Reason
from data.video import tonemap

_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
"""Matrix coefficients of H.273 to the scale filter's names; constant luminance, ICtCp and IPT are refused."""
_UNSAID = 2
_SDR_TRANSFERS = (1, _UNSAID, 4, 5, 6, 7, 11, 12, 13, 14, 15)
"""Transfer characteristics of H.273 that are shown as they are: all meant for SDR displays."""
_HDR_TRANSFERS = {16: tonemap.PQ, 18: tonemap.HLG}
_BT2020 = 9
_FULL_RANGE = 2
_HD_ROWS, _HD_COLUMNS = 720, 1280
"""From here on an unsaid matrix is BT.709's, below BT.601's, as players have it."""
_SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none:out_range=pc"
_WHITE_8_BITS = 255 << 8
_MASTERING = struct.Struct("22i")
"""FFmpeg's AVMasteringDisplayMetadata: ten rationals (of which the last is the peak) and two flags."""


@dataclasses.dataclass(frozen=True)
class Colors:
    """How a frame's numbers become light."""

    matrix: str
    """Of the scale filter; empty for RGB."""
    is_full_range: bool
    siting: str
    """Where 4:2:0 chroma samples lie: left, center or topleft."""
    transfer: str
    """tone.PQ, tonemap.HLG or tonemap.SDR."""
    is_wide: bool
    """Whether the primaries are BT.2020's; else BT.709's, which BT.601's are taken for."""


def describe(frame: VideoFrame) -> Colors:
    """Return what a frame says of its colors, with what it leaves unsaid filled in.

    Raises:
        ImageFault: a matrix, transfer or set of primaries that is not converted.
    """
    transfer = _HDR_TRANSFERS.get(frame.color_trc)
    if transfer is None and frame.color_trc not in _SDR_TRANSFERS:
        raise ImageFault(Reason.UNSUPPORTED, f"transfer characteristics {frame.color_trc} of H.273")
    is_wide = frame.color_primaries == _BT2020 or (transfer is not None and frame.color_primaries == _UNSAID)
    if transfer is not None and not is_wide:
        found = f"{transfer} with primaries {frame.color_primaries} of H.273; BT.2020's were expected"
        raise ImageFault(Reason.UNSUPPORTED, found)
    is_rgb = frame.format.is_rgb
    matrix = "" if is_rgb else _matrix(frame, is_wide)
    is_full_range = is_rgb or frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    siting = "topleft" if transfer else "center" if is_full_range else "left"
    return Colors(matrix, is_full_range, siting, transfer or tonemap.SDR, is_wide)


def _matrix(frame: VideoFrame, is_wide: bool) -> str:
    if frame.colorspace in _MATRICES:
        return _MATRICES[frame.colorspace]
    if frame.colorspace != _UNSAID:
        raise ImageFault(Reason.UNSUPPORTED, f"matrix coefficients {frame.colorspace} of H.273")
    if is_wide:
        return "bt2020"
    return "bt709" if frame.height >= _HD_ROWS or frame.width >= _HD_COLUMNS else "bt601"


def to_rgb(frame: VideoFrame, box: Box) -> np.ndarray:
    """Convert a frame.

    Args:
        frame: as decoded.
        box: the part that is wanted.

    Returns:
        uint8, box.height x box.width x 3: limited range stretched, chroma interpolated (bicubic), and HDR or
        BT.2020 mapped by `tonemap.ToneMap`.

    Raises:
        ImageFault: see `describe`.
    """
    colors = describe(frame)
    whole = _wide_rgb(frame, colors)
    code = whole[box.top : box.top + box.height, box.left : box.left + box.width]
    white = _white(frame, colors)
    if not colors.is_wide:
        return cv2.convertScaleAbs(code, alpha=255 / white)
    peak_nits = tonemap.SDR_WHITE_NITS
    if colors.transfer != tonemap.SDR:
        peak_nits = stated_peak_nits(frame) if colors.transfer == tonemap.PQ else tonemap.HLG_PEAK_NITS
    return _tone_map(colors.transfer, peak_nits, white)(code)


def _wide_rgb(frame: VideoFrame, colors: Colors) -> np.ndarray:
    """Return uint16 height x width x 3 R'G'B'; `_white` says which value is 1.0."""
    graph = _graph(frame, colors)
    graph.vpush(frame)
    return graph.vpull().to_ndarray()


def _graph(frame: VideoFrame, colors: Colors) -> av.filter.Graph:
    options = _SCALE
    if colors.matrix:
        options += f":in_color_matrix={colors.matrix}:in_range={'pc' if colors.is_full_range else 'tv'}"
        options += f":in_chroma_loc={colors.siting}"
    graph = av.filter.Graph()
    graph.threads = 1
    start = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
    )
    graph.link_nodes(
        start, graph.add("scale", options), graph.add("format", "gbrp16le"), graph.add("buffersink")
    )
    graph.configure()
    return graph


def _white(frame: VideoFrame, colors: Colors) -> int:
    """Return the 16-bit value that the scale filter gives to white: its scalings are shifts, not divisions."""
    depth = frame.format.components[0].bits
    return ((1 << depth) - 1) << (16 - depth) if colors.is_full_range else _WHITE_8_BITS


@functools.lru_cache(maxsize=8)
def _tone_map(transfer: str, peak_nits: float, white: int) -> tonemap.ToneMap:
    return tonemap.ToneMap(transfer, peak_nits, white)


def stated_peak_nits(frame: VideoFrame) -> float:
    """Return how bright a PQ video gets, in whole cd/m², 100 to 10,000.

    The lesser of the brightest pixel (MaxCLL) and the mastering display's peak, where they are stated and not 0;
    1,000 where neither is.
    """
    stated = []
    mastering = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if mastering is not None and len(bytes(mastering)) >= _MASTERING.size:
        fields = _MASTERING.unpack_from(bytes(mastering))
        numerator, denominator, has_peak = fields[18], fields[19], fields[21]
        if has_peak and numerator > 0 and denominator > 0:
            stated.append(numerator / denominator)
    level = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    if level is not None:
        brightest = struct.unpack_from("I", bytes(level))[0]
        stated += [brightest] if brightest else []
    peak = round(min(stated, default=tonemap.DEFAULT_PEAK_NITS))
    return float(min(max(peak, tonemap.SDR_WHITE_NITS), tonemap.PQ_TOP_NITS))
