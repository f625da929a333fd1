"""Black bars (letterbox and pillarbox): find where the image lies in a video's frames, to the pixel.

One frame can mislead (a night sky looks like a bar), so frames vote: an edge that several share is the video's.
A video may change its aspect ratio, for example from 2.39:1 to 1.78:1; each frame then gets the one that it shows.
"""

import collections

import numpy as np
import numpy.typing as npt

from data.records import Box

_LIT = 0.04
"""A line of pixels whose mean is above this share of white belongs to the image. Ringing beside a bright edge stays
below. Dark lines of an image below it do no harm: other frames outvote them."""
_MIN_SHARE = 0.1
"""Share of the frames, and at least two, that must agree on a span."""

Span = tuple[int, int]
"""First line of the image, and first line after it."""
Edges = tuple[Span, Span]
"""Rows, then columns."""


def find_edges(luma: npt.NDArray[np.float32]) -> Edges | None:
    """Return the lines between which a frame shows anything.

    Args:
        luma: float32 height x width, 0 for black to 1 for white.

    Returns:
        Rows and columns; None if the whole frame is dark.
    """
    rows = _lit_span(luma.mean(axis=1))
    if rows is None:
        return None
    columns = _lit_span(luma[rows[0] : rows[1]].mean(axis=0))
    return None if columns is None else (rows, columns)


def _lit_span(means: npt.NDArray[np.float32]) -> Span | None:
    lit = np.flatnonzero(means > _LIT)
    return (int(lit[0]), int(lit[-1]) + 1) if len(lit) else None


def find_content_boxes(
    edges: list[Edges | None], height: int, width: int, chroma_step: tuple[int, int]
) -> list[Box]:
    """Decide for each frame of a video where its image lies.

    Rows and columns are decided separately. The video's spans are those that a tenth of its frames, and at least two,
    share; if there is none, the smallest span that holds all of them. A frame gets the smallest of the video's spans
    that holds all it shows; one that shows more than any of them (a subtitle in a bar) gets the largest.

    Args:
        edges: the result of `find_edges` for each frame.
        height: of the frames.
        width: of the frames.
        chroma_step: luma rows and columns for each chroma sample; a sample that is half bar is cut off too.

    Returns:
        One box for each frame.
    """
    rows = _vote([frame and frame[0] for frame in edges], height, chroma_step[0])
    columns = _vote([frame and frame[1] for frame in edges], width, chroma_step[1])
    return [
        Box(top=top, left=left, height=bottom - top, width=right - left)
        for (top, bottom), (left, right) in zip(rows, columns, strict=True)
    ]


def _vote(spans: list[Span | None], length: int, step: int) -> list[Span]:
    known = [span for span in spans if span]
    votes = collections.Counter(known)
    shared = [span for span, count in votes.items() if count >= max(2, _MIN_SHARE * len(known))]
    if not shared and known:
        shared = [(min(start for start, _ in known), max(stop for _, stop in known))]
    # Smallest first; among equal ones the first line decides, so that the counting order does not matter.
    shared = sorted(shared or [(0, length)], key=lambda span: (span[1] - span[0], span))
    chosen = []
    for span in spans:
        holding = [one for one in shared if span is None or (one[0] <= span[0] and span[1] <= one[1])]
        start, stop = holding[0] if span and holding else shared[-1]
        chosen.append((-(-start // step) * step, stop if stop == length else stop // step * step))
    return chosen
