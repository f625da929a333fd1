"""Measure the quality of crops. `pipeline.quality_filters` has the thresholds.

Everything is measured on the luma of a crop and on that luma at half size.
"""

import cv2
import numpy as np

from pipeline.quality.blockiness import measure_blockiness
from pipeline.quality.borders import measure_border
from pipeline.quality.flat_runs import measure_flat_runs
from pipeline.quality.line_bands import measure_bands
from pipeline.quality.noise import measure_noise

METRICS = (
    "contrast",
    "sharpness",
    "noise",
    "underexposed",
    "overexposed",
    "bhi_blockiness",
    "high_band_db",
    "comb_db",
    "equal_neighbors",
    "repeated_lines",
    "banding",
    "border_px",
)
_NEAR_BLACK, _NEAR_WHITE = 12, 250
"""Levels of luma up to which, and from which, a pixel may be clipped."""
_CLIPPED_RESIDUAL = 1
"""Levels. A dark pixel that differs more from its surroundings shows something."""


def rgb_to_luma(image: np.ndarray) -> np.ndarray:
    """Return the luma (BT.601, 0 to 255) of a uint8 height x width x 3 RGB image: uint8, height x width."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def measure_quality(luma: np.ndarray, half: np.ndarray, top: int = 0, left: int = 0) -> dict[str, float]:
    """Measure the quality of a crop.

    Values are rounded to a fixed number of decimals, so that equal pixels give equal text in the records.

    Args:
        luma: uint8, height x width, at least 16 pixels a side.
        half: the luma downscaled by two.
        top, left: position of the crop in its image.

    Returns:
        contrast: standard deviation of luma in levels (0 to 255), two decimals.
        sharpness: root mean square of what downscaling by two and linear upscaling loses, in levels, two decimals. This
            is the detail that a network can learn to restore: nearly 0 for a blurred or empty image.
        noise: standard deviation of the noise, see `pipeline.quality.noise`.
        underexposed, overexposed: fraction of near-black and of near-white pixels that show no detail, 0 to 1, three
            decimals.
        bhi_blockiness: blocks of JPEG, see `pipeline.quality.blockiness`.
        high_band_db, comb_db: frequency bands, see `pipeline.quality.line_bands`.
        equal_neighbors, repeated_lines, banding: flat colors, see `pipeline.quality.flat_runs`.
        border_px: width of the widest border of one color, see `pipeline.quality.borders`.
    """
    residual = _upscaling_residual(luma, half)
    high_band_db, comb_db = measure_bands(luma)
    equal_neighbors, repeated_lines, banding = measure_flat_runs(luma)
    empty = residual <= _CLIPPED_RESIDUAL
    return {
        "contrast": round(100 * float(cv2.meanStdDev(luma)[1][0, 0])) / 100,
        "sharpness": round(100 * cv2.norm(residual, cv2.NORM_L2) / float(np.sqrt(residual.size))) / 100,
        "noise": measure_noise(luma, half),
        "underexposed": 1000 * int(np.count_nonzero((half <= _NEAR_BLACK) & empty)) // half.size / 1000,
        "overexposed": 1000 * int(np.count_nonzero((half >= _NEAR_WHITE) & empty)) // half.size / 1000,
        "bhi_blockiness": measure_blockiness(luma, top, left),
        "high_band_db": high_band_db,
        "comb_db": comb_db,
        "equal_neighbors": equal_neighbors,
        "repeated_lines": repeated_lines,
        "banding": banding,
        "border_px": measure_border(luma),
    }


def _upscaling_residual(luma: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return the absolute error of linear upscaling at the upper left of each 2 x 2 pixels: uint8, as large as `half`.

    Upscaling is symmetric, so the other three pixels would give the same result at four times the cost.
    """
    height, width = half.shape
    # The center of an even pixel lies a quarter of a half-size pixel before that pixel's center; the first has no
    # predecessor.
    rows = half.copy()
    cv2.addWeighted(half[1:], 0.75, half[:-1], 0.25, 0, dst=rows[1:])
    upscaled = rows.copy()
    cv2.addWeighted(rows[:, 1:], 0.75, rows[:, :-1], 0.25, 0, dst=upscaled[:, 1:])
    upper_left = cv2.resize(luma[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_NEAREST)
    return cv2.absdiff(upper_left, upscaled)
