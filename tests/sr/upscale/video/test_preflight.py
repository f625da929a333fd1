"""What would fail at the end of the work fails before it, in words whose advice works."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from commands import luigi
from odd_videos import check_plays, decoded_times, make_odd_video
from videos import make_video, numbered

from data.errors import UserError
from sr.upscale.__main__ import main
from sr.upscale.video import preflight
from sr.upscale.video.output_file import OutputFile
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

QUICK = VideoUpscaleSettings(preset="ultrafast")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_odd_video(tmp_path_factory.mktemp("clip") / "in.mkv", 6)


def small(height: int, width: int):
    return lambda number: np.ascontiguousarray(np.resize(numbered(number), (height, width, 3)))


def upscale(source: Path, output: Path, settings: VideoUpscaleSettings = QUICK, scale: int = 2, **others):
    return upscale_video(source, output, output.parent / "store", "bicubic", settings, scale, **others)


def refuse(words: str, source: Path, output: Path, settings: VideoUpscaleSettings = QUICK, scale: int = 2):
    """Check that a video is refused, and that nothing of it was made."""
    before = [one for one in sorted(output.parent.iterdir()) if one.name != "store"]
    with pytest.raises(UserError, match=words):
        upscale(source, output, settings, scale)
    assert [one for one in sorted(output.parent.iterdir()) if one.name != "store"] == before
    assert not list(output.parent.rglob("*.packets"))


@pytest.mark.parametrize("leave_out", [(9,), (1, 7, -1)])
def test_streams_to_leave_out_must_exist(leave_out, clip, tmp_path):
    named = r"It can leave out 1 \(audio\), 2 \(subtitle\), 3 \(attachment\)"
    missing = ",".join(str(one) for one in sorted(leave_out) if one not in (1, 2, 3))
    settings = VideoUpscaleSettings(preset="ultrafast", leave_out=leave_out)
    refuse(f"--leave-out {missing} is no stream of .*{named}", clip, tmp_path / "out.mkv", settings)
    upscale(clip, tmp_path / "out.mkv", VideoUpscaleSettings(preset="ultrafast", leave_out=(1, 2, 3)))
    with av.open(str(tmp_path / "out.mkv")) as video:
        assert [one.type for one in video.streams] == ["video"]
    silent = make_video(tmp_path / "silent.mkv", frames=2)
    refuse("no stream but its video", silent, tmp_path / "out2.mkv", settings)


def test_outputs_that_cannot_be_written(clip, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(UserError, match=r"out\.mkv cannot be written: the folder .*file is a file"):
        preflight.check_writable(file / "deeper" / "out.mkv")
    with pytest.raises(UserError, match=r"out\.mkv cannot be written: .*file is a file"):
        OutputFile(tmp_path / "store", file / "deeper" / "out.mkv").check()
    with pytest.raises(UserError, match="the folder /proc cannot be written to"):
        preflight.check_writable(Path("/proc/out.mkv"))
    (tmp_path / "folder.mkv").mkdir()
    refuse(r"folder\.mkv is a folder\. Name a file", clip, tmp_path / "folder.mkv")
    (tmp_path / "link.mkv").symlink_to("nowhere.mkv")
    refuse("is a link to a file that does not exist. Remove the link", clip, tmp_path / "link.mkv")
    (tmp_path / "link.mkv").unlink()
    upscale(clip, tmp_path / "link.mkv")
    preflight.check_writable(tmp_path / "missing" / "folders" / "out.mkv")
    assert not list(tmp_path.glob(".part*"))


def test_missing_folders_are_made(clip, tmp_path):
    upscale_video(clip, tmp_path / "a" / "b" / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    assert len(check_plays(tmp_path / "a" / "b" / "out.mkv")) == 6


@pytest.mark.parametrize(
    ("size", "codec", "words", "works"),
    [
        (
            (4, 8200),
            "x264",
            r"x264 encodes up to 16384x16384, but .* 16400x8\. Use .*smaller scale",
            "scale 1",
        ),
        ((16, 8200), "x264", r"16400x32\. Use --codec x265, or a smaller scale", "x265"),
        ((4360, 8), "svtav1", r"svtav1 encodes up to 16384x8704, but .*Use --codec x264 or x265,", "x264"),
        ((6, 6), "x265", r"x265 encodes 16x16 or more, but .* 12x12.*--codec x264 or svtav1", "x264"),
    ],
)
def test_sizes_that_the_encoder_does_not_take(size, codec, words, works, tmp_path):
    source = make_video(tmp_path / "in.mkv", small(*size), frames=2, codec="ffv1", options={})
    preset = {"svtav1": "12"}
    refuse(
        words,
        source,
        tmp_path / "out.mkv",
        VideoUpscaleSettings(codec, preset=preset.get(codec, "ultrafast")),
    )
    if works == "scale 1":
        record = upscale(source, tmp_path / "out.mkv", scale=1)
    else:
        record = upscale(source, tmp_path / "out.mkv", VideoUpscaleSettings(works, preset="ultrafast"))
    assert record["frames"] == 2 and len(check_plays(tmp_path / "out.mkv")) == 2


def test_sizes_beyond_every_level_are_noted(clip):
    from sr.upscale.video.probe import probe_video

    video = probe_video(clip)
    assert preflight.find_level_note(video, QUICK, 2) == ""
    note = preflight.find_level_note(video, QUICK, 60)
    assert "9600x5760 is more than the largest level of H.264 allows" in note


@pytest.mark.parametrize("scale", [0, -2])
def test_scales_below_one(scale, clip, tmp_path):
    refuse(f"--scale must be at least 1, not {scale}", clip, tmp_path / "out.mkv", scale=scale)
    upscale(clip, tmp_path / "out.mkv", scale=1)
    given = [
        "UpscaleVideo",
        "--input",
        str(clip),
        "--output-file",
        str(tmp_path / "o.mkv"),
        "--model",
        "bicubic",
    ]
    run = luigi(tmp_path / "store2", *given, "--scale", str(scale))
    assert run.returncode and f"{scale}" in run.stderr and "Traceback" not in run.stderr


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_frames_that_would_share_a_millisecond(suffix, tmp_path):
    source = make_video(tmp_path / "in.mp4", small(64, 96), frames=24, fps=1200)
    settings = VideoUpscaleSettings(
        "svtav1" if suffix == ".webm" else "x264", preset="12" * (suffix == ".webm")
    )
    refuse(
        f"{suffix} counts time in milliseconds: 4 of 24 frames.*Name the output .mp4 or .mov",
        source,
        tmp_path / f"out{suffix}",
        settings,
    )
    for allowed in (".mp4", ".mov"):
        upscale_video(source, tmp_path / f"out{allowed}", tmp_path / f"store{allowed}", "bicubic", QUICK)
        assert check_plays(tmp_path / f"out{allowed}") == decoded_times(source)
        assert decoded_times(source)[1] == Fraction(1, 1200)


def test_two_frames_within_one_millisecond_of_a_variable_rate(tmp_path):
    times = [0, 101, 102, 200, 300]
    source = make_video(
        tmp_path / "in.mp4", small(64, 96), frames=5, fps=3000, times=times, options={"bf": "0"}
    )
    refuse("1 of 5 frames", source, tmp_path / "out.mkv")
    even = make_video(tmp_path / "even.mp4", small(64, 96), frames=24, fps=700)
    assert upscale(even, tmp_path / "out.mkv")["frames"] == len(set(check_plays(tmp_path / "out.mkv"))) == 24


def test_images_and_videos_name_each_others_command(clip, tmp_path, capsys):
    assert main([str(clip), str(tmp_path / "out.mkv"), "--model", "bicubic"]) == 1
    error = capsys.readouterr().err
    assert "in.mkv is a video" in error and f"sr-factory UpscaleVideo --input {clip}" in error
