"""Select among the inspected frames of a video: the selected ones become source entries, all others rejections."""

import dataclasses

from data.records import Box, Rejection, RejectionReason, SourceEntry
from data.video.demux import DEINTERLACE_HINT, VideoFault
from data.video.frame_table import FrameTable
from data.video.inspect_frames import InspectedFrame
from data.video.letterbox import find_content_boxes
from data.video.scenes import MAX_SCENE_GAP_S, assign_scenes, is_near_identical

_MAX_INTERLACED_SHARE = 0.1
"""A video with this share of interlaced frames, or more, is rejected as a whole."""
_MIN_CONTRAST = 4.0
"""Standard deviation of a thumbnail, in levels of 255; a frame with less is empty: black, white, or nearly so."""


@dataclasses.dataclass(frozen=True)
class FrameLocator:
    """Where a frame is: the parts of a SourceEntry's locator, `pts@keyframe_pts+left,top:video`.

    In a file whose times restart or do not exist, `#` and a byte follow the keyframe's time; see `FramePlace`.
    """

    pts: int
    """Presentation time that its packet carries, in units of the stream's time base."""
    keyframe_pts: int
    """Of the keyframe where decoding begins."""
    left: int
    """First column of the image in the frame."""
    top: int
    """First row of the image in the frame."""
    video: str
    """Path below the source's root."""
    keyframe_byte: int = -1
    """Where the keyframe's packet begins, in a file whose times do not say it; otherwise -1."""

    def format(self) -> str:
        """Return the locator as text."""
        byte = f"#{self.keyframe_byte}" if self.keyframe_byte >= 0 else ""
        return f"{self.pts}@{self.keyframe_pts}{byte}+{self.left},{self.top}:{self.video}"

    @classmethod
    def parse(cls, locator: str) -> "FrameLocator":
        """Parse the text of a locator."""
        numbers, _, video = locator.partition(":")
        pts, _, rest = numbers.partition("@")
        keyframe, _, corner = rest.partition("+")
        keyframe_pts, _, byte = keyframe.partition("#")
        left, _, top = corner.partition(",")
        return cls(int(pts), int(keyframe_pts), int(left), int(top), video, int(byte or -1))


def check_video(frames: list[InspectedFrame]) -> None:
    """Reject a video that has no frame that can be decoded, or a tenth or more of interlaced ones.

    Raises:
        VideoFault: it is such a video.
    """
    decoded = [frame for frame in frames if frame.fault is None]
    faults = [frame.fault for frame in frames if frame.fault is not None]
    if faults and not decoded:
        detail = f"no frame can be decoded: {faults[0].detail}"
        raise VideoFault(faults[0].reason, detail, "Remux it, or convert it to H.264")
    interlaced = sum(frame.is_interlaced for frame in decoded)
    if interlaced and interlaced >= _MAX_INTERLACED_SHARE * len(decoded):
        detail = f"it is interlaced ({interlaced} of {len(decoded)} frames)"
        raise VideoFault(RejectionReason.UNSUPPORTED, detail, DEINTERLACE_HINT)


def select_frames(
    frames: list[InspectedFrame], table: FrameTable, video: str
) -> list[SourceEntry | Rejection]:
    """Turn each inspected frame into an entry or a rejection.

    Rejected are frames that cannot be decoded, interlaced and empty ones, fades and dissolves, and those nearly
    identical to one selected within the minute before. The others are cut to their image without black bars, and
    grouped by scene.

    Args:
        frames: in order of time.
        table: the video's frame times.
        video: its path below the source's root.

    Returns:
        One for each frame, in their order.
    """
    times_s = [table.seconds(frame.planned.pts) for frame in frames]
    problems: dict[int, tuple[RejectionReason, str]] = {}
    selected: list[int] = []
    for number, frame in enumerate(frames):
        recent = [
            (frame_id(video, times_s[other]), frames[other])
            for other in selected
            if times_s[number] - times_s[other] <= MAX_SCENE_GAP_S
        ]
        first = frames[selected[0]] if selected else frame
        problem = _find_defect(frame, first) or _find_repetition(frame, recent)
        if problem:
            problems[number] = problem
        else:
            selected.append(number)
    placements = _find_placements(selected, frames, times_s)
    return [
        Rejection(frame_id(video, times_s[number]), "index", *problems[number])
        if number in problems
        else _build_entry(frame, times_s[number], *placements[number], table.codec, video)
        for number, frame in enumerate(frames)
    ]


def _find_placements(
    selected: list[int], frames: list[InspectedFrame], times_s: list[float]
) -> dict[int, tuple[int, Box]]:
    """Return the scene and the content box of each selected frame."""
    if not selected:
        return {}
    first = frames[selected[0]]
    scenes = assign_scenes(
        [times_s[number] for number in selected], [frames[number].thumbnail for number in selected]
    )
    edges = [frames[number].edges for number in selected]
    boxes = find_content_boxes(edges, first.height, first.width, first.chroma_step)
    return {number: (scene, box) for number, scene, box in zip(selected, scenes, boxes, strict=True)}


def _find_defect(frame: InspectedFrame, first: InspectedFrame) -> tuple[RejectionReason, str] | None:
    """Return what is wrong with a frame by itself; `first` is the first selected frame, or the frame itself."""
    if frame.fault:
        return frame.fault.reason, frame.fault.detail
    if frame.is_interlaced:
        return RejectionReason.UNSUPPORTED, "an interlaced frame"
    if (frame.height, frame.width) != (first.height, first.width):
        detail = f"{frame.width}x{frame.height} in a video of {first.width}x{first.height}"
        return RejectionReason.UNSUPPORTED, detail
    contrast = float(frame.thumbnail.std())
    if contrast < _MIN_CONTRAST:
        return RejectionReason.FLAT, f"contrast {contrast:.1f} is less than {_MIN_CONTRAST}"
    return (RejectionReason.FADE, "a mixture of the frames around it") if frame.is_fading else None


def _find_repetition(
    frame: InspectedFrame, earlier: list[tuple[str, InspectedFrame]]
) -> tuple[RejectionReason, str] | None:
    for name, other in reversed(earlier):
        if is_near_identical(frame.thumbnail, other.thumbnail):
            return RejectionReason.NEAR_DUPLICATE, f"nearly identical to {name}"
    return None


def _build_entry(
    frame: InspectedFrame, time_s: float, scene: int, box: Box, codec: str, video: str
) -> SourceEntry:
    place = frame.planned.place
    locator = FrameLocator(
        place.pts, place.keyframe_pts, box.left, box.top, video, keyframe_byte=place.keyframe_byte
    )
    return SourceEntry(
        id=frame_id(video, time_s),
        locator=locator.format(),
        width=box.width,
        height=box.height,
        format=codec,
        bytes=0,
        sha256=frame.sha256,
        lossy=True,
        group=f"{video}/scene-{scene:04d}",
        bit_depth=frame.bit_depth,
    )


def frame_id(video: str, time_s: float) -> str:
    """Return a frame's id: the video, and the frame's time since the first one, to the millisecond.

    Example:
        >>> frame_id("clip.mkv", 3723.5)
        'clip.mkv@1:02:03.500'
    """
    minutes, seconds = divmod(round(time_s * 1000), 60_000)
    return f"{video}@{minutes // 60}:{minutes % 60:02d}:{seconds / 1000:06.3f}"
