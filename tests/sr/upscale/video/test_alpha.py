"""Alpha is never dropped in silence: it is said before the work, counted, and no tag says that it is still there."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from data.atomic_files import read_json
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

QUICK = VideoUpscaleSettings(preset="ultrafast")


def make(path: Path, codec: str, pixels: str, transparent: range = range(6)) -> Path:
    """Encode six frames; some have a square that is seen through."""
    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        if codec.startswith("libvpx"):
            stream.options = {"auto-alt-ref": "0"}  # the encoder takes no alpha with it
            stream.metadata["alpha_mode"] = "1"
        for number in range(6):
            image = np.full((48, 64, 4), 255, np.uint8)
            image[..., :3] = (200, 40 + number * 30, 90)
            if number in transparent:
                image[8:24, 8:24, 3] = 0
            frame = av.VideoFrame.from_ndarray(image, "rgba").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    return path


def upscale(source: Path, suffix: str, codec: str = "x264") -> tuple[Path, dict, list[str]]:
    output, lines = source.parent / f"out{suffix}", []
    settings = VideoUpscaleSettings(codec=codec, preset="13" if codec == "svtav1" else "ultrafast")
    upscale_video(source, output, source.parent / f"store{suffix}", "bicubic", settings, tell=lines.append)
    return output, read_json(source.parent / f"store{suffix}" / "video.json"), lines


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("vp9.webm", "libvpx-vp9", "yuva420p"),
        ("vp8.webm", "libvpx", "yuva420p"),
        ("vp9.mkv", "libvpx-vp9", "yuva420p"),
        ("prores.mov", "prores_ks", "yuva444p10le"),
        ("qtrle.mov", "qtrle", "argb"),
        ("png.mov", "png", "rgba"),
        ("deep.mov", "png", "rgba64be"),
        ("gray.mov", "png", "ya8"),
        ("yuv.mkv", "ffv1", "yuva420p10le"),
        ("rgb.mkv", "ffv1", "gbrap12le"),
    ],
)
def test_alpha_is_said_before_the_work_and_its_frames_are_counted(name, codec, pixels, tmp_path):
    source = make(tmp_path / name, codec, pixels, range(2, 6) if codec.startswith("ffv1") else range(6))
    output, record, lines = upscale(source, ".mkv")
    count = 4 if codec.startswith("ffv1") else 6
    assert lines == ["out.mkv will be without: alpha (transparency)"]
    assert record["transparent_frames"] == count and record["frames"] == 6
    assert record["not_copied"] == [f"alpha (transparency) of {count} frames"]
    with av.open(str(output)) as video:
        assert "alpha_mode" not in {tag.lower() for tag in video.streams.video[0].metadata}


def test_a_webm_keeps_no_tag_of_an_alpha_that_is_gone(tmp_path):
    output, _, _ = upscale(make(tmp_path / "in.webm", "libvpx-vp9", "yuva420p"), ".webm", "svtav1")
    assert b"\x53\xc0\x81\x01" not in output.read_bytes()  # Matroska's element AlphaMode, 1
    with av.open(str(output)) as video:
        assert "alpha_mode" not in {tag.lower() for tag in video.streams.video[0].metadata}


def test_alpha_that_hides_nothing_counts_no_frame(tmp_path):
    """Screen recorders write BGRA; the user learns that nothing of it was lost."""
    _, record, lines = upscale(make(tmp_path / "in.mkv", "ffv1", "bgra", range(0)), ".mkv")
    assert lines == ["out.mkv will be without: alpha (transparency)"]
    assert record["transparent_frames"] == 0
    assert record["not_copied"] == ["alpha (transparency) of 0 frames"]


def test_a_video_without_alpha_says_nothing_of_it(tmp_path):
    _, record, lines = upscale(make(tmp_path / "in.mkv", "ffv1", "bgr0"), ".mkv")
    assert (lines, record["not_copied"], record["transparent_frames"]) == ([], [], 0)
