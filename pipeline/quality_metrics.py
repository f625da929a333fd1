"""Scores: what a crop is worth, as whole numbers. Measures only; `pipeline.quality_filters` draws the limits.

Everything is measured on luma, made once a crop, and the halves that it is reduced to.
"""

import cv2
import numpy as np

from pipeline.downscale import halve

_NEAR_BLACK, _NEAR_WHITE = 12, 250
"""Levels of luma up to which, and from which, a pixel shows nothing."""
_BORDER_BLACK = 16
"""The black of a video's bars, with a little room for what compression made of it."""
_JPEG_BLOCK_PX = 8
_LEAST_ACTIVITY = 0.5
"""Levels: an image smoother than this is not called blocky for steps that nobody could see."""
_NOISE_CELL_HALVINGS = 4
_NOISE_GAIN = 16
"""Residuals are multiplied by this to keep fractions in 8 bits; those of a textured cell may saturate."""
_NOISE_SIGMA = 1.6
"""Standard deviation of white noise over the mean residual that it leaves in the quietest tenth of the cells."""


def luma_of(image: np.ndarray) -> np.ndarray:
    """Return the luma (BT.601, 0 to 255) of a uint8 height x width x 3 RGB image: uint8, height x width."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def scores(luma: np.ndarray, half: np.ndarray) -> dict[str, int]:
    """Measure a crop.

    Args:
        luma: uint8, height x width, at least 16 a side.
        half: the luma halved.

    Returns:
        contrast: standard deviation, in hundredths of a level.
        detail: root mean square of what halving and linear upscaling loses, in hundredths of a level; it is what a
            network could learn to restore, so a blurred or empty image has next to none.
        noise: standard deviation of the noise, in hundredths of a level, as the quietest tenth of the cells of 32 x 32
            pixels shows it; where nothing is quiet, texture counts too.
        dark, bright: near-black and near-white pixels, in thousandths.
        blockiness: how far the steps across the grid of 8 x 8 blocks stand out, in thousandths of the mean step
            between neighbors, in the median block; the grid is looked for at all 8 phases, and both directions must
            show it.
        border: black lines at the edge that has the most of them, in pixels.

    Source: `blockiness` follows Wang, Bovik, Evans, Blind measurement of blocking artifacts in images (2000), in
        comparing steps on the grid with those beside it.
    """
    lost = _lost(luma, half)
    return {
        "contrast": round(100 * float(cv2.meanStdDev(luma)[1][0, 0])),
        "detail": round(100 * cv2.norm(lost, cv2.NORM_L2) / np.sqrt(lost.size)),
        "noise": _noise(lost),
        "dark": 1000 * int(np.count_nonzero(half <= _NEAR_BLACK)) // half.size,
        "bright": 1000 * int(np.count_nonzero(half >= _NEAR_WHITE)) // half.size,
        "blockiness": _blockiness(luma),
        "border": _border(luma),
    }


def _lost(luma: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return how far the upper left of each 2 x 2 pixels (uint8) lies from the half upscaled linearly.

    Upscaling is symmetric, so the other three pixels would say the same at four times the cost.
    """
    height, width = half.shape
    # An even pixel's center lies a quarter of a half's pixel before that pixel's; the first has none before it.
    rows = half.copy()
    cv2.addWeighted(half[1:], 0.75, half[:-1], 0.25, 0, dst=rows[1:])
    upscaled = rows.copy()
    cv2.addWeighted(rows[:, 1:], 0.75, rows[:, :-1], 0.25, 0, dst=upscaled[:, 1:])
    return cv2.absdiff(luma[: 2 * height : 2, : 2 * width : 2], upscaled)


def _noise(lost: np.ndarray) -> int:
    """Return the noise that the residuals of halving (uint8) show where they are smallest."""
    cells = cv2.convertScaleAbs(lost, alpha=_NOISE_GAIN)
    for _ in range(_NOISE_CELL_HALVINGS):
        cells = halve(cells) if min(cells.shape) >= 2 else cells
    tenth = cells.size // 10
    quiet = float(np.partition(cells.ravel(), tenth)[tenth]) / _NOISE_GAIN
    return round(100 * _NOISE_SIGMA * quiet)


def _blockiness(luma: np.ndarray) -> int:
    across = cv2.absdiff(luma[:, 1:], luma[:, :-1])  # height x (width - 1)
    down = cv2.absdiff(luma[1:], luma[:-1])  # (height - 1) x width
    found = []
    for steps, axis in ((across, 0), (down, 1)):
        # Sums over each line between two rows or columns; whole numbers, so that no order of adding matters.
        lines = cv2.reduce(steps, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
        excess = 2 * lines[1:-1] - lines[:-2] - lines[2:]
        periods = excess.size // _JPEG_BLOCK_PX
        if not periods:
            return 0
        table = excess[: periods * _JPEG_BLOCK_PX].reshape(periods, _JPEG_BLOCK_PX)
        # The median over the blocks: a window frame makes one large step, compression a step at most of them.
        by_phase = np.partition(table, periods // 2, axis=0)[periods // 2]
        mean_step = int(np.add.reduce(lines)) / steps.size
        stands_out = int(by_phase.max()) / (2 * steps.shape[axis])
        found.append(stands_out / (mean_step + _LEAST_ACTIVITY))
    return max(0, round(1000 * min(found)))


def _border(luma: np.ndarray) -> int:
    edges = (luma, luma[::-1], luma.T, luma.T[::-1])
    return max(_black_lines(lines) for lines in edges)


def _black_lines(lines: np.ndarray) -> int:
    """Return how many lines are black from the first on; mostly the first one is not, and that is all it costs."""
    middle = lines.shape[1] // 2
    for number, line in enumerate(lines):
        # One pixel mostly says it already.
        if line[middle] > _BORDER_BLACK or line.max() > _BORDER_BLACK:
            return number
    return len(lines)
