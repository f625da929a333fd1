"""The colors of pixels that cannot be seen: those of the nearest that can, so that none of their own shows at an edge.

Windows of the image are looked at one after another, so that memory does not depend on its size. What lies farther
from everything visible than a network sees is left as it is.
"""

import cv2
import numpy as np

from sr.runtime.tiling import HALO_PX, Span, spans

_WINDOW_PX = 1024
_REACH_PX = 2 * HALO_PX
"""A pixel that can be seen depends on none farther off than HALO_PX, and alpha's bicubic makes visible what is two
pixels from a visible one. Hidden pixels that matter have their nearest visible one within that, diagonally."""


def fill_hidden(colors: np.ndarray, alpha: np.ndarray) -> None:
    """Give hidden pixels their colors, in place.

    Args:
        colors: height x width x channels, of any type.
        alpha: height x width; 0 is hidden.
    """
    for rows in spans(alpha.shape[0], _WINDOW_PX, _REACH_PX):
        for columns in spans(alpha.shape[1], _WINDOW_PX, _REACH_PX):
            window = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
            _fill(colors[window], alpha[window] == 0, (_kept(rows), _kept(columns)))


def _kept(span: Span) -> slice:
    return slice(span.keep_start - span.start, span.keep_stop - span.start)


def _fill(colors: np.ndarray, hidden: np.ndarray, kept: tuple[slice, slice]) -> None:
    if not hidden[kept].any() or hidden.all():
        return
    _, nearest = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    seen = np.empty((nearest.max() + 1, colors.shape[2]), colors.dtype)
    seen[nearest[~hidden]] = colors[~hidden]
    colors[kept][hidden[kept]] = seen[nearest[kept][hidden[kept]]]
