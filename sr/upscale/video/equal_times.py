"""Give frames that share a time, as some remuxers write them, times of their own: none of them is lost."""

from collections.abc import Iterator

from av.video.frame import VideoFrame

from data.video.pyav import require_pts

_MAX_EQUAL = 16
"""Most frames in a row that may share a time; the others keep it."""


def spread_equal_times(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield frames in their order; those with one time are spread evenly between it and the next frame's."""
    waiting: list[VideoFrame] = []
    gap = 0
    for frame in frames:
        if waiting:
            step = require_pts(frame) - require_pts(waiting[0])
            if step == 0 and len(waiting) < _MAX_EQUAL:
                waiting.append(frame)
                continue
            gap = step if step > 0 else gap
            yield from _spread(waiting, max(0, step))
        waiting = [frame]
    yield from _spread(waiting, gap)


def _spread(frames: list[VideoFrame], gap: int) -> Iterator[VideoFrame]:
    for index, frame in enumerate(frames):
        if index:
            frame.pts = require_pts(frames[0]) + index * gap // len(frames)
        yield frame
