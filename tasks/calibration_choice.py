"""Resolve `--calibration`: the images that calibrate int8."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError
from tasks.index import IndexSource
from tasks.model_choice import TRAINED
from tasks.publish import FetchDataset, selected_samples
from tasks.select import SelectSamples

if TYPE_CHECKING:
    from sr.export.int8_crops import ImageSet

CalibrationTask = SelectSamples | FetchDataset | IndexSource
"""A task whose result has images to calibrate with."""


def find_calibration_images(calibration: str, model: str) -> CalibrationTask | None:
    """Return the task whose images calibrate int8; None for the photographs in the box.

    Args:
        calibration: as `--calibration` gives it: a folder of images or another dataset; empty: the selection. That of
            another model than the trained one counts only if it is there: nothing is downloaded to calibrate.
        model: as `--model` gives it.
    """
    if calibration:
        return IndexSource(dataset=calibration)
    if model == TRAINED:
        return selected_samples()
    with contextlib.suppress(UserError):  # [selection] names datasets that are not here
        selection = selected_samples()
        if selection.is_done():
            return selection
    return None


def open_calibration_images(images: CalibrationTask | None) -> "Path | ImageSet | None":
    """Return what `sr.export.to_openvino.export_openvino` calibrates with, once the task is done."""
    if not isinstance(images, IndexSource):
        return images.record_path() if images else None
    from sr.export.int8_crops import ImageSet

    return ImageSet(images.directory_name.rpartition("/")[2], images.loaders())
