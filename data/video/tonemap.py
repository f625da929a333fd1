"""Map HDR to SDR: the transfer functions PQ and HLG, the tone curve of BT.2390, and both for whole images.

Pure functions of numbers: nothing here knows frames or files. docs/explanation/videos.md has the formulas and the
reasons.
"""

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

PQ = "smpte2084"
HLG = "arib-std-b67"
SDR = "bt709"
"""The transfer characteristics, by FFmpeg's names; SDR stands for all of the older ones."""

SDR_WHITE_NITS = 100.0
"""Luminance of the brightest SDR white (BT.2390 and BT.2446 use the same)."""
SDR_GAMMA = 2.4
"""Of the SDR reference display (BT.1886 with a black of 0)."""
HLG_PEAK_NITS = 1000.0
"""HLG is relative; BT.2100 gives its system gamma of 1.2 for a display of this peak."""
DEFAULT_PEAK_NITS = 1000.0
"""Peak of a PQ video that does not state one: the most common mastering display."""
PQ_PEAK_NITS = 10_000.0
_TABLE_MAX_NITS = 2 * PQ_PEAK_NITS
"""More than the matrix below makes of any light."""
_TABLE_STEPS = 65535
_STRIP_ROWS = 32
"""Rows processed at once: what they need stays in the processor's cache."""

_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]
)
"""BT.2407 table 2, to six digits."""
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_to_nits(code: npt.ArrayLike) -> Float64Array:
    """Convert PQ code values to luminance.

    Args:
        code: 0 to 1, any shape.

    Returns:
        cd/m², 0 to 10,000, the same shape.

    Source: SMPTE ST 2084; BT.2100-2 table 4, the EOTF.
    """
    power = np.power(np.clip(code, 0, 1), 1 / _M2)
    return np.asarray(PQ_PEAK_NITS * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1))


def nits_to_pq(nits: npt.ArrayLike) -> Float64Array:
    """Convert luminance in cd/m² to PQ code values, 0 to 1: the inverse of `pq_to_nits`."""
    power = np.power(np.clip(np.asarray(nits) / PQ_PEAK_NITS, 0, 1), _M1)
    return np.asarray(np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2))


def hlg_to_nits(code: npt.ArrayLike) -> Float64Array:
    """Convert HLG code values to the luminance on a display of 1,000 cd/m².

    Args:
        code: 0 to 1, ... x 3, R'G'B' with BT.2020 primaries.

    Returns:
        cd/m², the same shape.

    Source: BT.2100-2 table 5, the inverse OETF and the OOTF with a system gamma of 1.2.
    """
    scene = _hlg_inverse_oetf(code)
    luma = np.maximum(scene @ _BT2020_LUMA, 0)[..., None]
    return np.asarray(HLG_PEAK_NITS * luma**0.2 * scene)


def _hlg_inverse_oetf(code: npt.ArrayLike) -> Float64Array:
    """Convert HLG code values to scene light, 0 to 1 (BT.2100-2 table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    code = np.clip(np.asarray(code, np.float64), 0, 1)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def bt2390_eetf(nits: npt.ArrayLike, peak_nits: float) -> Float64Array:
    """Compress luminance of up to `peak_nits` into 0..100 cd/m²; below the knee it stays unchanged.

    In PQ code values scaled to the source's peak: identity up to the knee KS = 1.5 max - 0.5, then the Hermite spline
    from (KS, KS), slope 1, to (1, max), slope 0. Both blacks are 0.

    Args:
        nits: cd/m², any shape; values above `peak_nits` count as `peak_nits`.
        peak_nits: peak luminance of the source; at 100 or less nothing is compressed.

    Returns:
        cd/m², the same shape, 0 to 100.

    Source: BT.2390-10 section 5.4.1, the EETF.
    """
    if peak_nits <= SDR_WHITE_NITS:
        return np.asarray(np.clip(nits, 0, SDR_WHITE_NITS))
    source_peak = float(nits_to_pq(peak_nits))
    target_peak = float(nits_to_pq(SDR_WHITE_NITS)) / source_peak
    code = np.clip(nits_to_pq(nits) / source_peak, 0, 1)
    knee = 1.5 * target_peak - 0.5
    t = np.clip((code - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * target_peak
    )
    return pq_to_nits(np.where(code < knee, code, spline) * source_peak)


def to_sdr(code: Float64Array, transfer: str, peak_nits: float) -> Float64Array:
    """Convert BT.2020 code values to SDR code values with BT.709 primaries.

    The steps: to luminance; to BT.709 primaries, where values out of gamut are clipped at 0; the largest of the three
    channels through `bt2390_eetf`, and the others by the same factor, so that hue and saturation stay; the inverse of
    the SDR display's gamma.

    Args:
        code: 0 to 1, ... x 3, R'G'B', full range.
        transfer: PQ, HLG or SDR.
        peak_nits: see `bt2390_eetf`.

    Returns:
        0 to 1, the same shape.
    """
    if transfer == PQ:
        light = pq_to_nits(code)
    elif transfer == HLG:
        light = hlg_to_nits(code)
    else:
        light = SDR_WHITE_NITS * np.power(np.clip(code, 0, 1), SDR_GAMMA)
    light = np.maximum(light @ _BT2020_TO_BT709.T, 0)
    largest = light.max(axis=-1, keepdims=True)
    factor = bt2390_eetf(largest, peak_nits) / np.maximum(largest, 1e-9)
    return np.asarray(np.power(np.clip(light * factor / SDR_WHITE_NITS, 0, 1), 1 / SDR_GAMMA))


class ToneMap:
    """`to_sdr` for whole images, by lookup tables: for one transfer and one peak; safe to call from several threads.

    Pixels only see exact operations (lookup, addition, multiplication, square root), so every machine gives the same
    bytes. tests/data/video/test_tonemap.py compares it with `to_sdr`.

    Args:
        transfer: PQ, HLG or SDR.
        peak_nits: see `bt2390_eetf`.
        white: the code value of R'G'B' 1.0, at most 65535.
    """

    def __init__(self, transfer: str, peak_nits: float, white: int) -> None:
        code = np.clip(np.arange(65536) / white, 0, 1)
        if transfer == PQ:
            light = pq_to_nits(code)
        elif transfer == HLG:
            light = _hlg_inverse_oetf(code)
        else:
            light = SDR_WHITE_NITS * np.power(code, SDR_GAMMA)
        self._light = light.astype(np.float32)
        root = np.arange(_TABLE_STEPS + 1) / _TABLE_STEPS
        self._hlg_gain = (HLG_PEAK_NITS * root**0.8).astype(np.float32) if transfer == HLG else None
        largest = root**4 * _TABLE_MAX_NITS
        self._factor = (bt2390_eetf(largest, peak_nits) / np.maximum(largest, 1e-9)).astype(np.float32)
        self._factor[0] = self._factor[1]
        self._code = np.rint(255 * np.power(root**4, 1 / SDR_GAMMA)).astype(np.uint8)

    def __call__(self, code: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        """Map an image.

        Args:
            code: uint16, height x width x 3, R'G'B' with BT.2020 primaries, full range, `white` for 1.0.

        Returns:
            uint8, height x width x 3, SDR R'G'B' with BT.709 primaries.
        """
        mapped = np.empty(code.shape, np.uint8)
        for top in range(0, len(code), _STRIP_ROWS):
            mapped[top : top + _STRIP_ROWS] = self._map_strip(code[top : top + _STRIP_ROWS])
        return mapped

    def _map_strip(self, code: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        light = [self._light[code[..., channel]] for channel in range(3)]
        if self._hlg_gain is not None:
            gain = self._hlg_gain[_table_index(_weighted_sum(light, _BT2020_LUMA), 1.0)]
            light = [gain * channel for channel in light]
        light = [np.maximum(_weighted_sum(light, row), 0) for row in _BT2020_TO_BT709]
        largest = np.maximum(np.maximum(light[0], light[1]), light[2])
        factor = self._factor[_table_index(largest, _TABLE_MAX_NITS)]
        return np.stack(
            [self._code[_table_index(factor * channel, SDR_WHITE_NITS)] for channel in light], axis=-1
        )


def _weighted_sum(channels: list[npt.NDArray[np.float32]], weights: Float64Array) -> npt.NDArray[np.float32]:
    red, green, blue = (np.float32(weight) for weight in weights)
    total: npt.NDArray[np.float32] = red * channels[0] + green * channels[1] + blue * channels[2]
    return total


def _table_index(values: npt.NDArray[np.float32], top: float) -> npt.NDArray[np.int32]:
    """Return the index of each value in a table over fourth roots from 0 to `top`: dense where eyes are sensitive."""
    root = np.sqrt(np.sqrt(np.minimum(values * np.float32(1 / top), 1)))
    return np.asarray(root * np.float32(_TABLE_STEPS) + np.float32(0.5)).astype(np.int32)
