"""What a person chooses for an upscaled video, and what each encoder takes. Knows no video."""

import dataclasses
import os

from data.errors import UserError

_NAMED = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
CONTAINERS = {".mkv": "matroska", ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".webm": "webm"}
"""FFmpeg's name of the container, by the suffix of the output."""
MODES = ("8", "10", "same")
_H26X = {"center": "1", "topleft": "2"}
"""Chroma sample location types of H.264 and HEVC; left is what is meant where none is said."""
_SVT_LOG = "SVT_LOG"
"""Environment variable by which SVT-AV1 is told how much to say on standard error; 1: errors."""


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder: FFmpeg's name for it, and what it takes."""

    encoder: str
    presets: tuple[str, ...]
    preset: str
    """Without a choice."""
    crf: int
    """Without a choice."""
    largest_crf: int
    largest_rate: int
    """Frames a second."""


CODECS = {
    "x264": Codec("libx264", _NAMED, "medium", 18, 51, 1000),
    "x265": Codec("libx265", _NAMED, "medium", 20, 51, 1000),
    "svtav1": Codec("libsvtav1", tuple(str(one) for one in range(14)), "8", 28, 63, 240),
}


@dataclasses.dataclass(frozen=True)
class VideoSettings:
    """How the upscaled video is encoded. Every field changes its bytes; `leave_out` none of its segments."""

    codec: str = "x264"
    crf: int = -1
    """Constant rate factor, 0 to the codec's largest; -1: the codec's usual one."""
    preset: str = ""
    """The codec's; empty: its usual one."""
    bits: str = "same"
    """8, 10, or same: as the source, 10 for more."""
    segment_s: float = 5.0
    """Seconds of video that are encoded as one piece; what a kill can cost."""
    encoder_threads: int = 4
    """x264 gives other bytes with another number; so it is a setting, and not what the machine has."""
    deinterlace: bool = False
    """Make whole images of fields (FFmpeg's bwdif, one for each frame); otherwise interlaced videos are refused."""
    leave_out: tuple[int, ...] = ()
    """Numbers of streams of the source that are not copied."""
    device: str = "CPU"
    """What an IR runs on; another may round otherwise."""

    def check(self) -> None:
        """Refuse what no encoder takes.

        Raises:
            UserError: a value is none that there is.
        """
        if self.codec not in CODECS:
            raise UserError(f"one of {', '.join(CODECS)}", repr(self.codec), "--codec", "choose one")
        codec = CODECS[self.codec]
        if not -1 <= self.crf <= codec.largest_crf:
            expected = f"0 to {codec.largest_crf}, or -1 for {codec.crf}"
            raise UserError(expected, str(self.crf), f"--crf of {self.codec}", "give another")
        if self.preset and self.preset not in codec.presets:
            raise UserError(f"one of {', '.join(codec.presets)}", repr(self.preset), "--preset", "choose one")
        if self.bits not in MODES:
            raise UserError(f"one of {', '.join(MODES)}", repr(self.bits), "--bits", "choose one")
        if not 0.5 <= self.segment_s <= 600:
            raise UserError("0.5 to 600 s", str(self.segment_s), "--segment-s", "give another length")
        if not 1 <= self.encoder_threads <= 64:
            raise UserError("1 to 64", str(self.encoder_threads), "--encoder-threads", "give another number")

    def options(self, master_display: str, light_level: str, siting: str) -> dict[str, str]:
        """Return the encoder's options, as FFmpeg takes them.

        Args:
            master_display: of an HDR video, G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min) in the units of x265; or empty.
            light_level: MaxCLL,MaxFALL in cd/m²; or empty.
            siting: of the chroma of 4:2:0, left, center or topleft; empty for other images.
        """
        codec = CODECS[self.codec]
        options = {
            "preset": self.preset or codec.preset,
            "crf": str(codec.crf if self.crf < 0 else self.crf),
        }
        own: dict[str, str] = {}
        if self.codec == "x264":
            options["threads"] = str(self.encoder_threads)
            own = {
                "mastering-display": master_display,
                "cll": light_level,
                "chromaloc": _H26X.get(siting, ""),
            }
        elif self.codec == "x265":
            # Frame threads change the bytes, the pool does not.
            own = {"log-level": "none", "pools": str(self.encoder_threads), "frame-threads": "2"}
            own |= {
                "master-display": master_display,
                "max-cll": light_level,
                "chromaloc": _H26X.get(siting, ""),
            }
        else:
            os.environ.setdefault(_SVT_LOG, "1")
            own = {"lp": str(min(self.encoder_threads, 6))}
            own |= {"chroma-sample-position": siting if siting in ("left", "topleft") else ""}
        given = ":".join(f"{name}={value}" for name, value in own.items() if value)
        return options | ({f"{self.codec}-params": given} if given else {})
