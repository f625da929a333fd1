"""The user's settings for an upscaled video, and what each encoder supports. Knows no video."""

import dataclasses
import os

from data.errors import UserError

_X26X_PRESETS = (
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
AUDIO = ("copy", "aac", "flac", "opus")
"""What becomes of sound: it is copied, or converted to a codec."""
ENHANCEMENT = ("on", "off")
"""Whether the enhancement layer of a video is added."""
BIT_DEPTHS = ("8", "10", "same")
_CHROMA_LOCATION_TYPES = {"center": "1", "topleft": "2"}
"""Chroma sample location types of H.264 and HEVC; without one, left is the default."""
_SVT_LOG = "SVT_LOG"
"""Environment variable with the log level of SVT-AV1 on standard error; 1: errors."""


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder: FFmpeg's name for it, and what it supports."""

    encoder: str
    presets: tuple[str, ...]
    """Fastest first (numbers: slowest first)."""
    preset: str
    """The default."""
    crf: int
    """The default constant rate factor."""
    max_crf: int
    max_frame_rate: int
    """Frames per second."""
    standard: str
    """What it encodes to."""
    min_side: int
    """Least height and width of a frame, in pixels."""
    max_height: int
    max_width: int


CODECS = {
    "x264": Codec("libx264", _X26X_PRESETS, "medium", 18, 51, 1000, "H.264", 2, 16384, 16384),
    "x265": Codec("libx265", _X26X_PRESETS, "medium", 20, 51, 1000, "HEVC", 16, 65535, 65535),
    "svtav1": Codec(
        "libsvtav1", tuple(str(number) for number in range(14)), "8", 28, 63, 240, "AV1", 4, 8704, 16384
    ),
}


@dataclasses.dataclass(frozen=True)
class VideoUpscaleSettings:
    """How the upscaled video is encoded.

    All but `leave_out`, `audio` and `progressive` change its segments.
    """

    codec: str = "x264"
    crf: int = -1
    """Constant rate factor, 0 to the codec's maximum; -1: the codec's default."""
    preset: str = ""
    """One of the codec's presets; empty: its default."""
    bits: str = "same"
    """Bits per sample: 8, 10, or same (as the source, and 10 if it has more)."""
    segment_s: float = 5.0
    """Seconds of video in one segment: the most work that a kill can cost."""
    encoder_threads: int = 4
    """x264 writes different bytes for another number; so it is a setting, and not the machine's core count."""
    deinterlace: bool = False
    """Deinterlace (FFmpeg's bwdif, one frame for each frame); otherwise interlaced videos are rejected."""
    progressive: bool = False
    """Take videos that are marked as interlaced as they are; changes no frame."""
    leave_out: tuple[int, ...] = ()
    """Indices of the source's streams that are not copied."""
    audio: str = "copy"
    """copy, or the codec that sound is converted to: aac, flac or opus. Changes no segment."""
    enhancement: str = "on"
    """on: add the enhancement layer that the video has; off: leave it out."""
    device: str = "CPU"
    """OpenVINO device for an IR; another device may round differently."""

    @property
    def allow_interlaced(self) -> bool:
        """Whether videos that are marked as interlaced are accepted."""
        return self.deinterlace or self.progressive

    def check(self) -> None:
        """Validate all settings.

        Raises:
            UserError: a setting is invalid.
        """
        _check_choice("--codec", self.codec, tuple(CODECS))
        codec = CODECS[self.codec]
        if not -1 <= self.crf <= codec.max_crf:
            raise UserError(
                f"--crf must be 0 to {codec.max_crf} for {self.codec}, or -1 for {codec.crf}, not {self.crf}"
            )
        if self.preset:
            _check_choice("--preset", self.preset, codec.presets)
        _check_choice("--bits", self.bits, BIT_DEPTHS)
        _check_choice("--audio", self.audio, AUDIO)
        _check_choice("--enhancement", self.enhancement, ENHANCEMENT)
        if not 0.5 <= self.segment_s <= 600:
            raise UserError(f"--segment-s must be 0.5 to 600 seconds, not {self.segment_s}")
        if self.deinterlace and self.progressive:
            raise UserError(
                "--deinterlace and --progressive are given, but frames are either made whole or taken as they are",
                "Leave one of them out",
            )
        if not 1 <= self.encoder_threads <= 64:
            raise UserError(f"--encoder-threads must be 1 to 64, not {self.encoder_threads}")

    def options(self, master_display: str, light_level: str, chroma_location: str) -> dict[str, str]:
        """Return the encoder's options, as FFmpeg takes them.

        Args:
            master_display: of an HDR video, G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min) in the units of x265; or empty.
            light_level: MaxCLL,MaxFALL in cd/m²; or empty.
            chroma_location: of 4:2:0 chroma: left, center or topleft; empty for other formats.
        """
        codec = CODECS[self.codec]
        options = {
            "preset": self.preset or codec.preset,
            "crf": str(codec.crf if self.crf < 0 else self.crf),
        }
        location_type = _CHROMA_LOCATION_TYPES.get(chroma_location, "")
        if self.codec == "x264":
            options["threads"] = str(self.encoder_threads)
            params = {"mastering-display": master_display, "cll": light_level, "chromaloc": location_type}
        elif self.codec == "x265":
            # Frame threads change the bytes, the pool does not.
            params = {"log-level": "none", "pools": str(self.encoder_threads), "frame-threads": "2"}
            params |= {"master-display": master_display, "max-cll": light_level, "chromaloc": location_type}
        else:
            os.environ.setdefault(_SVT_LOG, "1")
            params = {"lp": str(min(self.encoder_threads, 6))}
            if chroma_location in ("left", "topleft"):
                params["chroma-sample-position"] = chroma_location
        given = ":".join(f"{name}={value}" for name, value in params.items() if value)
        return options | ({f"{self.codec}-params": given} if given else {})


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"{option} must be one of {', '.join(choices)}, not {value!r}")
