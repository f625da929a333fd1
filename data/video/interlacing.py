"""Look at frames to see whether two fields of different moments are woven into them: a header's word is often wrong.

25 frames a second on a disc for 50 fields (PsF) are marked as interlaced and are whole. FFmpeg's idet filter compares
the lines of a frame with each other and with those of the frames around it; without motion nothing can be seen.
"""

import contextlib
import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
from av.video.frame import VideoFrame

from data.imaging.decode import LARGEST_PX
from data.video.demux import AV_ERRORS, open_video
from data.video.pyav import build_filter_graph, require_time_base

_PLACES = 8
"""Places of a video that are looked at, evenly spread."""
_FRAMES = 16
"""Frames that are looked at in each place."""
_MIN_FRAMES = 8
"""Frames with motion that are needed to say anything."""
_WHOLE_SHARE, _COMBED_SHARE = 0.05, 0.25
"""Share of combed frames up to which a video is whole, and from which on it is interlaced."""


@dataclasses.dataclass(frozen=True)
class Fields:
    """How many frames with motion were looked at, and in how many of them the lines belong to two moments."""

    moving: int
    combed: int

    @property
    def is_whole(self) -> bool:
        """Whether the frames are clearly whole."""
        return self.moving >= _MIN_FRAMES and self.combed <= _WHOLE_SHARE * self.moving

    @property
    def is_combed(self) -> bool:
        """Whether the frames are clearly interlaced."""
        return self.moving >= _MIN_FRAMES and self.combed >= _COMBED_SHARE * self.moving

    def describe(self) -> str:
        """Return what the frames look like, as the continuation of "it is marked as interlaced, …"."""
        if self.is_whole:
            return f"but its frames look whole: {self.moving - self.combed} of {self.moving} with motion show no combs"
        if self.is_combed:
            return f"and its frames are: {self.combed} of {self.moving} with motion show combs"
        return (
            f"and too few of its frames ({self.moving}) show motion by which one could see whether they are"
        )


def look_at_fields(path: Path) -> Fields:
    """Decode some frames in several places of a video, and look at their lines.

    Raises:
        VideoFault: the video cannot be opened.
    """
    kinds: Counter[str] = Counter()
    container, stream = open_video(path, allow_interlaced=True)
    with container:
        stream.codec_context.options = {"max_pixels": str(LARGEST_PX)}
        duration_s = (container.duration or 0) / av.time_base
        start_s = (container.start_time or 0) / av.time_base
        for place in range(_PLACES if duration_s else 1):
            with contextlib.suppress(*AV_ERRORS):
                container.seek(round((start_s + duration_s * place / _PLACES) * av.time_base))
                kinds.update(_classify(itertools.islice(container.decode(stream), _FRAMES)))
    combed = kinds["tff"] + kinds["bff"]
    return Fields(combed + kinds["progressive"], combed)


def _classify(frames: Iterable[VideoFrame]) -> Iterator[str]:
    """Yield tff, bff, progressive or undetermined for consecutive frames."""
    graph = None
    for frame in itertools.chain(frames, [None]):
        if frame is not None and graph is None:
            graph = build_filter_graph(frame, require_time_base(frame), ("idet", ""))
        if graph is None:
            return
        graph.vpush(frame)
        with contextlib.suppress(BlockingIOError, EOFError):
            while True:
                yield str(graph.vpull().metadata.get("lavfi.idet.single.current_frame", ""))
