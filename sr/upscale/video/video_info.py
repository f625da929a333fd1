"""What is known of a video before its frames are upscaled, and how it is kept between runs. Reads no video."""

import dataclasses
from fractions import Fraction
from pathlib import Path

from data.atomic_files import read_json, write_json

STAGE = "upscale"
"""Of the Rejections of everything that upscales videos."""
_PQ, _HLG = 16, 18
_FULL = 2


@dataclasses.dataclass(frozen=True)
class Video:
    """What is known of a video before its frames are upscaled."""

    path: Path
    stream: int
    """Number of the video stream that is upscaled."""
    width: int
    height: int
    chroma: str
    """420, 422, 444, gray, or rgb."""
    bits: int
    """Of a sample: 8 to 16."""
    time_base: Fraction
    """Seconds in a unit of its times."""
    first: int
    """Presentation time of its first frame, in units; segments are counted from it."""
    last: int
    """Of its last frame, as its container lists it."""
    last_duration: int
    """How long that shows, in units; 0 where it does not say."""
    frames: int
    """As its container lists them; the decoder may give fewer."""
    rate: Fraction
    """Frames a second, on average: what the encoder is told."""
    aspect: Fraction
    """Of a pixel, width to height."""
    tags: dict[str, int]
    """color_range, color_primaries, color_trc, colorspace: the numbers of H.273 as the video has them."""
    matrix: str
    """Of the scale filter; empty where colors need not or cannot be converted."""
    siting: str
    """Where chroma samples lie: left, center or topleft."""
    display_matrix: tuple[int, ...]
    """Nine numbers that say how the image is turned; empty: it is not."""
    master_display: str
    light_level: str
    unkept: tuple[str, ...]
    """What its images carry that no encoder here takes: captions, HDR10+, Dolby Vision."""
    broken: str
    """Where and why its container breaks off; empty when it is whole."""

    @property
    def is_hdr(self) -> bool:
        """Whether its code values are PQ's or HLG's."""
        return self.tags["color_trc"] in (_PQ, _HLG)

    @property
    def is_full_range(self) -> bool:
        """Whether black is 0 and white the largest value."""
        return self.tags["color_range"] == _FULL

    def segment_of(self, time: int, segment_s: float) -> int:
        """Return the number of the segment that a frame belongs to, by its presentation time alone."""
        return int((time - self.first) * self.time_base / Fraction(segment_s))

    def planar(self, bits: int) -> str:
        """Return FFmpeg's name of the planar pixel format with this video's chroma."""
        plain = {"rgb": "yuv444p", "gray": "gray"}.get(self.chroma, f"yuv{self.chroma}p")
        return plain if bits == 8 else f"{plain}{bits}le"


_KEPT = "source.json"
_NOT_PLAIN = {"path": Path, "time_base": Fraction, "rate": Fraction, "aspect": Fraction}
_KEPT_SCHEMA = 1


def keep(video: Video, folder: Path) -> None:
    """Write down what a video is, so that going on with it need not read all of it again."""
    plain = dataclasses.asdict(video) | {name: str(getattr(video, name)) for name in _NOT_PLAIN}
    write_json(folder / _KEPT, {"schema": _KEPT_SCHEMA, "seen": _seen(video.path), "video": plain})


def kept(path: Path, folder: Path) -> Video | None:
    """Return what was written down of a video; None where nothing was, or of another file."""
    if not (folder / _KEPT).exists():
        return None
    told = read_json(folder / _KEPT)
    if (told["schema"], told["seen"]) != (_KEPT_SCHEMA, _seen(path)):
        return None
    fields = told["video"]
    fields |= {name: kind(fields[name]) for name, kind in _NOT_PLAIN.items()}
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Video(**fields | lists)


def _seen(path: Path) -> list[str | int]:
    status = path.stat()
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]
