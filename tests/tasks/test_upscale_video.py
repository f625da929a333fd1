"""Test UpscaleVideo: when it is done, which files it never overwrites, and what Ctrl+C leaves."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import luigi
import numpy as np
import pytest
from clocks import make_clip, strip_times
from commands import luigi as luigi_command
from images import textured
from odd_videos import check_plays, decoded_times, make_odd_video
from PIL import Image
from videos import make_video

from data.atomic_files import read_json
from data.errors import UserError
from data.sources.video import VideoSource
from data.video.demux import read_frame_table
from data.video.sampling_settings import FrameSamplingSettings
from sr.upscale.video import upscale_video
from sr.upscale.video.upscale_video import partial_path
from tasks.upscale_video import UpscaleVideo


@pytest.fixture
def store(tmp_path):
    config = luigi.configuration.get_config()
    config.set("store", "root", str(tmp_path / "store"))
    luigi.task_register.Register.clear_instance_cache()
    yield tmp_path / "store"
    config.remove_option("store", "root")
    luigi.task_register.Register.clear_instance_cache()


def task_for(source: Path, output: Path, **others) -> UpscaleVideo:
    luigi.task_register.Register.clear_instance_cache()
    given = {"model": "bicubic", "preset": "ultrafast", "segment_s": 0.7} | others
    return UpscaleVideo(input=str(source), output_file=str(output), **given)


def test_a_video_is_done_while_it_exists_and_no_other_file_is_overwritten(store, tmp_path):
    first = make_odd_video(tmp_path / "in.mkv", 12)
    second = make_odd_video(tmp_path / "second.mkv", 10)
    output = tmp_path / "out.mkv"
    task = task_for(first, output)
    assert not task.complete()
    task.run()
    assert task.complete() and "12 frames of 320x192" in task.summary()
    made = output.read_bytes()

    for other in (task_for(second, output), task_for(first, output, crf=30)):
        with pytest.raises(UserError, match="free place"):
            other.complete()
    assert output.read_bytes() == made and task.complete()
    output.write_bytes(b"a stranger's")
    with pytest.raises(UserError, match="free place"):
        task.complete()
    output.unlink()
    assert not task.complete()
    task.run()
    assert task.complete() and output.read_bytes() == made
    with pytest.raises(UserError, match="is the input"):
        task_for(first, first).video()


def test_ctrl_c_leaves_a_video_that_plays_and_the_same_command_continues(tmp_path, program):
    source, output = make_odd_video(tmp_path / "in.mkv", 60), tmp_path / "out.mkv"
    command = [sys.executable, "-m", "luigi", "--module", "interrupted_video", "UpscaleVideo"]
    command += ["--input", str(source), "--output-file", str(output), "--model", "bicubic"]
    command += ["--preset", "ultrafast", "--segment-s", "0.7", "--store-root", str(tmp_path / "store")]

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=tmp_path, env=program.environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    ended, partial = run(), tmp_path / "out.partial.mkv"
    assert ended.returncode == 130 and not output.exists(), ended.stderr
    times = check_plays(partial)
    assert 0 < len(times) < 60 and times == decoded_times(source)[: len(times)]
    assert f"The first {len(times)} frames: {partial}" in ended.stderr
    # Two segments are finished: only one more is begun, so Ctrl+C is not pressed again.
    ended = run()
    assert ended.returncode == 0 and check_plays(output) == decoded_times(source), ended.stderr
    assert not partial.exists()
    assert read_json(next((tmp_path / "store").rglob("video.json")))["frames"] == 60


def test_a_stuck_thread_is_named_and_the_same_command_continues(tmp_path, program):
    source, output = make_odd_video(tmp_path / "in.mkv", 60), tmp_path / "out.mkv"

    def run(module: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "luigi", "--module", module, "UpscaleVideo", "--model", "bicubic"]
        command += ["--input", str(source), "--output-file", str(output), "--preset", "ultrafast"]
        command += ["--segment-s", "0.7", "--store-root", str(tmp_path / "store")]
        return subprocess.run(
            command, cwd=tmp_path, env=program.environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    ended = run("stuck_video")
    assert ended.returncode == 30 and not output.exists(), ended.stderr
    assert "UpscaleVideo: Upscaling in.mkv is stuck: nothing has moved for" in ended.stderr
    assert re.search(r"the thread 'upscale \d' has been upscaling the frame at \d", ended.stderr)
    assert "stuck_video.py" in ended.stderr and "run the same command to continue" in ended.stderr
    assert list((tmp_path / "store").rglob("*.packets")), "what was finished is kept"
    ended = run("tasks")
    assert ended.returncode == 0 and check_plays(output) == decoded_times(source), ended.stderr


def test_other_streams_or_another_codec_of_sound_continue_with_the_encoded_segments(
    store, tmp_path, monkeypatch
):
    source, output = make_odd_video(tmp_path / "in.mkv", 40), tmp_path / "out.mp4"
    stopped = task_for(source, output)

    def full(*given, **named):
        raise UserError("The disk has no room", "Make some")

    with monkeypatch.context() as patch:
        patch.setattr(upscale_video, "check_muxable", lambda *given: None)
        patch.setattr(upscale_video, "mux_video", full)
        with pytest.raises(UserError, match="no room"):
            stopped.run()
    monkeypatch.setattr(upscale_video, "write_segment", None)  # nothing is encoded again
    task = task_for(source, output, leave_out=(2, 3), audio="flac")
    assert task.directory() == stopped.directory()
    task.run()
    assert task.complete() and "stream 2 (subtitle), as asked" in task.summary()
    with av.open(str(output)) as video:
        assert (len(video.streams.audio), len(video.streams.subtitles)) == (1, 0)
        assert video.streams.audio[0].codec_context.name == "flac"
    assert "converted: stream 1 (audio): aac to flac" in task.summary()
    for others in ({"leave_out": (1, 2, 3), "audio": "flac"}, {"leave_out": (2, 3)}):
        assert not task_for(source, output, **others).complete()


@pytest.mark.parametrize(
    "name", [b"caf\xe9.mkv", b"\xff\xfe.mkv", b"two\nlines \x1b[31m.mkv", b"-x.mkv", b"l" * 251 + b".mkv"]
)
def test_every_name_that_the_file_system_takes_works(name, store, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    source, output = tmp_path / os.fsdecode(name), tmp_path / "out" / os.fsdecode(name)
    make_odd_video(tmp_path / "in.mkv", 12).rename(source)
    task = task_for(source, output)
    task.run()
    assert task.complete() and os.listdir(os.fsencode(tmp_path / "out")) == [name]
    (video_line, _) = task.summary().splitlines()
    assert video_line.isprintable() and len(partial_path(output).name) <= 255
    assert all(line.isprintable() for line in capsys.readouterr().err.splitlines())
    assert (
        str(output) in json.loads((task.directory() / "run").glob("*.json").__next__().read_bytes())["path"]
    )


def test_names_too_long_are_refused_before_the_work(store, tmp_path):
    source = make_odd_video(tmp_path / "in.mkv", 12)
    with pytest.raises(UserError, match=r"--output-file .* would have a name of 256 bytes"):
        task_for(source, tmp_path / f"{'l' * 252}.mkv").complete()
    with pytest.raises(UserError, match="does not exist"):
        task_for(tmp_path / f"{'l' * 252}.mkv", tmp_path / "out.mkv").complete()
    assert partial_path(Path("é" * 125 + ".mkv")).name == "é" * 121 + ".partial.mkv"


def test_taking_frames_as_they_are_changes_no_directory(store, tmp_path):
    source = make_odd_video(tmp_path / "in.mkv", 4)
    one, other = (task_for(source, tmp_path / "out.mkv", progressive=given) for given in (False, True))
    assert one.directory_name == other.directory_name


def cut_short(path: Path, whole: bytes) -> None:
    path.write_bytes(whole[: len(whole) * 7 // 10])


def zeros_in_frames(path: Path, whole: bytes) -> None:
    """Overwrite the content of two frames in the middle with zeros, which breaks no structure."""
    with av.open(str(path)) as video:
        packets = [(one.pos, one.size) for one in video.demux(video=0) if one.size]
    content = bytearray(whole)
    for position, size in packets[20:22]:
        content[position : position + size] = bytes(size)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut_short, "cut short or damaged: the last frame is at"),
        (zeros_in_frames, "2 more that could not be"),
    ],
)
def test_frames_that_are_missing_are_said_and_each_advice_helps(damage, words, store, tmp_path):
    plain, output = make_video(tmp_path / "in.mp4", frames=48, options={"g": "1"}), tmp_path / "out.mkv"
    source = remuxed_to_begin_with_its_index(plain, tmp_path / "fast.mp4")
    whole = source.read_bytes()
    damage(source, whole)
    task = task_for(source, output)
    task.run()
    for again in (task, task_for(source, output)):  # a second run does nothing, and says the same
        assert again.complete() and again.exit_code() == 3
        assert words in again.summary() and "--allow-truncated" in again.summary().splitlines()[-1]
    frames = check_plays(output)
    assert 20 < len(frames) < 48 and f"{len(frames)} frames" in task.summary()
    (rejections,) = store.rglob("rejections.jsonl")
    assert str(rejections) in task.summary() and rejections.read_text().count('"upscale"') >= 1

    allowed = task_for(source, output, allow_truncated=True)
    assert allowed.complete() and allowed.exit_code() == 0
    assert words in allowed.summary() and "accepted" in allowed.summary()

    source.write_bytes(whole)
    output.unlink()
    task = task_for(source, output)
    task.run()
    assert task.exit_code() == 0 and len(check_plays(output)) == 48
    assert "damaged" not in task.summary() and "allow" not in task.summary()


def test_frames_with_parts_made_up_are_counted(store, tmp_path):
    source = make_video(tmp_path / "in.mkv", frames=24, options={"g": "24", "bf": "0", "qp": "20"})
    with av.open(str(source)) as video:
        packet = [(one.pos, one.size) for one in video.demux(video=0) if one.size][12]
    content = bytearray(source.read_bytes())
    start = packet[0] + packet[1] // 3
    content[start : start + packet[1] // 3] = np.random.default_rng(1).bytes(packet[1] // 3)
    source.write_bytes(content)
    task = task_for(source, tmp_path / "out.mkv")
    task.run()
    assert "24 frames of 640x360, 1 of them damaged, with parts made up." in task.summary()
    assert task.exit_code() == 3 and task.load_record()["concealed_frames"] == 1


def test_a_preview_says_that_its_video_is_cut_short(store, tmp_path):
    source = make_video(tmp_path / "in.mkv", frames=24)
    task = task_for(source, tmp_path / "out.mkv", preview=1)
    task.run()
    assert "cut short" not in task.summary()
    cut_short(source, source.read_bytes())
    task = task_for(source, tmp_path / "out.mkv", preview=1)
    task.run()
    assert (
        "The video is cut short or damaged: the last frame is at" in task.summary() and task.exit_code() == 0
    )


def test_a_script_sees_that_a_video_is_cut_short(tmp_path):
    source = make_video(tmp_path / "in.mkv", frames=24)
    cut_short(source, source.read_bytes())
    given = ["UpscaleVideo", "--input", str(source), "--output-file", str(tmp_path / "out.mkv")]
    run = luigi_command(tmp_path / "store", *given, "--model", "bicubic", "--preset", "ultrafast")
    assert run.returncode == 3, run.stderr
    assert run.stdout.splitlines()[-1].endswith("Exit code 3.") and check_plays(tmp_path / "out.mkv")


def remuxed_to_begin_with_its_index(source: Path, output: Path) -> Path:
    with (
        av.open(str(source)) as before,
        av.open(str(output), "w", container_options={"movflags": "faststart"}) as after,
    ):
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    return output


@pytest.mark.parametrize("name", ["a.gif", "a.avif", "a.webp", "a.png", "renamed.mkv"])
def test_an_animated_image_is_named_as_an_image(name, store, tmp_path):
    first, *others = [Image.fromarray(textured(seed, 64, 64)) for seed in range(3)]
    kind = {"gif": "GIF", "webp": "WEBP", "png": "PNG"}.get(name.rpartition(".")[2], "AVIF")
    first.save(tmp_path / name, kind, save_all=True, append_images=others, duration=100)
    with pytest.raises(UserError, match="is an image. Use UpscaleImages"):
        task_for(tmp_path / name, tmp_path / "out.mkv").complete()


def test_the_advice_for_frames_without_times_works(tmp_path):
    path = strip_times(make_clip(tmp_path / "plain.ts"), tmp_path / "video.ts", range(75))
    with pytest.raises(UserError) as refused:
        list(VideoSource(path, FrameSamplingSettings()).scan())
    command = refused.value.hint.split("sr-factory ")[1].replace("IN", str(path))
    done = luigi_command(tmp_path / "store", *command.replace("OUT", str(tmp_path / "out")).split())
    assert done.returncode == 0 and "75 of its frames have no time" in done.stdout + done.stderr
    assert len(read_frame_table(tmp_path / "out.mkv").pts) == 75
    assert list(VideoSource(tmp_path / "out.mkv", FrameSamplingSettings()).scan())
