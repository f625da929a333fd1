"""Side-by-side images: the truth, what was made of the LR image, and an upscaled window where it
matters.

The panels above show the whole image for orientation, reduced where it is large; the windows below show
true pixels, each upscaled by a whole number. Never measures quality: it only looks for the place to show.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.imaging.encode import encode_png

PANEL_PX = 384
"""Largest side of a whole image, and side of an upscaled window."""
WINDOW_PX = 64
LABEL_PX = 18
GAP_PX = 6
_PAPER, _INK, _FRAME = (255, 255, 255), (20, 20, 20), (230, 40, 40)


@dataclasses.dataclass(frozen=True)
class Window:
    """A square of the HR image, in pixels."""

    top: int
    left: int
    side: int


def sheet_name(image: str) -> str:
    """The file name of an image's sheet: its name, with all of its folders in it."""
    return f"{image.replace('/', '_')}.png"


def find_window(first: np.ndarray, second: np.ndarray, side: int = WINDOW_PX) -> Window:
    """The square in which two images differ most, by the sum of squared differences.

    Args:
        first, second: uint8 HWC of one shape.
        side: of the square, in pixels; less where the image is smaller.

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
    hr_image: np.ndarray, ours: np.ndarray, bicubic: np.ndarray, lr_image: np.ndarray, labels: list[str]
) -> bytes:
    """Four images in a row, and below each the window where ours and bicubic differ most.

    Args:
        hr_image, ours, bicubic: uint8 HWC RGB of one shape.
        lr_image: uint8 HWC RGB; shown upscaled to the others' size by repeating pixels.
        labels: four short texts, above the images.

    Returns:
        A PNG; equal images give equal bytes.
    """
    height, width = hr_image.shape[:2]
    upscaled = np.asarray(Image.fromarray(lr_image).resize((width, height), Image.Resampling.NEAREST))
    window = find_window(ours, bicubic)
    downscale_factor = max(1.0, max(height, width) / PANEL_PX)
    panel_height, panel_width = round(height / downscale_factor), round(width / downscale_factor)
    column = max(panel_width, PANEL_PX)
    sheet_height = LABEL_PX + panel_height + GAP_PX + PANEL_PX + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + 4 * (column + GAP_PX), sheet_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, image in enumerate((hr_image, ours, bicubic, upscaled)):
        left = GAP_PX + i * (column + GAP_PX)
        draw.text((left, 2), labels[i], fill=_INK, font=ImageFont.load_default())
        whole = Image.fromarray(image).resize((panel_width, panel_height), Image.Resampling.BOX)
        sheet.paste(whole, (left, LABEL_PX))
        if i == 0:
            _mark(draw, window, downscale_factor, left, LABEL_PX)
        sheet.paste(_upscale(image, window), (left, LABEL_PX + panel_height + GAP_PX))
    return encode_png(np.asarray(sheet))


def _upscale(image: np.ndarray, window: Window) -> Image.Image:
    part = image[window.top : window.top + window.side, window.left : window.left + window.side]
    side = window.side * max(1, PANEL_PX // window.side)  # a whole multiple: every pixel the same size
    return Image.fromarray(np.ascontiguousarray(part)).resize((side, side), Image.Resampling.NEAREST)


def _mark(draw: ImageDraw.ImageDraw, window: Window, downscale_factor: float, left: int, top: int) -> None:
    """Frame the window on the reduced image whose top left corner is at (top, left)."""
    first = (left + window.left / downscale_factor, top + window.top / downscale_factor)
    last = (
        left + (window.left + window.side) / downscale_factor - 1,
        top + (window.top + window.side) / downscale_factor - 1,
    )
    draw.rectangle((*first, *last), outline=_FRAME)
