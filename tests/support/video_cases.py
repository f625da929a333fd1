"""Upscale a clip into another container and hold the result against plain decoding of both files.

The source as FFmpeg alone decodes it is the truth: number and times of the frames, their colors, when the sound begins,
its waveform, the subtitles. A case ends right, refused in words before the work, or as a fault.
"""

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from clips import Clip, make_clip

from data.errors import UserError
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

CONTAINERS = (
    ".mkv", ".webm", ".mp4", ".mov", ".3gp", ".ts", ".m2ts", ".mpg", ".vob", ".avi", ".wmv", ".flv", ".ogv", ".mxf",
)  # fmt: skip
"""Suffixes of all containers that are read; one for each muxer of FFmpeg, and two where it differs."""
OUTPUTS = (".mkv", ".mp4", ".mov", ".webm")
PRESETS = {"x264": "ultrafast", "x265": "ultrafast", "svtav1": "10"}
_HARDWARE = ("_amf", "_nvenc", "_qsv", "_v4l2m2m")
RIGHT, REFUSED, COUNTED, UNREAD, FAULT = "right", "refused", "counted", "unread", "fault"
_TIME_S = 0.00151
"""Matroska rounds to a millisecond, and so may the source's container."""
_FRAME_S = 0.06
"""The longest frame of a codec's sound, at 44.1 kHz: more than its delay."""
_COLOR_LEVELS = 4.0
"""Mean difference of a frame: what quick encoders lose of a smooth image."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A clip, and how it is upscaled."""

    clip: Clip
    output: str
    """A suffix."""
    codec: str = "x264"
    audio: str = "copy"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    kind: str
    """right, refused, counted (something is lost, and said), unread (FFmpeg does not read the clip), or fault."""
    detail: str = ""
    """What was refused, lost or wrong."""
    pixels: str = ""
    """Pixel format of the result."""


@dataclasses.dataclass
class _Content:
    """What plain decoding gives of a file."""

    times: list[float]
    images: list[np.ndarray]
    sound: list[tuple[float, np.ndarray, int]]
    """For each stream of sound: when it begins, its samples as mono, its rate."""
    subtitles: list[tuple[float, float]]
    """Time and duration of each packet."""


def encoders(kind: str) -> list[str]:
    """Return all encoders in software of this PyAV: of video, audio or subtitle."""
    found = []
    for name in sorted(av.codecs_available):
        if name.endswith(_HARDWARE):
            continue
        try:
            codec = av.Codec(name, "w")
        except ValueError:
            continue
        if codec.type == kind and codec.name == name:
            found.append(name)
    return found


def pixel_formats(encoder: str) -> list[str]:
    """Return the pixel formats that an encoder takes, yuv420p first if it is among them."""
    names = [one.name for one in av.Codec(encoder, "w").video_formats or []]
    return sorted(names, key=lambda name: name != "yuv420p") or ["yuv420p"]


class Bench:
    """A folder where cases run; a clip is made once for cases that follow each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clip: Clip | None = None
        self._content: _Content | None = None
        self._source = folder / "in.mkv"

    def can_make(self, clip: Clip) -> bool:
        """Return whether FFmpeg muxes a clip."""
        if clip == self._clip:
            return True
        self._clip, self._content = None, None
        self._source = self._folder / f"in{clip.container}"
        self._source.unlink(missing_ok=True)
        try:
            make_clip(self._source, clip)
        except (av.FFmpegError, ValueError, OSError, AttributeError, NotImplementedError):
            return False
        self._clip = clip
        return True

    def is_read(self) -> bool:
        """Return whether FFmpeg reads the clip that was made last as it was made."""
        if self._clip is None:
            return False
        self._content = self._content or _decode(self._source)
        return _is_intact(self._content, self._clip)

    def run(self, case: Case) -> Outcome:
        """Upscale the clip of a case, and compare; it has been made."""
        assert self.can_make(case.clip)
        if not self.is_read() or self._content is None:
            return Outcome(UNREAD)
        output, store = self._folder / f"out{case.output}", self._folder / "store"
        shutil.rmtree(store, ignore_errors=True)
        output.unlink(missing_ok=True)
        settings = VideoUpscaleSettings(
            codec=case.codec, preset=PRESETS[case.codec], crf=10, audio=case.audio, encoder_threads=1
        )
        try:
            record = upscale_video(self._source, output, store, "bicubic", settings)
        except UserError as error:
            if list(store.glob("segments/*.packets")):
                return Outcome(FAULT, f"refused after the work: {error.message}")
            return Outcome(
                REFUSED, error.message.replace(f" of {self._source}", "").replace(str(self._source), "it")
            )
        except Exception as error:
            return Outcome(FAULT, f"{type(error).__name__}: {error}")
        return _compare(record, self._content, _decode(output), case)


def _is_intact(content: _Content, clip: Clip) -> bool:
    """Return whether FFmpeg reads a clip as it was made."""
    has_sound = bool(content.sound) and len(content.sound[0][1]) > 0
    return (
        len(content.times) == clip.frames
        and content.times == sorted(set(content.times))
        and has_sound >= bool(clip.audio)
        and bool(content.subtitles) >= bool(clip.subtitle)
    )


def _compare(record: dict[str, Any], source: _Content, made: _Content, case: Case) -> Outcome:
    differences = [*_compare_images(source, made), *_compare_sound(source, made, case)]
    if [end - begin for begin, end in source.subtitles] and len(made.subtitles) != len(source.subtitles):
        differences.append(f"{len(made.subtitles)} of {len(source.subtitles)} subtitles")
    lost = [*record["rejections"], *record["not_copied"]]
    if not differences and not record["rejections"]:
        return Outcome(RIGHT, "; ".join(lost), record["pixel_format"])
    return Outcome(COUNTED if lost else FAULT, "; ".join([*differences, *lost]), record["pixel_format"])


def _compare_images(source: _Content, made: _Content) -> list[str]:
    if len(made.times) != len(source.times):
        return [f"{len(made.times)} of {len(source.times)} frames"]
    shifts = [there - here for here, there in zip(source.times, made.times, strict=True)]
    worst = max(abs(shift - shifts[0]) for shift in shifts)
    differences = [f"times are off by {worst * 1000:.1f} ms"] if worst > _TIME_S else []
    errors = [
        float(np.abs(_reduce(there, 8) - _reduce(here, 4)).mean())
        for here, there in zip(source.images, made.images, strict=True)
    ]
    if max(errors) > _COLOR_LEVELS:
        differences.append(f"colors are off by {max(errors):.1f} levels")
    return differences


def _reduce(image: np.ndarray, times: int) -> np.ndarray:
    """Return the means of squares: what quantizing and dithering did to single pixels does not count."""
    height, width = image.shape[0] // times, image.shape[1] // times
    return image[: times * height, : times * width].reshape(height, times, width, times, -1).mean((1, 3))


def _compare_sound(source: _Content, made: _Content, case: Case) -> list[str]:
    if len(made.sound) != len(source.sound):
        return [f"{len(made.sound)} of {len(source.sound)} streams of sound"]
    differences = []
    for (begin, samples, rate), (begin_made, samples_made, rate_made) in zip(
        source.sound, made.sound, strict=True
    ):
        stated_s = (begin_made - made.times[0]) - (begin - source.times[0])
        seconds, seconds_made = len(samples) / rate, len(samples_made) / rate_made
        if abs(stated_s) > _FRAME_S:
            differences.append(f"sound begins {stated_s * 1000:.1f} ms off")
        elif seconds_made + stated_s < seconds - _FRAME_S:
            differences.append(f"{seconds_made:.3f} of {seconds:.3f} s of sound")
        elif rate_made == rate:
            heard, error = _align(samples, samples_made, rate)
            if abs(heard / rate + stated_s) > _TIME_S:
                differences.append(f"sound is heard {(heard / rate + stated_s) * 1000:.1f} ms off")
            if error > (0.02 if case.audio == "copy" else 0.5):
                differences.append(f"sound differs by {error:.0%}")
    return differences


def _align(samples: np.ndarray, made: np.ndarray, rate: int) -> tuple[int, float]:
    """Return how many samples later the second sound has what the first has, and how much they differ then.

    The delays of encoders that a container does not mark are silent samples at the begin.
    """
    reach = round(_FRAME_S * rate)
    size = 1 << (len(samples) + len(made) + reach).bit_length()
    spectrum = np.fft.rfft(made, size) * np.conj(np.fft.rfft(samples, size))
    likeness = np.fft.irfft(spectrum, size)
    lag = max(range(-reach, reach + 1), key=lambda one: likeness[one])
    first, other = samples[max(0, -lag) :], made[max(0, lag) :]
    length = min(len(first), len(other))
    return lag, _level(first[:length] - other[:length]) / (_level(first[:length]) + 1e-9)


def _level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0


def _decode(path: Path) -> _Content:
    """Decode a file as FFmpeg alone does; what it does not read is missing."""
    content = _Content([], [], [], [])
    try:
        with av.open(str(path)) as file:
            for frame in file.decode(video=0):
                if frame.pts is not None:
                    content.times.append(float(frame.pts * frame.time_base))
                    content.images.append(to_rgb(frame))
        with av.open(str(path)) as file:
            sounds = len(file.streams.audio)
        content.sound = [_decode_sound(path, number) for number in range(sounds)]
        with av.open(str(path)) as file:
            if file.streams.subtitles:
                content.subtitles = [
                    (float(one.pts * one.time_base), float((one.duration or 0) * one.time_base))
                    for one in file.demux(subtitles=0)
                    if one.size > 2 and one.pts is not None  # MP4 fills gaps with empty texts
                ]
    except (av.FFmpegError, LookupError, ValueError, TypeError):
        pass
    return content


def _decode_sound(path: Path, number: int) -> tuple[float, np.ndarray, int]:
    begin, parts, rate = 0.0, [], 0
    with av.open(str(path)) as file:
        resampler = None
        for frame in file.decode(audio=number):
            if not parts:
                begin, rate = float((frame.pts or 0) * frame.time_base), frame.sample_rate
                resampler = AudioResampler("flt", "mono", rate)
            parts += [one.to_ndarray()[0] for one in resampler.resample(frame)]
    return begin, np.concatenate([*parts, np.empty(0, np.float32)]), rate or 1


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Convert a frame to RGB, by the matrix and range that it states."""
    return frame.reformat(format="rgb24").to_ndarray().astype(np.float32)


@functools.cache
def carrier(container: str) -> str:
    """Return the encoder of the images of clips whose sound or subtitles are tried."""
    return {
        ".webm": "libvpx", ".ogv": "libvpx", ".flv": "flv", ".mpg": "mpeg2video", ".vob": "mpeg2video",
        ".ts": "mpeg2video", ".m2ts": "mpeg2video", ".mxf": "mpeg2video", ".wmv": "wmv2",
    }.get(container, "mpeg4")  # fmt: skip
