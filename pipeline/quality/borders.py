"""Measure borders of one color: the bars of a video, the frame of a scan."""

import numpy as np

_MAX_SPAN = 6
"""Levels within a line of a border; compression leaves some."""
_MIN_STEP = 8
"""Levels by which the image differs from its border."""
_MIN_STEP_SHARE = 3
"""At least one of so many pixels beside the border differs from it: a straight edge. A dark sky has none."""
_BLEND_LINES = 2
"""Scaling may leave so many lines between the border and the image."""


def measure_border(luma: np.ndarray) -> float:
    """Return the width of the widest border at one of the four edges, in pixels.

    A border is a number of lines of one color that ends in a straight edge. An image that is dark (or white) at its
    edge and grows brighter (or darker) here and there has none.

    Args:
        luma: uint8, height x width.
    """
    return float(max(map(_count_border_lines, (luma, luma[::-1], luma.T, luma.T[::-1]))))


def _count_border_lines(lines: np.ndarray) -> int:
    """Return the width of the border at the first line. Usually that line is none, so this is cheap."""
    color = int(lines[0, lines.shape[1] // 2])
    for number, line in enumerate(lines):
        if any(abs(int(line[place]) - color) > _MAX_SPAN for place in (0, len(line) // 4, -1)):
            # Nearly always; to look for the least and the most of a line takes longer.
            return _end_border(lines, number, color)
        low, high = int(line.min()), int(line.max())
        if high - low > _MAX_SPAN or abs(low - color) > _MAX_SPAN or abs(high - color) > _MAX_SPAN:
            return _end_border(lines, number, color)
    return len(lines)


def _end_border(lines: np.ndarray, border: int, color: int) -> int:
    """Return the number of lines of a border, or 0 if it does not end in a straight edge."""
    if not border:
        return 0
    beside = lines[border : border + _BLEND_LINES].astype(np.int16)
    differing = np.abs(beside - color).max(axis=0) >= _MIN_STEP
    return border if _MIN_STEP_SHARE * int(np.count_nonzero(differing)) >= len(differing) else 0
