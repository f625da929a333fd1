"""Side-by-side images: the original, the model's result, bicubic's and the LR image, with a magnified window.

The thumbnails show the whole image, reduced where it is large. The windows show true pixels, magnified by a whole
number. Nothing here measures quality: it only finds the place where the results differ most.
"""

import dataclasses
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from data.imaging.encode import encode_png

COLUMNS = ("original", "model", "bicubic", "lr")
"""The images that are shown, from left to right."""
PANEL_PX = 384
"""The longest side of a thumbnail, and the side of a magnified window."""
WINDOW_PX = 64
LABEL_PX = 18
GAP_PX = 6
_BACKGROUND, _TEXT, _FRAME = (255, 255, 255), (20, 20, 20), (230, 40, 40)

RgbImage = npt.NDArray[np.uint8]
"""uint8 HWC RGB."""


@dataclasses.dataclass(frozen=True)
class Window:
    """A square of the HR image, in pixels."""

    top: int
    left: int
    side: int


@dataclasses.dataclass(frozen=True)
class Panels:
    """What is shown of an image: a thumbnail and a window for each of COLUMNS, uint8 HWC RGB."""

    thumbnails: Mapping[str, RgbImage]
    """The whole images, at most PANEL_PX a side; the original's has the window framed in it."""
    windows: Mapping[str, RgbImage]
    """The pixels of the window, WINDOW_PX a side or less, not magnified."""


def find_window(first: RgbImage, second: RgbImage, side: int = WINDOW_PX) -> Window:
    """Find the square in which two images differ most, by the sum of squared differences.

    Args:
        first, second: uint8 HWC of one shape.
        side: of the square, in pixels; smaller where the image is.

    Returns:
        The topmost, then leftmost of the best squares.
    """
    height, width = first.shape[:2]
    side = min(side, height, width)
    difference = cv2.absdiff(first, second)
    error = np.einsum(
        "yxc,yxc->yx", difference, difference, dtype=np.float64
    )  # whole numbers, exact in float64
    sums = cv2.integral(error, sdepth=cv2.CV_64F)  # sums[y, x]: of all that is above and left of (y, x)
    squares = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(np.argmax(squares), squares.shape)
    return Window(int(top), int(left), side)


def make_panels(hr_image: RgbImage, model: RgbImage, bicubic: RgbImage, lr_image: RgbImage) -> Panels:
    """Make the thumbnails of four images, and cut out the window where the model and bicubic differ most.

    Args:
        hr_image, model, bicubic: uint8 HWC RGB of one shape: the original, and the two results.
        lr_image: uint8 HWC RGB; shown at the others' size by repeating pixels.
    """
    height, width = hr_image.shape[:2]
    repeated = np.asarray(Image.fromarray(lr_image).resize((width, height), Image.Resampling.NEAREST))
    images = dict(zip(COLUMNS, (hr_image, model, bicubic, repeated), strict=True))
    window = find_window(model, bicubic)
    thumbnails = {name: _make_thumbnail(image) for name, image in images.items()}
    thumbnails["original"] = _frame_window(thumbnails["original"], window, (height, width))
    rows, columns = (
        slice(window.top, window.top + window.side),
        slice(window.left, window.left + window.side),
    )
    return Panels(
        thumbnails, {name: np.ascontiguousarray(image[rows, columns]) for name, image in images.items()}
    )


def compose_sheet(panels: Panels, labels: Mapping[str, str]) -> bytes:
    """Arrange panels as one image: a row of thumbnails under their labels, and below each its magnified window.

    Args:
        panels: of one image.
        labels: a short text for each of COLUMNS.

    Returns:
        A PNG; equal panels give equal bytes.
    """
    panel_height, panel_width = panels.thumbnails[COLUMNS[0]].shape[:2]
    column_width = max(panel_width, PANEL_PX)
    sheet_width = GAP_PX + len(COLUMNS) * (column_width + GAP_PX)
    sheet_height = LABEL_PX + panel_height + GAP_PX + PANEL_PX + GAP_PX
    sheet = Image.new("RGB", (sheet_width, sheet_height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, name in enumerate(COLUMNS):
        left = GAP_PX + number * (column_width + GAP_PX)
        draw.text((left, 2), labels[name], fill=_TEXT, font=ImageFont.load_default())
        sheet.paste(Image.fromarray(panels.thumbnails[name]), (left, LABEL_PX))
        sheet.paste(_magnify(panels.windows[name]), (left, LABEL_PX + panel_height + GAP_PX))
    return encode_png(np.asarray(sheet))


def _reduction(height: int, width: int) -> float:
    """Return how many times smaller than the image its thumbnail is."""
    return max(1.0, max(height, width) / PANEL_PX)


def _make_thumbnail(image: RgbImage) -> RgbImage:
    height, width = image.shape[:2]
    reduction = _reduction(height, width)
    size = (round(width / reduction), round(height / reduction))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def _frame_window(thumbnail: RgbImage, window: Window, image_size: tuple[int, int]) -> RgbImage:
    """Return a thumbnail with the window of its image framed in it."""
    reduction = _reduction(*image_size)
    framed = Image.fromarray(thumbnail)
    corners = (
        window.left / reduction,
        window.top / reduction,
        (window.left + window.side) / reduction - 1,
        (window.top + window.side) / reduction - 1,
    )
    ImageDraw.Draw(framed).rectangle(corners, outline=_FRAME)
    return np.asarray(framed)


def _magnify(window: RgbImage) -> Image.Image:
    """Repeat the pixels of a window; a whole number of times, so that all are of one size."""
    height, width = window.shape[:2]
    factor = max(1, PANEL_PX // height)
    return Image.fromarray(window).resize((width * factor, height * factor), Image.Resampling.NEAREST)
