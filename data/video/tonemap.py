"""From HDR light to SDR code values: the transfer functions, the tone curve, and both for whole images.

Functions of numbers: nothing here knows of frames or files. docs/videos.md has the formulas and why these.
"""

import numpy as np

PQ = "smpte2084"
HLG = "arib-std-b67"
SDR = "bt709"
"""The transfer characteristics that are told apart, by FFmpeg's names; SDR stands for all of the older ones."""

SDR_WHITE_NITS = 100.0
"""What the brightest SDR white stands for (BT.2390 and BT.2446 use the same)."""
SDR_GAMMA = 2.4
"""Of the SDR reference display (BT.1886 with a black of 0)."""
HLG_PEAK_NITS = 1000.0
"""HLG is relative; BT.2100 gives its system gamma of 1.2 for a display of this peak."""
DEFAULT_PEAK_NITS = 1000.0
"""Of a PQ video that does not say how bright it gets: the commonest mastering display."""
PQ_TOP_NITS = 10_000.0
_TOP_NITS = 2 * PQ_TOP_NITS
"""More than the matrix below makes of any light."""
_ROOTS = 65535
_STRIP_ROWS = 32
"""Rows worked on at once: what they need stays in the processor's cache."""

_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]
)
"""BT.2407 table 2, to six digits."""
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_to_nits(code: np.ndarray) -> np.ndarray:
    """Return the light of PQ code values.

    Args:
        code: 0 to 1, any shape.

    Returns:
        cd/m², 0 to 10,000.

    Source: SMPTE ST 2084; BT.2100-2 table 4, the EOTF.
    """
    power = np.power(np.clip(code, 0, 1), 1 / _M2)
    return PQ_TOP_NITS * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)


def nits_to_pq(nits: np.ndarray) -> np.ndarray:
    """Return the PQ code values, 0 to 1, of light in cd/m²: the inverse of `pq_to_nits`."""
    power = np.power(np.clip(np.asarray(nits) / PQ_TOP_NITS, 0, 1), _M1)
    return np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)


def hlg_to_nits(code: np.ndarray) -> np.ndarray:
    """Return the light that a display of 1,000 cd/m² makes of HLG code values.

    Args:
        code: 0 to 1, ... x 3, R'G'B' with BT.2020 primaries.

    Returns:
        cd/m², the same shape.

    Source: BT.2100-2 table 5, the inverse OETF and the OOTF with a system gamma of 1.2.
    """
    scene = _hlg_scene(code)
    luma = np.maximum(scene @ _BT2020_LUMA, 0)[..., None]
    return HLG_PEAK_NITS * luma**0.2 * scene


def _hlg_scene(code: np.ndarray) -> np.ndarray:
    """Return the scene's light, 0 to 1, of HLG code values: BT.2100-2's inverse OETF."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    code = np.clip(code, 0, 1)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def compress(nits: np.ndarray, peak_nits: float) -> np.ndarray:
    """Bring light of up to `peak_nits` into 0..100 cd/m²; what lies below the knee stays as it is.

    The EETF of BT.2390-10 section 5.4.1 with both blacks at 0: in PQ code values scaled to the source's peak,
    identity up to the knee KS = 1.5 max - 0.5, then the Hermite spline from (KS, KS), slope 1, to (1, max), slope 0.

    Args:
        nits: cd/m², any shape; more than `peak_nits` counts as `peak_nits`.
        peak_nits: the brightest that the source shows; at or below 100 nothing is compressed.

    Returns:
        cd/m², the same shape, 0 to 100.
    """
    if peak_nits <= SDR_WHITE_NITS:
        return np.clip(nits, 0, SDR_WHITE_NITS)
    top = float(nits_to_pq(peak_nits))
    greatest = float(nits_to_pq(SDR_WHITE_NITS)) / top
    code = np.clip(nits_to_pq(nits) / top, 0, 1)
    knee = 1.5 * greatest - 0.5
    t = np.clip((code - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * greatest
    )
    return pq_to_nits(np.where(code < knee, code, spline) * top)


def to_sdr(code: np.ndarray, transfer: str, peak_nits: float) -> np.ndarray:
    """Turn BT.2020 code values into SDR ones with BT.709 primaries.

    Light; BT.709 primaries, with what they cannot show clipped at 0; the largest of the three channels through
    `compress`, the others scaled by the same factor, so that hue and saturation stay; the SDR display's inverse.

    Args:
        code: 0 to 1, ... x 3, R'G'B', full range.
        transfer: PQ, HLG or SDR.
        peak_nits: see `compress`.

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
    factor = compress(largest, peak_nits) / np.maximum(largest, 1e-9)
    return np.power(np.clip(light * factor / SDR_WHITE_NITS, 0, 1), 1 / SDR_GAMMA)


class ToneMap:
    """`to_sdr` for whole images, by tables: for one transfer and one peak; safe to use from several threads.

    Only exact operations (looking up, adding, multiplying, square roots) are done on pixels, so every machine gives
    the same bytes. tests/data/video/test_tonemap.py holds it against `to_sdr`.

    Args:
        transfer: PQ, HLG or SDR.
        peak_nits: see `compress`.
        white: the code value of R'G'B' 1.0, at most 65535.
    """

    def __init__(self, transfer: str, peak_nits: float, white: int) -> None:
        code = np.clip(np.arange(65536) / white, 0, 1)
        if transfer == PQ:
            light = pq_to_nits(code)
        else:
            light = _hlg_scene(code) if transfer == HLG else SDR_WHITE_NITS * np.power(code, SDR_GAMMA)
        self._light = light.astype(np.float32)
        root = np.arange(_ROOTS + 1) / _ROOTS
        self._gain = (HLG_PEAK_NITS * root**0.8).astype(np.float32) if transfer == HLG else None
        largest = root**4 * _TOP_NITS
        self._factor = (compress(largest, peak_nits) / np.maximum(largest, 1e-9)).astype(np.float32)
        self._factor[0] = self._factor[1]
        self._code = np.rint(255 * np.power(root**4, 1 / SDR_GAMMA)).astype(np.uint8)

    def __call__(self, code: np.ndarray) -> np.ndarray:
        """Map an image.

        Args:
            code: uint16, height x width x 3, R'G'B' with BT.2020 primaries, full range, `white` for 1.0.

        Returns:
            uint8, height x width x 3, SDR R'G'B' with BT.709 primaries.
        """
        mapped = np.empty(code.shape, np.uint8)
        for top in range(0, len(code), _STRIP_ROWS):
            mapped[top : top + _STRIP_ROWS] = self._strip(code[top : top + _STRIP_ROWS])
        return mapped

    def _strip(self, code: np.ndarray) -> np.ndarray:
        light = [self._light[code[..., channel]] for channel in range(3)]
        if self._gain is not None:
            gain = self._gain[_root_index(_weighted(light, _BT2020_LUMA), 1.0)]
            light = [gain * channel for channel in light]
        light = [np.maximum(_weighted(light, row), 0) for row in _BT2020_TO_BT709]
        factor = self._factor[_root_index(np.maximum(np.maximum(light[0], light[1]), light[2]), _TOP_NITS)]
        return np.stack(
            [self._code[_root_index(factor * channel, SDR_WHITE_NITS)] for channel in light], axis=-1
        )


def _weighted(channels: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    one, two, three = (np.float32(weight) for weight in weights)
    return one * channels[0] + two * channels[1] + three * channels[2]


def _root_index(values: np.ndarray, top: float) -> np.ndarray:
    """Return the place of each value in a table over fourth roots from 0 to `top`: fine where the eye is."""
    root = np.sqrt(np.sqrt(np.minimum(values * np.float32(1 / top), 1)))
    return (root * np.float32(_ROOTS) + np.float32(0.5)).astype(np.int32)
