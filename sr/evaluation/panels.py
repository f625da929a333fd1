"""The files of an image's side-by-side view: a sheet to look at, and the panels that the pages embed.

`evaluate` writes them for every image. The pages choose by a report's figures which images to show, and embed their
panels as data: URIs.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import write_bytes
from data.html.pages import data_uri
from data.imaging.encode import encode_jpeg, encode_png
from sr.evaluation.side_by_side import COLUMNS, Panels, compose_sheet

SHEETS, PANELS = "images", "panels"
"""Folders of an evaluation: one sheet for each image, and one folder of panels for each."""
JPEG_QUALITY = 80
SHOWN_PER_GROUP = 3
"""Of a large benchmark dataset so many of the best, the median and the worst images are shown."""
_THUMBNAIL = "thumbnail.jpg"


def sheet_name(image: str) -> str:
    """Return the file name of an image's sheet: the image's name, its folders joined by underscores."""
    return f"{_flat_name(image)}.png"


def write_panels(name: str, panels: Panels, labels: Mapping[str, str], out_dir: Path) -> None:
    """Write the sheet and the panels of an image.

    Args:
        name: of the image.
        panels: its panels.
        labels: a short text for each of COLUMNS, on the sheet.
        out_dir: of the evaluation.
    """
    folder = out_dir / PANELS / _flat_name(name)
    write_bytes(folder / _THUMBNAIL, encode_jpeg(panels.thumbnails["original"], JPEG_QUALITY))
    for column in COLUMNS:
        write_bytes(folder / f"{column}.png", encode_png(panels.windows[column]))
    write_bytes(out_dir / SHEETS / sheet_name(name), compose_sheet(panels, labels))


def embed_panels(rows: Sequence[dict[str, Any]], evaluation_dir: Path) -> list[dict[str, Any]]:
    """Choose the images to show on a page, and read their panels; those without panels are left out.

    Args:
        rows: `per_image` of a report.
        evaluation_dir: where `evaluate` wrote the panels.

    Returns:
        For each image: row, gain_db (over bicubic), thumbnail (a data: URI) and windows (data: URIs by column).
    """
    shown = []
    for row in choose_images(rows):
        folder = evaluation_dir / PANELS / _flat_name(row["name"])
        paths = {column: folder / f"{column}.png" for column in COLUMNS}
        if not all(path.is_file() for path in (folder / _THUMBNAIL, *paths.values())):
            continue
        shown.append(
            {
                "row": row,
                "gain_db": gain_over_bicubic(row),
                "thumbnail": data_uri((folder / _THUMBNAIL).read_bytes(), "jpeg"),
                "windows": {column: data_uri(path.read_bytes(), "png") for column, path in paths.items()},
            }
        )
    return shown


def choose_images(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order rows by falling gain over bicubic; of a large dataset, keep only the best, the median and the worst."""
    ordered = sorted(rows, key=lambda row: (-gain_over_bicubic(row), row["name"]))
    if len(ordered) <= 3 * SHOWN_PER_GROUP:
        return ordered
    middle = (len(ordered) - SHOWN_PER_GROUP) // 2
    return ordered[:SHOWN_PER_GROUP] + ordered[middle : middle + SHOWN_PER_GROUP] + ordered[-SHOWN_PER_GROUP:]


def gain_over_bicubic(row: dict[str, Any]) -> float:
    """Return by how many dB the model is better than bicubic on an image; 0 where that is not known."""
    model_db, bicubic_db = row["psnr_db"], row["bicubic"]["psnr_db"]
    gain_db = math.nan if model_db is None or bicubic_db is None else model_db - bicubic_db
    return gain_db if math.isfinite(gain_db) else 0.0


def _flat_name(image: str) -> str:
    return image.replace("/", "_")
