"""Make a video with everything: B-frames, a variable frame rate, audio, subtitles, chapters, a font, damage."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from videos import numbered

MS = Fraction(1, 1000)
FIRST_MS = 500
TAGS = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1}


def vfr_times(frames: int) -> list[int]:
    """Return presentation times in milliseconds, from FIRST_MS on, 33, 40 and 47 ms apart."""
    return [FIRST_MS + sum(33 + (n % 3) * 7 for n in range(number)) for number in range(frames)]


def make_odd_video(
    path: Path,
    frames: int = 60,
    garbage: int = 0,
    pixels: str = "yuv420p",
    size: tuple[int, int] = (96, 160),
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """Encode the video: 4:3 pixels, rotated by a quarter turn; `garbage` packets of noise end its video stream."""
    times, samples = vfr_times(frames), 0
    with av.open(str(path), "w", container_options=container or {}) as video:
        video.metadata["title"] = "An odd video"
        video.set_chapters([{"id": 1, "start": 0, "end": 900, "time_base": MS, "metadata": {"title": "One"}}])
        stream = video.add_stream("libx264", rate=25, options=options or {"bf": "3", "g": "20"})
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = stream.time_base = MS
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_matrix([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30])
        for name, value in TAGS.items():
            setattr(stream.codec_context, name, value)
        sound = video.add_stream("aac", rate=48000)
        sound.metadata["language"], sound.disposition = "deu", av.stream.Disposition.default
        words = None
        if path.suffix == ".mkv":
            words = video.add_mux_stream("subrip")
            words.time_base = MS
            words.metadata["language"], words.disposition = "eng", av.stream.Disposition.forced
            video.add_attachment("letters.ttf", "font/ttf", b"glyphs" * 9)
        for number, time in enumerate(times):
            image = numbered(number, 192, 320)[: size[0], : size[1]]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = time, MS
            video.mux(stream.encode(frame))
            while samples < time * 48:
                video.mux(sound.encode(tone(samples)))
                samples += 1024
            if words is not None and number == frames // 3:
                video.mux(_packet(words, b"Words", time, 400))
        video.mux(stream.encode())
        video.mux(sound.encode())
        noise = np.random.default_rng(0)
        for number in range(garbage):
            slice_ = b"\0\0\0\1\x41" + noise.bytes(400)
            video.mux(_packet(stream, slice_, times[-1] + 40 * (number + 1), 40))
    return path


def tone(first: int, slowness: float = 20) -> av.AudioFrame:
    """Return 1,024 samples of a tone, from sample number `first` on."""
    wave = (np.sin(np.arange(first, first + 1024) / slowness) * 0.3).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, first, Fraction(1, 48000)
    return frame


def _packet(stream: av.stream.Stream, content: bytes, time_ms: int, duration_ms: int) -> av.Packet:
    packet = av.Packet(content)
    packet.pts = packet.dts = time_ms
    packet.duration, packet.time_base, packet.stream = duration_ms, MS, stream
    return packet


def decoded_times(path: Path) -> list[Fraction]:
    """Return the time in seconds of each frame that plain decoding gives; damaged packets are skipped."""
    times = []
    with av.open(str(path)) as video:
        for packet in video.demux(video.streams.video[0]):
            try:
                times += [frame.pts * frame.time_base for frame in packet.decode()]
            except av.FFmpegError:
                continue
    return times


def copied(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Return the time and bytes of all packets of the first stream of a kind."""
    with av.open(str(path)) as video:
        stream = getattr(video.streams, kind)[0]
        return [(one.pts * one.time_base, bytes(one)) for one in video.demux(stream) if one.dts is not None]


def check_plays(path: Path) -> list[Fraction]:
    """Check that a video decodes without an error and its decoding times ascend; return its frame times in seconds."""
    with av.open(str(path)) as video:
        order = [one.dts for one in video.demux(video.streams.video[0]) if one.dts is not None]
    assert all(one < other for one, other in itertools.pairwise(order)), "dts must ascend"
    with av.open(str(path), options={"err_detect": "explode"}) as video:
        return [frame.pts * frame.time_base for frame in video.decode(video=0)]
