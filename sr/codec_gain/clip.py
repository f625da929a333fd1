"""A clip whose codec gain is measured: its frames in order, cut to sides that half a size can have."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from av.video.frame import VideoFrame

from data.errors import UserError
from data.records import Rejection
from data.video.pyav import plane_array, require_pts
from sr.upscale.video.decode_frames import decode_frames
from sr.upscale.video.probe import probe_video
from sr.upscale.video.video_info import VideoInfo

MULTIPLE_PX = 4
"""Sides are cut to a multiple of this: half of them is then even, as chroma of 4:2:0 needs."""
MIN_SIDE_PX = 64
_MIN_FRAMES = 2


@dataclasses.dataclass(frozen=True)
class Clip:
    """A video, and what of it is compared."""

    source: VideoInfo
    """The whole video."""
    video: VideoInfo
    """What is compared: the same with sides that are a multiple of MULTIPLE_PX, the rest cut off right and below."""

    @property
    def cut_px(self) -> tuple[int, int]:
        """How many rows and columns are cut off."""
        return self.source.height - self.video.height, self.source.width - self.video.width

    @property
    def duration_s(self) -> float:
        """How long the clip lasts, in seconds."""
        last = self.video.last_duration * self.video.time_base or 1 / self.video.frame_rate
        return float((self.video.last_pts - self.video.first_pts) * self.video.time_base + last)

    @property
    def half(self) -> VideoInfo:
        """What an encoder needs to know of the clip at half its size."""
        return dataclasses.replace(self.video, height=self.video.height // 2, width=self.video.width // 2)

    def frames(self) -> Iterator[VideoFrame]:
        """Decode the frames to compare: planar, in the video's chroma and 8 or 10 bits.

        Raises:
            UserError: a frame is damaged. What is compared with it would be wrong.
        """
        rejections: list[Rejection] = []
        count = 0
        for frame in decode_frames(self.source, False, rejections):
            count += 1
            yield cut_frame(frame, self.video)
        if rejections or count != self.source.frame_count:
            reason = (
                rejections[0].detail
                if rejections
                else f"{count} of {self.source.frame_count} frames came out"
            )
            raise UserError(f"{self.source.path} is damaged: {reason}", "Measure an intact clip")


def open_clip(path: Path) -> Clip:
    """Open a clip and check that its gain can be measured.

    Raises:
        UserError: it is interlaced, damaged, too small or too short, or its samples are not YUV of 8 or 10 bits.
    """
    source = probe_video(path, allow_interlaced=False)
    height, width = (side - side % MULTIPLE_PX for side in (source.height, source.width))
    if source.truncation:
        raise UserError(f"{path} is cut short: {source.truncation}", "Measure a whole clip")
    if min(height, width) < MIN_SIDE_PX:
        raise UserError(
            f"{path} is {source.width}x{source.height}; metrics of video need {MIN_SIDE_PX} pixels a side",
            "Measure a larger clip",
        )
    if source.frame_count < _MIN_FRAMES:
        raise UserError(f"{path} has {source.frame_count} frame", "Measure a clip of some seconds")
    if source.chroma not in ("420", "422", "444") or source.bit_depth not in (8, 10):
        kind = f"{source.chroma} of {source.bit_depth} bits"
        raise UserError(f"{path} holds {kind}; YUV of 8 or 10 bits is compared", "Convert it first")
    return Clip(source, dataclasses.replace(source, height=height, width=width))


def cut_frame(frame: VideoFrame, video: VideoInfo) -> VideoFrame:
    """Return the upper left part of a planar frame that a video's size has; the frame itself where it fits."""
    if (frame.height, frame.width) == (video.height, video.width):
        return frame
    cut = VideoFrame(video.width, video.height, frame.format.name)
    for number in range(len(frame.planes)):
        target = plane_array(cut, number)
        target[:] = plane_array(frame, number)[: target.shape[0], : target.shape[1]]
    cut.pts, cut.time_base = require_pts(frame), frame.time_base
    return cut
