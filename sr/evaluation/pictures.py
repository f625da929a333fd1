"""Side-by-side pictures: the truth, what was made of the low picture, and an enlarged window where it
matters.

The panels above show the whole picture for orientation, reduced where it is large; the windows below show
true pixels, each enlarged by a whole number. Never measures quality: it only looks for the place to show.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.encoders import encode_png

PANEL_PX = 384
"""Largest side of a whole picture, and side of an enlarged window."""
WINDOW_PX = 64
LABEL_PX = 18
GAP_PX = 6
_PAPER, _INK, _FRAME = (255, 255, 255), (20, 20, 20), (230, 40, 40)


@dataclasses.dataclass(frozen=True)
class Window:
    """A square of the high picture, in pixels."""

    top: int
    left: int
    side: int


def sheet_name(picture: str) -> str:
    """The file name of a picture's sheet: its name, with all of its folders in it."""
    return f"{picture.replace('/', '_')}.png"


def find_window(first: np.ndarray, second: np.ndarray, side: int = WINDOW_PX) -> Window:
    """The square in which two pictures differ most, by the sum of squared differences.

    Args:
        first, second: uint8 HWC of one shape.
        side: of the square, in pixels; less where the picture is smaller.

    Returns:
        The uppermost, then leftmost of the best squares.
    """
    height, width = first.shape[:2]
    side = min(side, height, width)
    error = np.square(first.astype(np.int64) - second.astype(np.int64)).sum(axis=2)  # (h, w)
    sums = np.zeros((height + 1, width + 1), np.int64)  # sums[y, x]: of all that is above and left of (y, x)
    sums[1:, 1:] = error.cumsum(axis=0).cumsum(axis=1)
    squares = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(np.argmax(squares), squares.shape)
    return Window(int(top), int(left), side)


def side_by_side(
    high: np.ndarray, ours: np.ndarray, bicubic: np.ndarray, low: np.ndarray, labels: list[str]
) -> bytes:
    """Four pictures in a row, and below each the window where ours and bicubic differ most.

    Args:
        high, ours, bicubic: uint8 HWC RGB of one shape.
        low: uint8 HWC RGB; shown enlarged to the others' size by repeating pixels.
        labels: four short texts, above the pictures.

    Returns:
        A PNG; equal pictures give equal bytes.
    """
    height, width = high.shape[:2]
    enlarged = np.asarray(Image.fromarray(low).resize((width, height), Image.Resampling.NEAREST))
    window = find_window(ours, bicubic)
    shrink = max(1.0, max(height, width) / PANEL_PX)
    panel_height, panel_width = round(height / shrink), round(width / shrink)
    column = max(panel_width, PANEL_PX)
    sheet_height = LABEL_PX + panel_height + GAP_PX + PANEL_PX + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + 4 * (column + GAP_PX), sheet_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, picture in enumerate((high, ours, bicubic, enlarged)):
        left = GAP_PX + i * (column + GAP_PX)
        draw.text((left, 2), labels[i], fill=_INK, font=ImageFont.load_default())
        whole = Image.fromarray(picture).resize((panel_width, panel_height), Image.Resampling.BOX)
        sheet.paste(whole, (left, LABEL_PX))
        if i == 0:
            _mark(draw, window, shrink, left, LABEL_PX)
        sheet.paste(_enlarge(picture, window), (left, LABEL_PX + panel_height + GAP_PX))
    return encode_png(np.asarray(sheet))


def _enlarge(picture: np.ndarray, window: Window) -> Image.Image:
    part = picture[window.top : window.top + window.side, window.left : window.left + window.side]
    side = window.side * max(1, PANEL_PX // window.side)  # a whole multiple: every pixel the same size
    return Image.fromarray(np.ascontiguousarray(part)).resize((side, side), Image.Resampling.NEAREST)


def _mark(draw: ImageDraw.ImageDraw, window: Window, shrink: float, left: int, top: int) -> None:
    """Frame the window on the reduced picture whose top left corner is at (top, left)."""
    first = (left + window.left / shrink, top + window.top / shrink)
    last = (left + (window.left + window.side) / shrink - 1, top + (window.top + window.side) / shrink - 1)
    draw.rectangle((*first, *last), outline=_FRAME)
