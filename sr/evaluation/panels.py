"""Images for a page that stands alone: the evaluator's sheets taken apart, and images as data: URIs.

The upscaled windows of a sheet go back to their true pixels, without loss: the page upscales them. It measures
nothing: what to show is chosen by the figures of a report.
"""

import base64
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from data.imaging.decode import decode
from data.imaging.encode import encode_jpeg, encode_png
from sr.evaluation.side_by_side import GAP_PX, LABEL_PX, PANEL_PX, WINDOW_PX, sheet_name

COLUMNS = ("original", "ours", "bicubic", "LR")
"""The images of a sheet, from left to right."""
JPEG_QUALITY = 80
IMAGES_EACH = 3
"""Of a large benchmark: so many of the best, of the middling and of the worst images are shown."""


@dataclasses.dataclass(frozen=True)
class Panels:
    """What a side-by-side sheet shows, as images of their own: uint8 HWC RGB."""

    whole: np.ndarray
    """The original, reduced to PANEL_PX, with the window framed in it."""
    windows: dict[str, np.ndarray]
    """By column: the window's own pixels, WINDOW_PX a side or less."""


def show(rows: Sequence[dict[str, Any]], images_dir: Path) -> list[dict[str, Any]]:
    """Take apart the sheets of the images that are worth showing; those without a sheet are left out.

    Args:
        rows: per_image of a report.
        images_dir: where the evaluator put the sheets.

    Returns:
        For each: row, gain_db (over bicubic), windows (data: URIs by column) and whole (a data: URI).
    """
    shown = []
    for row in choose_images(rows):
        path = images_dir / sheet_name(row["name"])
        sheet = read(path)
        if sheet is not None:
            parts = take_apart(sheet, row["height"], row["width"], str(path))
            windows = {name: png_uri(window) for name, window in parts.windows.items()}
            item = {"row": row, "gain_db": gain_of(row), "windows": windows, "whole": jpeg_uri(parts.whole)}
            shown.append(item)
    return shown


def choose_images(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows of a small benchmark by falling gain; of a large one the best, middle and worst."""
    ordered = sorted(rows, key=lambda row: (-gain_of(row), row["name"]))
    if len(ordered) <= 3 * IMAGES_EACH:
        return ordered
    middle = (len(ordered) - IMAGES_EACH) // 2
    return ordered[:IMAGES_EACH] + ordered[middle : middle + IMAGES_EACH] + ordered[-IMAGES_EACH:]


def gain_of(row: dict[str, Any]) -> float:
    """By how many dB an image is better than bicubic's; 0 where that is not known."""
    ours, bicubic = row["psnr_db"], row["bicubic"]["psnr_db"]
    gain = math.nan if ours is None or bicubic is None else ours - bicubic
    return gain if math.isfinite(gain) else 0.0


def take_apart(sheet: np.ndarray, height: int, width: int, where: str) -> Panels:
    """Undo `sr.evaluation.side_by_side.side_by_side`.

    Args:
        sheet: uint8 HWC RGB, decoded.
        height, width: of the HR image, in pixels.
        where: the sheet's file, for the error.

    Raises:
        UserError: the sheet is not laid out for such an image.
    """
    downscale_factor = max(1.0, max(height, width) / PANEL_PX)
    panel_height, panel_width = round(height / downscale_factor), round(width / downscale_factor)
    column = max(panel_width, PANEL_PX)
    expected = (LABEL_PX + panel_height + GAP_PX + PANEL_PX + GAP_PX, GAP_PX + 4 * (column + GAP_PX))
    if sheet.shape[:2] != expected:
        wanted, got = (f"{size[0]}x{size[1]} px" for size in (expected, sheet.shape))
        raise UserError(f"a side-by-side sheet of {wanted}", got, where, "run EvaluateModel again")
    side = min(WINDOW_PX, height, width)
    upscaling = max(1, PANEL_PX // side)
    top = LABEL_PX + panel_height + GAP_PX
    windows = {}
    for number, name in enumerate(COLUMNS):
        left = GAP_PX + number * (column + GAP_PX)
        shown = sheet[top : top + side * upscaling, left : left + side * upscaling]
        windows[name] = np.ascontiguousarray(shown[::upscaling, ::upscaling])
    whole = sheet[LABEL_PX : LABEL_PX + panel_height, GAP_PX : GAP_PX + panel_width]
    return Panels(np.ascontiguousarray(whole), windows)


def png_uri(image: np.ndarray) -> str:
    """Return uint8 HWC RGB as a data: URI, without loss."""
    return _uri("png", encode_png(image))


def jpeg_uri(image: np.ndarray) -> str:
    """Return uint8 HWC RGB as a data: URI, as a JPEG of moderate size."""
    return _uri("jpeg", encode_jpeg(image, JPEG_QUALITY))


def read(path: Path) -> np.ndarray | None:
    """Return the image in a file as uint8 HWC RGB, or None where there is no file.

    Raises:
        data.imaging.decode.ImageFault: it is damaged.
    """
    return decode(path.read_bytes()) if path.is_file() else None


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
