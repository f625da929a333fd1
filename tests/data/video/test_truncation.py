"""A video that is cut short, or has a hole, says so whatever its container; a whole one never does."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_videos import tone
from videos import make_video, numbered

from data.video.demux import VideoFault, read_frame_table

FRAMES = 72
CODECS = {".webm": "libvpx", ".avi": "mpeg4", ".mpg": "mpeg2video"}
OPTIONS = {
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "g": "12"},
    "mpeg4": {"bf": "0", "g": "12", "b": "2000000"},
    "mpeg2video": {"bf": "0", "g": "1", "b": "8000000"},
}


class Pipe:
    """A file that cannot be sought: what a muxer writes to it is a live stream."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "wb")  # noqa: SIM115

    def write(self, content: bytes) -> int:
        return self.file.write(content)


def draw(number: int) -> np.ndarray:
    return np.ascontiguousarray(numbered(number)[:96, :160])


def clip(path: Path, codec: str = "") -> Path:
    codec = codec or CODECS.get(path.suffix, "libx264")
    return make_video(path, draw, FRAMES, codec, OPTIONS.get(codec, {"bf": "0", "g": "12"}))


def remux(source: Path, output: Path, options: dict[str, str] | None = None, is_live: bool = False) -> Path:
    file = Pipe(output) if is_live else str(output)
    name = {".mkv": "matroska", ".mp4": "mp4"}[output.suffix]
    with av.open(str(source)) as before, av.open(file, "w", name, container_options=options or {}) as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    if is_live:
        file.file.close()
    return output


def truncation(path: Path) -> str:
    return read_frame_table(path).truncation


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])
    return path


def with_zeros(path: Path, start: float, end: float) -> Path:
    content = bytearray(path.read_bytes())
    first, last = round(len(content) * start), round(len(content) * end)
    content[first:last] = bytes(last - first)
    path.write_bytes(content)
    return path


SUFFIXES = [".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mpg", ".flv"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cut_short_in_any_container(suffix, tmp_path):
    path = clip(tmp_path / f"in{suffix}")
    assert truncation(path) == ""
    found = truncation(cut(path, 0.777))
    assert "the last frame is at" in found and ("missing" in found or "ends within a packet" in found)


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mpg"])
@pytest.mark.parametrize(("start", "end"), [(0.4, 0.5), (0.6, 1.0)], ids=["hole", "tail"])
def test_zeros_midway_and_at_the_end(start, end, suffix, tmp_path):
    path = with_zeros(clip(tmp_path / f"in{suffix}"), start, end)
    assert "are damaged" in truncation(path)


@pytest.mark.parametrize("options", [{"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov"}])
def test_an_mp4_that_begins_with_its_index(options, tmp_path):
    path = remux(clip(tmp_path / "plain.mkv"), tmp_path / "in.mp4", options)
    assert truncation(path) == ""
    found = truncation(cut(path, 0.7))
    assert "the last frame is at" in found
    assert ("of its 72 frames are in the file" in found) == ("faststart" in options["movflags"])


def test_a_live_stream_states_no_end_so_only_a_broken_packet_shows(tmp_path):
    path = remux(clip(tmp_path / "plain.mkv"), tmp_path / "live.mkv", is_live=True)
    with av.open(str(path)) as video:
        assert not video.streams.video[0].metadata.get("DURATION")
        packets = [(one.pos, one.size) for one in video.demux(video=0) if one.size]
    content = path.read_bytes()
    assert truncation(path) == ""
    path.write_bytes(content[:-7])
    assert "ends within a packet" in truncation(path)
    assert len(packets) == FRAMES


def without_packets(path: Path, first: float, count: int) -> bytes:
    """Return a transport stream that lacks some of its packets of 188 bytes."""
    content = path.read_bytes()
    start = round(len(content) // 188 * first) * 188
    return content[:start] + content[start + count * 188 :]


@pytest.mark.parametrize("first", [0.3, 0.5])
def test_lost_packets_of_a_transport_stream(first, tmp_path):
    path = clip(tmp_path / "in.ts")
    path.write_bytes(without_packets(path, first, 9))
    assert len(read_frame_table(path).pts) < FRAMES and "frames are missing after" in truncation(path)


def test_streams_that_were_joined_whole_lack_nothing(tmp_path):
    path = clip(tmp_path / "in.ts")
    with av.open(str(clip(tmp_path / "in2.ts"))) as video:
        assert not any(packet.is_corrupt for packet in video.demux(video=0))
    path.write_bytes(path.read_bytes() + (tmp_path / "in2.ts").read_bytes())
    assert truncation(path) == "" and len(read_frame_table(path).pts) == 2 * FRAMES


def with_sound(path: Path, seconds: float) -> Path:
    """Encode 24 frames (1 s), then sound of some seconds behind all of them."""
    with av.open(str(path), "w", container_options={"max_interleave_delta": "1"}) as video:
        stream = video.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 96, 160, "yuv420p"
        sound = video.add_stream("aac", rate=44100)
        sound.codec_context.open()
        for number in range(24):
            frame = av.VideoFrame.from_ndarray(draw(number), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
        for first in range(0, round(44100 * seconds), 1024):
            samples = tone(first)
            samples.sample_rate, samples.time_base = 44100, Fraction(1, 44100)
            video.mux(sound.encode(samples))
        video.mux(sound.encode())
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_sound_that_lasts_longer_is_no_truncation(suffix, tmp_path):
    assert truncation(with_sound(tmp_path / f"in{suffix}", 6)) == ""


def test_sound_that_is_cut_off_behind_the_last_frame_is_one(tmp_path):
    path = cut(with_sound(tmp_path / "in.mkv", 6), 0.8)
    assert len(read_frame_table(path).pts) == 24
    assert "bytes are missing" in truncation(path)


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        (
            lambda content: content[:-2000],
            r"its index \(the moov box.*is missing",
            "Download or copy it again",
        ),
        (lambda content: content[:100] + bytes(len(content) - 100), "its index", "Download or copy it again"),
        (lambda content: bytes(len(content)), "it begins with zeros", "Let the download finish"),
        (lambda content: b"", "the file is empty", "Copy or download it again"),
        (lambda content: b"text" * 100, "it contains no video", "Check that it is a video"),
    ],
    ids=["cut", "zeros behind", "zeros", "empty", "text"],
)
def test_what_cannot_be_opened_is_named_and_the_whole_file_helps(
    change: Callable[[bytes], bytes], words, hint, tmp_path
):
    path = clip(tmp_path / "in.mp4")
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    with pytest.raises(VideoFault, match=words) as fault:
        read_frame_table(path)
    assert hint in fault.value.hint
    path.write_bytes(whole)
    assert truncation(path) == ""


def test_padding_behind_the_end_is_no_damage(tmp_path):
    for suffix in (".mkv", ".mp4"):
        path = clip(tmp_path / f"in{suffix}")
        path.write_bytes(path.read_bytes() + bytes(5000))
        assert truncation(path) == ""
