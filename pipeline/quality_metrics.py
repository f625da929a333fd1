"""Measure the quality of crops. `pipeline.quality_filters` has the thresholds.

Everything is measured on the luma of a crop and on that luma at half size.
"""

import cv2
import numpy as np

from pipeline.downscale import downscale_by_two

METRICS = ("contrast", "sharpness", "noise", "underexposed", "overexposed", "blockiness", "border_px")
_NEAR_BLACK, _NEAR_WHITE = 12, 250
"""Levels of luma up to which, and from which, a pixel shows no detail."""
_BORDER_BLACK = 16
"""Black of a video's letterbox bars, with some room for compression artifacts."""
_JPEG_BLOCK_PX = 8
_MIN_ACTIVITY = 0.5
"""Levels. Added to the mean step, so that a nearly flat image is not called blocky for invisible steps."""
_NOISE_CELL_HALVINGS = 4
_NOISE_GAIN = 16
"""Residuals are multiplied by this to keep fractions in 8 bits; those of a textured cell may saturate."""
_NOISE_SIGMA = 1.6
"""Standard deviation of white noise divided by the mean residual that it leaves in the quietest tenth of the cells."""


def rgb_to_luma(image: np.ndarray) -> np.ndarray:
    """Return the luma (BT.601, 0 to 255) of a uint8 height x width x 3 RGB image: uint8, height x width."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def measure_quality(luma: np.ndarray, half: np.ndarray) -> dict[str, float]:
    """Measure the quality of a crop.

    Values are rounded to a fixed number of decimals, so that equal pixels give equal text in the records.

    Args:
        luma: uint8, height x width, at least 16 pixels a side.
        half: the luma downscaled by two.

    Returns:
        contrast: standard deviation of luma in levels (0 to 255), two decimals.
        sharpness: root mean square of what downscaling by two and linear upscaling loses, in levels, two decimals. This
            is the detail that a network can learn to restore: nearly 0 for a blurred or empty image.
        noise: standard deviation of the noise in levels, two decimals, estimated in the quietest tenth of the cells of
            32 x 32 pixels. In an image without quiet cells, texture counts as noise too.
        underexposed, overexposed: fraction of near-black and of near-white pixels, 0 to 1, three decimals.
        blockiness: how far the steps across the grid of 8 x 8 blocks exceed the steps beside it, as a ratio to the mean
            step between neighbors, in the median block, three decimals. The largest of the 8 grid phases counts, and
            the smaller of both directions.
        border_px: number of black lines at the edge that has the most of them, in pixels.

    Source: `blockiness` follows Wang, Bovik, Evans, Blind measurement of blocking artifacts in images (2000), in
        comparing steps on the grid with those beside it.
    """
    residual = _upscaling_residual(luma, half)
    return {
        "contrast": round(100 * float(cv2.meanStdDev(luma)[1][0, 0])) / 100,
        "sharpness": round(100 * cv2.norm(residual, cv2.NORM_L2) / float(np.sqrt(residual.size))) / 100,
        "noise": round(100 * _NOISE_SIGMA * _quiet_residual(residual)) / 100,
        "underexposed": 1000 * int(np.count_nonzero(half <= _NEAR_BLACK)) // half.size / 1000,
        "overexposed": 1000 * int(np.count_nonzero(half >= _NEAR_WHITE)) // half.size / 1000,
        "blockiness": round(1000 * _measure_blockiness(luma)) / 1000,
        "border_px": float(_count_border_lines(luma)),
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
    return cv2.absdiff(luma[: 2 * height : 2, : 2 * width : 2], upscaled)


def _quiet_residual(residual: np.ndarray) -> float:
    """Return the mean residual, in levels, of a cell in the quietest tenth."""
    cells: np.ndarray = cv2.convertScaleAbs(residual, alpha=_NOISE_GAIN)
    for _ in range(_NOISE_CELL_HALVINGS):
        cells = downscale_by_two(cells) if min(cells.shape) >= 2 else cells
    tenth = cells.size // 10
    return float(np.partition(cells.ravel(), tenth)[tenth]) / _NOISE_GAIN


def _measure_blockiness(luma: np.ndarray) -> float:
    horizontal_steps = cv2.absdiff(luma[:, 1:], luma[:, :-1])  # height x (width - 1)
    vertical_steps = cv2.absdiff(luma[1:], luma[:-1])  # (height - 1) x width
    ratios: list[float] = []
    for steps, axis in ((horizontal_steps, 0), (vertical_steps, 1)):
        # Sums over each line between two rows or columns; integers, so the order of adding does not matter.
        lines = cv2.reduce(steps, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
        excess = 2 * lines[1:-1] - lines[:-2] - lines[2:]
        periods = excess.size // _JPEG_BLOCK_PX
        if not periods:
            return 0.0
        table = excess[: periods * _JPEG_BLOCK_PX].reshape(periods, _JPEG_BLOCK_PX)
        # The median over the blocks: a window frame makes one large step, compression a step at most blocks.
        by_phase = np.partition(table, periods // 2, axis=0)[periods // 2]
        mean_step = int(np.add.reduce(lines)) / steps.size
        excess_step = int(by_phase.max()) / (2 * steps.shape[axis])
        ratios.append(excess_step / (mean_step + _MIN_ACTIVITY))
    return max(0.0, min(ratios))


def _count_border_lines(luma: np.ndarray) -> int:
    edges = (luma, luma[::-1], luma.T, luma.T[::-1])
    return max(_count_black_lines(lines) for lines in edges)


def _count_black_lines(lines: np.ndarray) -> int:
    """Return how many lines are black, counted from the first one. Usually the first one is not, so this is cheap."""
    middle = lines.shape[1] // 2
    for number, line in enumerate(lines):
        # The pixel in the middle usually decides.
        if line[middle] > _BORDER_BLACK or line.max() > _BORDER_BLACK:
            return number
    return len(lines)
