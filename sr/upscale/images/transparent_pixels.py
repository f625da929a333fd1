"""Give invisible pixels the color of the nearest visible one, so that their own color does not bleed into edges.

The image is processed in windows, so that memory does not depend on its size. Pixels that are too far from anything
visible to influence it keep their color.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sr.models.metadata import HALO_PX
from sr.runtime.tiling import Span, split_axis

_WINDOW_PX = 1024
_MARGIN_PX = 2 * HALO_PX
"""A visible pixel depends on pixels up to HALO_PX away, and upscaling alpha by bicubic makes pixels visible up to two
pixels from a visible one. The nearest visible pixel of an invisible one that matters lies within this, diagonally."""


def fill_transparent(colors: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> None:
    """Replace the colors of invisible pixels, in place.

    Args:
        colors: height x width x channels, of any dtype.
        alpha: height x width; 0 is invisible.
    """
    for rows in split_axis(alpha.shape[0], _WINDOW_PX, _MARGIN_PX):
        for columns in split_axis(alpha.shape[1], _WINDOW_PX, _MARGIN_PX):
            window = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
            _fill_window(colors[window], alpha[window] == 0, (_kept_part(rows), _kept_part(columns)))


def _kept_part(span: Span) -> slice:
    return slice(span.keep_start - span.start, span.keep_stop - span.start)


def _fill_window(colors: npt.NDArray[Any], hidden: npt.NDArray[np.bool_], kept: tuple[slice, slice]) -> None:
    if not hidden[kept].any() or hidden.all():
        return
    _, nearest = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    visible_colors = np.empty((nearest.max() + 1, colors.shape[2]), colors.dtype)
    visible_colors[nearest[~hidden]] = colors[~hidden]
    colors[kept][hidden[kept]] = visible_colors[nearest[kept][hidden[kept]]]
