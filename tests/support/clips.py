"""Make short clips of any codec and pixel format, with sound and subtitles, in any container that PyAV muxes."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

FPS = 25
FORMATS = {
    ".mkv": "matroska", ".webm": "webm", ".mp4": "mp4", ".mov": "mov", ".3gp": "3gp", ".m2ts": "mpegts",
    ".ts": "mpegts", ".vob": "vob", ".mpg": "mpeg", ".avi": "avi", ".wmv": "asf", ".flv": "flv", ".ogv": "ogv",
    ".mxf": "mxf",
}  # fmt: skip
"""FFmpeg's names of muxers."""
_OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "bf": "2", "b-adapt": "0"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "libsvtav1": {"preset": "13"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "dnxhd": {"profile": "dnxhr_hq"},
    "vorbis": {"strict": "-2"},
    "opus": {"strict": "-2"},
}
_BIT_RATES = {"wmav1": 128_000, "wmav2": 128_000, "libopencore_amrnb": 12_200, "g723_1": 6_300}
_SIZES = {
    "dvvideo": (576, 720),
    "h261": (144, 176),
    "dnxhd": (144, 256),
    "cfhd": (144, 192),
    "speedhq": (144, 176),
}
_RATES = {
    "libopencore_amrnb": 8000, "g723_1": 8000, "real_144": 8000, "nellymoser": 8000, "g722": 16000, "g726": 8000,
    "g726le": 8000, "adpcm_swf": 44100, "adpcm_ima_amv": 22050, "roq_dpcm": 22050, "comfortnoise": 8000,
    "pcm_s24daud": 96000, "adpcm_argo": 44100, "sonic": 44100,
}  # fmt: skip
_MONO = frozenset(
    (
        "libopencore_amrnb",
        "g723_1",
        "real_144",
        "nellymoser",
        "g722",
        "g726",
        "g726le",
        "comfortnoise",
        "adpcm_ima_amv",
    )
)
_EVENTS = ("ass", "ssa")
"""Subtitle codecs whose packets are lines of ASS; the others take plain text."""
_ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    b"Style: Default,Arial,16\n\n[Events]\nFormat: Layer, Start, End, Style, Name, "
    b"MarginL, MarginR, MarginV, Effect, Text\n"
)


@dataclasses.dataclass(frozen=True)
class Clip:
    """What a clip has. Empty: none of it."""

    container: str
    """A suffix."""
    video: str
    """FFmpeg's name of the encoder."""
    pixels: str = "yuv420p"
    audio: str = ""
    subtitle: str = ""
    frames: int = 8
    rate: int = 0
    """Of the sound; 0: one that its encoder takes."""
    layout: str = ""
    late_s: Fraction = Fraction(0)
    """How much later than the images the sound begins."""
    gap: range = range(0)
    """Thousands of samples that are left out."""


def image(number: int, height: int, width: int) -> np.ndarray:
    """Draw a frame: a smooth image whose colors and brightness change from frame to frame."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    red = 60 + 120 * rows / height
    green = 200 - 120 * columns / width
    blue = np.full_like(red, 40 + 20 * (number % 8))
    return np.stack([red, green, blue], 2).astype(np.uint8)


def make_clip(path: Path, clip: Clip) -> Path:
    """Encode a clip.

    Raises:
        Exception: FFmpeg does not mux or encode it; of whatever class PyAV gives.
    """
    options = {"mpegts_m2ts_mode": "1"} if path.suffix == ".m2ts" else {}
    with (  # PyAV leaves a file open that it opened itself and whose header failed
        open(path, "wb") as file,
        av.open(file, "w", format=FORMATS[path.suffix], container_options=options) as container,
    ):
        video: Any = container.add_stream(clip.video, rate=FPS, options=_OPTIONS.get(clip.video, {}))
        height, width = _SIZES.get(clip.video, (144, 176))
        video.height, video.width, video.pix_fmt = height, width, clip.pixels
        video.codec_context.thread_count = 1
        sound = _add_sound(container, clip) if clip.audio else None
        words = _add_words(container, clip.subtitle) if clip.subtitle else None
        container.start_encoding()
        for number in range(clip.frames):
            drawn = av.VideoFrame.from_ndarray(image(number, height, width), "rgb24")
            frame = drawn.reformat(format=clip.pixels)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
            if words is not None and number == 2:
                container.mux(_words(words, clip.subtitle))
        container.mux(video.encode())
        if sound is not None:
            for tone in tones(sound.codec_context, clip):
                container.mux(sound.encode(tone))
            container.mux(sound.encode())
    return path


def tones(context: Any, clip: Clip) -> Iterator[av.AudioFrame]:
    """Yield the sound of a clip, as long as its images: a tone with a click every 4,096 samples."""
    rate, layout = context.sample_rate, context.layout
    first = round(clip.late_s * rate)
    for number in range(-(-clip.frames * rate // FPS // 1024)):
        if number in clip.gap:
            continue
        at = np.arange(number * 1024, number * 1024 + 1024)
        wave = (np.sin(at / 20) * 0.25 + (at % 4096 < 32) * 0.5).astype(np.float32)
        samples = np.stack([wave * (0.5 + 0.5 / (n + 1)) for n in range(layout.nb_channels)], 1)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "flt", layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, first + number * 1024, Fraction(1, rate)
        yield frame


def _add_sound(container: Any, clip: Clip) -> Any:
    codec = av.Codec(clip.audio, "w")
    rates = codec.audio_rates or []
    rate = clip.rate or _RATES.get(clip.audio, 48000)
    if rates and rate not in rates:
        rate = rates[0]
    stream = container.add_stream(clip.audio, rate=rate, options=_OPTIONS.get(clip.audio, {}))
    stream.codec_context.layout = clip.layout or ("mono" if clip.audio in _MONO else "stereo")
    if clip.audio in _BIT_RATES:
        stream.codec_context.bit_rate = _BIT_RATES[clip.audio]
    return stream


def _add_words(container: Any, codec: str) -> Any:
    stream = container.add_stream(codec)
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    stream.codec_context.subtitle_header = _ASS_HEADER
    return stream


def _words(stream: Any, codec: str) -> av.Packet:
    text = b"Words"
    if codec == "mov_text":
        text = len(text).to_bytes(2, "big") + text
    elif codec in _EVENTS:
        text = b"0,0,Default,,0,0,0,,Words"
    packet = av.Packet(text)
    packet.pts = packet.dts = 80
    packet.duration, packet.time_base, packet.stream = 120, Fraction(1, 1000), stream
    return packet
