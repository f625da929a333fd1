"""Choose among the planned frames of a video that were looked at; what is left are entries, all else rejections."""

import dataclasses

from data.records import Box, Reason, Rejection, SourceEntry
from data.video.demux import DEINTERLACE, FrameTable, VideoFault
from data.video.inspect_frames import Look
from data.video.letterbox import agree
from data.video.scenes import SCENE_REACH_S, is_near_identical, number_scenes

_INTERLACED_SHARE = 0.1
"""Of a video's frames, from which it is refused as a whole."""
_LEAST_CONTRAST = 4.0
"""Standard deviation of a thumbnail, in levels of 255; a frame with less is empty: black, white, or about to be."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a frame is: a SourceEntry's locator, `time@key+left,top:video`, taken apart."""

    time: int
    """Presentation time, in the stream's units."""
    key: int
    """Of the keyframe that decoding begins at."""
    left: int
    """Of the image, in the frame."""
    top: int
    video: str
    """Path below the root."""

    def locator(self) -> str:
        """Return the text."""
        return f"{self.time}@{self.key}+{self.left},{self.top}:{self.video}"

    @classmethod
    def parse(cls, locator: str) -> "Place":
        """Take a locator apart."""
        numbers, _, video = locator.partition(":")
        time, _, rest = numbers.partition("@")
        key, _, corner = rest.partition("+")
        left, _, top = corner.partition(",")
        return cls(int(time), int(key), int(left), int(top), video)


def refuse_video(looks: list[Look]) -> None:
    """Refuse a video of which no frame can be had, or a tenth or more is interlaced.

    Raises:
        VideoFault: it is one.
    """
    decoded = [look for look in looks if look.fault is None]
    if looks and not decoded:
        fault = looks[0].fault
        raise VideoFault(
            fault.reason, f"no frame can be had: {fault.detail}", "remux it, or convert it to H.264"
        )
    interlaced = sum(look.is_interlaced for look in decoded)
    if interlaced and interlaced >= _INTERLACED_SHARE * len(decoded):
        detail = f"interlaced ({interlaced} of {len(decoded)} frames)"
        raise VideoFault(Reason.UNSUPPORTED, detail, DEINTERLACE)


def choose_frames(looks: list[Look], table: FrameTable, video: str) -> list[SourceEntry | Rejection]:
    """Decide what becomes of each planned frame.

    Thrown out are frames that cannot be decoded, interlaced and empty ones, fades and dissolves, and those nearly
    identical to one that was taken within the minute before. The rest get their image without black bars, and
    their scene as a group.

    Args:
        looks: at the planned frames, in order of time.
        table: the video's times.
        video: its path below the root.

    Returns:
        An entry or a rejection for each look, in their order.
    """
    times_s = [table.seconds(look.planned.time) for look in looks]
    verdicts: dict[int, tuple[Reason, str]] = {}
    taken: list[int] = []
    for number, look in enumerate(looks):
        recent = [one for one in taken if times_s[number] - times_s[one] <= SCENE_REACH_S]
        verdict = _fault(look, looks[taken[0]] if taken else look) or _repeats(
            look, [(frame_id(video, times_s[one]), looks[one]) for one in recent]
        )
        if verdict:
            verdicts[number] = verdict
        else:
            taken.append(number)
    placed = _place(taken, looks, times_s)
    return [
        Rejection(frame_id(video, times_s[number]), "index", *verdicts[number])
        if number in verdicts
        else _entry(look, times_s[number], *placed[number], table.codec, video)
        for number, look in enumerate(looks)
    ]


def _place(taken: list[int], looks: list[Look], times_s: list[float]) -> dict[int, tuple[int, Box]]:
    """Return the scene and the image's box of each frame that was taken."""
    if not taken:
        return {}
    first = looks[taken[0]]
    scenes = number_scenes([times_s[one] for one in taken], [looks[one].thumb for one in taken])
    boxes = agree([looks[one].edges for one in taken], first.height, first.width, first.grid)
    return {one: placed for one, *placed in zip(taken, scenes, boxes, strict=True)}


def _fault(look: Look, first: Look) -> tuple[Reason, str] | None:
    """Return what is wrong with one frame; `first` is the first that was taken, or the frame itself."""
    if look.fault:
        return look.fault.reason, look.fault.detail
    if look.is_interlaced:
        return Reason.UNSUPPORTED, "an interlaced frame"
    if (look.height, look.width) != (first.height, first.width):
        return (
            Reason.UNSUPPORTED,
            f"{look.width}x{look.height}, where the video is {first.width}x{first.height}",
        )
    contrast = float(look.thumb.std())
    if contrast < _LEAST_CONTRAST:
        return Reason.FLAT, f"contrast {contrast:.1f}; at least {_LEAST_CONTRAST} is needed"
    return (Reason.FADE, "a mixture of the frames around it") if look.is_fading else None


def _repeats(look: Look, earlier: list[tuple[str, Look]]) -> tuple[Reason, str] | None:
    for name, other in reversed(earlier):
        if is_near_identical(look.thumb, other.thumb):
            return Reason.NEAR_DUPLICATE, f"nearly identical to {name}"
    return None


def _entry(look: Look, time_s: float, scene: int, box: Box, codec: str, video: str) -> SourceEntry:
    return SourceEntry(
        id=frame_id(video, time_s),
        locator=Place(look.planned.time, look.planned.key, box.left, box.top, video).locator(),
        width=box.width,
        height=box.height,
        format=codec,
        bytes=0,
        sha256=look.sha256,
        lossy=True,
        group=f"{video}/scene-{scene:04d}",
        bit_depth=look.bit_depth,
    )


def frame_id(video: str, time_s: float) -> str:
    """Return a frame's id: the video, and when it shows from the first frame on, to the millisecond."""
    minutes, seconds = divmod(round(time_s * 1000), 60_000)
    return f"{video}@{minutes // 60}:{minutes % 60:02d}:{seconds / 1000:06.3f}"
