"""Black bars: where the image lies in a video's frames, to the pixel.

One frame can deceive (a night sky looks like a bar), so frames vote: an edge that several share is the video's.
A video may have several formats, as those that change from 2.39:1 to 1.78:1 do; each frame gets the one it shows.
"""

import collections

import numpy as np

from data.records import Box

_LIT = 0.04
"""A line of pixels whose mean is above this share of white is image. Ringing beside a bright edge stays below;
dark image lines below it do no harm, as other frames outvote them."""
_SHARE = 0.1
"""Share of the frames, and at least two, that must agree on a format."""

Span = tuple[int, int]
"""First line that is image, and the first one after the image."""
Edges = tuple[Span, Span]
"""Rows, then columns."""


def find_edges(luma: np.ndarray) -> Edges | None:
    """Return the lines between which a frame shows anything at all.

    Args:
        luma: float32 height x width, 0 for black to 1 for white.

    Returns:
        Rows and columns; None where all is dark.
    """
    rows = _lit_span(luma.mean(axis=1))
    if rows is None:
        return None
    columns = _lit_span(luma[rows[0] : rows[1]].mean(axis=0))
    return None if columns is None else (rows, columns)


def _lit_span(means: np.ndarray) -> Span | None:
    lit = np.flatnonzero(means > _LIT)
    return (int(lit[0]), int(lit[-1]) + 1) if len(lit) else None


def agree(edges: list[Edges | None], height: int, width: int, grid: tuple[int, int]) -> list[Box]:
    """Decide for each frame of a video where its image lies.

    Rows and columns are looked at apart. The video's formats are the spans that a tenth of its frames, and at least
    two, share; where there is none, the smallest span that holds all. A frame gets the smallest format that holds
    all it shows; one that shows more than any (words in a bar) gets the largest.

    Args:
        edges: what `find_edges` gave for each frame.
        height: of the frames.
        width: of the frames.
        grid: rows and columns of a chroma sample; a sample that is half bar is cut too.

    Returns:
        A box for each frame.
    """
    rows = _agree([one and one[0] for one in edges], height, grid[0])
    columns = _agree([one and one[1] for one in edges], width, grid[1])
    return [
        Box(top=top, left=left, height=bottom - top, width=right - left)
        for (top, bottom), (left, right) in zip(rows, columns, strict=True)
    ]


def _agree(spans: list[Span | None], length: int, step: int) -> list[Span]:
    seen = [span for span in spans if span]
    votes = collections.Counter(seen)
    formats = [span for span, count in votes.items() if count >= max(2, _SHARE * len(seen))]
    if not formats and seen:
        formats = [(min(start for start, _ in seen), max(stop for _, stop in seen))]
    # Smallest first; of equal ones the first line decides, so that nothing hangs on the order of counting.
    formats = sorted(formats or [(0, length)], key=lambda span: (span[1] - span[0], span))
    chosen = []
    for span in spans:
        holding = [one for one in formats if span is None or (one[0] <= span[0] and span[1] <= one[1])]
        start, stop = holding[0] if span and holding else formats[-1]
        chosen.append((-(-start // step) * step, stop if stop == length else stop // step * step))
    return chosen
