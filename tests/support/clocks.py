"""Make videos with audio whose clock is odd: it restarts, wraps, begins before zero, or counts frames."""

import itertools
import shutil
import subprocess
from collections.abc import Container
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_videos import tone
from videos import counter, numbered

FPS = 25
CODECS = {
    ".ts": ("libx264", "aac"),
    ".vob": ("mpeg2video", "mp2"),
    ".avi": ("libx264", "mp2"),
    ".mp4": ("libx264", "aac"),
    ".mkv": ("libx264", "aac"),
    ".mov": ("libx264", "aac"),
    ".flv": ("libx264", "aac"),
    ".wmv": ("wmv2", "mp2"),
    ".mxf": ("mpeg2video", "pcm_s16le"),
}
Packets = list[tuple[Fraction, bytes]]


def make_clip(
    path: Path,
    frames: int = 75,
    first: int = 0,
    options: dict[str, str] | None = None,
    codec: str = "",
    with_audio: bool = True,
    still: tuple[int, int] = (0, 0),
) -> Path:
    """Encode frames numbered from `first` on, 25 a second, and a tone of the same length, both from time zero on.

    PyAV has no encoder of Theora: Ogg files are made by the ffmpeg command, and their tests are skipped without it.
    The frames from `still[0]` to before `still[1]` are left out, as of an image that stands still.
    """
    if path.suffix == ".ogv":
        return _make_ogg(make_clip(path.with_suffix(".mkv"), frames, first), path)
    video_codec, audio_codec = CODECS[path.suffix]
    with av.open(str(path), "w", format="vob" if path.suffix == ".vob" else None) as container:
        stream = container.add_stream(
            codec or video_codec, rate=FPS, options=options or {"bf": "2", "g": "25"}
        )
        stream.height, stream.width, stream.pix_fmt = 180, 320, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.bit_rate = 4_000_000
        sound = container.add_stream(audio_codec, rate=48000) if with_audio else None
        samples = 0
        for number in range(frames):
            while sound is not None and samples < (number + 1) * 48000 // FPS:
                wave = tone(first * 1920 + samples)
                wave.pts = samples
                container.mux(sound.encode(wave))
                samples += 1024
            if still[0] <= number < still[1]:
                continue
            image = np.ascontiguousarray(numbered(first + number))
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            container.mux(sound.encode())
    return path


def _make_ogg(source: Path, path: Path) -> Path:
    if not (ffmpeg := shutil.which("ffmpeg")):
        pytest.skip("needs the ffmpeg command: PyAV has no encoder of Theora")
    command = [
        ffmpeg,
        "-v",
        "error",
        "-i",
        str(source),
        "-c:v",
        "libtheora",
        "-q:v",
        "8",
        "-c:a",
        "libvorbis",
    ]
    subprocess.run([*command, str(path)], check=True)
    return path


def join(path: Path, *parts: Path) -> Path:
    """Write the bytes of several files one after another, as `cat` does."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def remux(
    source: Path, path: Path, shift_s: Fraction = Fraction(0), first_id: int = 0, **options: str
) -> Path:
    """Copy the packets of a video, later by some seconds (earlier if negative), with other numbers of its streams."""
    options = {"avoid_negative_ts": "disabled"} | options
    with av.open(str(source)) as given, av.open(str(path), "w", container_options=options) as made:
        streams = {one.index: made.add_stream_from_template(one, opaque=True) for one in given.streams}
        for number, stream in enumerate(streams.values()):
            stream.id = first_id + number if first_id else stream.id
        for packet in given.demux():
            if packet.dts is None:
                continue
            units = round(shift_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + units, packet.dts + units
            packet.stream = streams[packet.stream_index]
            made.mux(packet)
    return path


def share_times(source: Path, path: Path, numbers: Container[int]) -> Path:
    """Copy a video without B-frames; each image of these numbers gets the time of the one before it."""
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        streams = {one.index: made.add_stream_from_template(one, opaque=True) for one in given.streams}
        number = last = 0
        for packet in given.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                last = packet.pts = packet.dts = last if number in numbers else packet.pts
                number += 1
            packet.stream = streams[packet.stream_index]
            made.mux(packet)
    return path


def strip_times(source: Path, path: Path, numbers: Container[int]) -> Path:
    """Copy a transport stream of PyAV's muxer without the times of some of its images, numbered as they are stored."""
    content, number = bytearray(source.read_bytes()), -1
    for packet in range(0, len(content), 188):
        high, low = content[packet + 1 : packet + 3]
        if not high & 0x40 or (high & 0x1F, low) != (1, 0):  # not the first packet of an image
            continue
        adaptation = 1 + content[packet + 4] if content[packet + 3] & 0x20 else 0
        header, number = packet + 4 + adaptation, number + 1
        if number in numbers:
            count = {0x80: 5, 0xC0: 10}.get(content[header + 7] & 0xC0, 0)
            content[header + 7] &= 0x3F
            content[header + 9 : header + 9 + count] = b"\xff" * count
    path.write_bytes(content)
    return path


def cut_before_image(source: Path, path: Path, number: int) -> Path:
    """Copy a transport stream of PyAV's muxer from an image on, numbered as they are stored; its tables come first."""
    with av.open(str(source)) as video:
        places = [one.pos for one in video.demux(video=0) if one.size]
    content = source.read_bytes()
    path.write_bytes(content[: places[0]] + content[places[number] :])
    return path


def shown_numbers(path: Path) -> list[tuple[int, Fraction | None]]:
    """Return the number in each frame that plain decoding gives, and its time in seconds, in order."""
    with av.open(str(path)) as video:
        return [
            (
                counter(frame.to_ndarray(format="rgb24")),
                None if frame.pts is None else frame.pts * frame.time_base,
            )
            for frame in video.decode(video=0)
        ]


def audio_packets(path: Path) -> Packets:
    """Return the time in seconds and the bytes of all audio packets."""
    with av.open(str(path)) as video:
        packets = [one for one in video.demux(audio=0) if one.size]
        return [(one.pts * one.time_base, bytes(one)) for one in packets]


def check_sequence(path: Path, numbers: list[int], max_gap_s: float = 0.045) -> list[Fraction]:
    """Check that exactly these frames come out, in this order, at ascending times from zero on; return the times."""
    found = shown_numbers(path)
    assert [number for number, _ in found] == numbers
    times = [time for _, time in found if time is not None]
    assert len(times) == len(numbers) and times[0] >= 0
    gaps = [float(later - earlier) for earlier, later in itertools.pairwise(times)]
    assert min(gaps) > 0.03 and max(gaps) < max_gap_s, (min(gaps), max(gaps))
    return times
