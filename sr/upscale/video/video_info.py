"""The properties of a video that is being upscaled, and how they are saved between runs. Reads no video."""

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

from data.atomic_files import read_json, write_json
from data.file_identity import size_and_second
from data.video.color import FULL_RANGE
from data.video.timeline import AS_STORED, Timeline

STAGE = "upscale"
"""Stage of the Rejections of all modules here."""
_HDR_TRANSFERS = (16, 18)
"""PQ and HLG, by the numbers of H.273."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are upscaled. Times are in units of `time_base`."""

    path: Path
    stream_index: int
    """Index of the video stream that is upscaled."""
    width: int
    height: int
    chroma: str
    """420, 422, 444, gray, or rgb."""
    bit_depth: int
    """Bits per sample: 8 to 16."""
    time_base: Fraction
    """Seconds in one unit."""
    first_pts: int
    """Presentation time of the first frame; segments are counted from it."""
    last_pts: int
    """Presentation time of the last frame in the container."""
    last_duration: int
    """How long the last frame shows; 0 if the container does not say."""
    frame_count: int
    """Frames in the container; the decoder may give fewer."""
    shared_milliseconds: int
    """Frames that show within the same millisecond as the one before: containers that count in them mix them up."""
    frame_rate: Fraction
    """Average frames per second, for the encoder."""
    sample_aspect_ratio: Fraction
    """Width to height of a pixel."""
    color_tags: dict[str, int]
    """color_range, color_primaries, color_trc and colorspace: the numbers of H.273 as the video has them."""
    matrix: str
    """YUV matrix, by the scale filter's name; empty if colors need not or cannot be converted."""
    chroma_location: str
    """Where chroma samples lie: left, center or topleft."""
    display_matrix: tuple[int, ...]
    """Nine numbers that rotate the image for display; empty if it is not rotated."""
    master_display: str
    """Mastering display metadata, as x265 takes it: G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min); empty if not stated."""
    light_level: str
    """MaxCLL,MaxFALL in cd/m²; empty if not stated."""
    dropped_metadata: tuple[str, ...]
    """Metadata of the frames that no encoder here writes: captions, HDR10+, Dolby Vision."""
    truncation: str
    """Where and why the video is cut short; empty if it is complete."""
    timeline: Timeline = AS_STORED
    """What makes the stored times of the video and its other streams those of the result."""

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer is PQ or HLG."""
        return self.color_tags["color_trc"] in _HDR_TRANSFERS

    @property
    def is_full_range(self) -> bool:
        """Whether black is 0 and white the largest value."""
        return self.color_tags["color_range"] == FULL_RANGE

    def segment_number(self, pts: int, segment_s: float) -> int:
        """Return the number of the segment that a frame belongs to; it depends on the frame's time alone."""
        return int((pts - self.first_pts) * self.time_base / Fraction(segment_s))

    def planar_format(self, bit_depth: int) -> str:
        """Return FFmpeg's name of the planar pixel format with this video's chroma."""
        name = {"rgb": "yuv444p", "gray": "gray"}.get(self.chroma, f"yuv{self.chroma}p")
        return name if bit_depth == 8 else f"{name}{bit_depth}le"


_FILE = "source.json"
_SCHEMA = 3
_TEXT_FIELDS: dict[str, Any] = {
    "path": Path,
    "time_base": Fraction,
    "frame_rate": Fraction,
    "sample_aspect_ratio": Fraction,
    "timeline": Timeline.parse,
}
"""Fields that JSON holds as text, and how to read them."""


def save_video_info(video: VideoInfo, folder: Path) -> None:
    """Save what is known of a video, so that a resumed run need not read all of it again."""
    fields = dataclasses.asdict(video) | {name: str(getattr(video, name)) for name in _TEXT_FIELDS}
    write_json(folder / _FILE, {"schema": _SCHEMA, "file": _file_state(video.path), "video": fields})


def load_video_info(path: Path, folder: Path) -> VideoInfo | None:
    """Load what was saved of a video; None if nothing was, or if the file has changed since."""
    if not (folder / _FILE).exists():
        return None
    saved = read_json(folder / _FILE)
    if (saved["schema"], saved["file"]) != (_SCHEMA, _file_state(path)):
        return None
    fields = saved["video"]
    fields |= {name: parse(fields[name]) for name, parse in _TEXT_FIELDS.items()}
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return VideoInfo(**fields | lists)


def _file_state(path: Path) -> list[str | int]:
    return [str(path.absolute()), *size_and_second(path.stat())]
