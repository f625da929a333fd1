"""An upscaled video has the same frames at the same times, and all else bit-equal, even after damage or a kill."""

import io
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from odd_videos import MS, TAGS, check_plays, copied, decoded_times, make_odd_video
from PIL import Image
from videos import counter, interlaced_video, make_video, numbered

from data.atomic_files import read_jsonl
from data.errors import UserError
from sr.upscale.video import upscale_video as module
from sr.upscale.video.output_file import OutputFile
from sr.upscale.video.segments import read_headers
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import RECORD, partial_path, save_partial, upscale_video

QUICK = VideoUpscaleSettings(preset="ultrafast", segment_s=0.7)
REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    return make_odd_video(tmp_path_factory.mktemp("odd") / "in.mkv", garbage=8)


@pytest.fixture(scope="module")
def upscaled(odd, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("upscaled")
    upscale_video(odd, folder / "out.mkv", folder / "store", "bicubic", QUICK)
    return folder / "out.mkv"


def test_frame_times_are_those_of_a_plain_decode_and_damage_is_counted(odd, upscaled):
    times = check_plays(upscaled)
    assert times == decoded_times(odd) and len(times) >= 60
    faults = list(read_jsonl(upscaled.parent / "store" / "rejections.jsonl"))
    assert [one["stage"] for one in faults] == ["upscale"] * len(faults)
    assert len(faults) > 4 and "8 frames" in faults[-1]["detail"], "packets of noise, and the count"


def test_everything_else_is_kept_bit_for_bit(odd, upscaled):
    for kind in ("audio", "subtitles"):
        assert copied(upscaled, kind) == copied(odd, kind) != []
    with av.open(str(odd)) as before, av.open(str(upscaled)) as after:
        assert after.chapters() == before.chapters() and after.metadata["title"] == "An odd video"
        assert [one.type for one in after.streams] == [one.type for one in before.streams]
        for one, other in zip(before.streams, after.streams, strict=True):
            assert (other.language, other.disposition) == (one.language, one.disposition)
        assert after.streams.attachments[0].data == b"glyphs" * 9
        images = after.streams.video[0]
        assert images.sample_aspect_ratio == before.streams.video[0].sample_aspect_ratio
        assert {name: getattr(images.codec_context, name) for name in TAGS} == TAGS
        was, now = next(before.decode(video=0)), next(after.decode(video=0))
        assert (now.width, now.height, now.rotation) == (2 * was.width, 2 * was.height, was.rotation)
        assert bytes(now.side_data["DISPLAYMATRIX"]) == bytes(was.side_data["DISPLAYMATRIX"])
        small = now.reformat(was.width, was.height).to_ndarray(format="gray").astype(int)
        assert np.abs(small - was.to_ndarray(format="gray")).mean() < 4


def kill(moment: str, source: Path, output: Path, store: Path) -> None:
    script = Path(__file__).parent / "killed.py"
    command = [sys.executable, str(script), moment, str(source), str(output), str(store)]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == -9


@pytest.fixture
def written(monkeypatch) -> list[int]:
    """Collect the numbers of the segments that are written."""
    numbers, write = [], module.write_segment

    def noted(directory, number, *given):
        numbers.append(number)
        return write(directory, number, *given)

    monkeypatch.setattr(module, "write_segment", noted)
    return numbers


def test_of_two_runs_at_once_the_second_waits_for_the_first(tmp_path, written):
    source, output, store = (
        make_video(tmp_path / "in.mkv", frames=24),
        tmp_path / "out.mkv",
        tmp_path / "store",
    )
    said: list[str] = []

    def run(number: int) -> dict:
        return upscale_video(source, output, store, "bicubic", QUICK, tell=said.append)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(run, range(2))
    assert one == other and output.exists()
    assert written == sorted(set(written)), "no segment is made twice"
    assert said == [] or said == ["Another run upscales in.mkv: waiting for it"]
    assert sorted(path.name for path in store.iterdir()) == ["rejections.jsonl", "run", "video.json"]


def test_a_kill_costs_one_segment_and_changes_no_byte(odd, upscaled, tmp_path, written, monkeypatch):
    output, store = tmp_path / "out.mkv", tmp_path / "store"
    kill("encoding the second segment", odd, output, store)
    assert not output.exists()
    (first,) = read_headers(store)
    monkeypatch.setattr(module, "probe_video", None)  # the probe was saved: the video is not read twice

    assert save_partial(odd, output, store, QUICK) == len(first.pts)
    part = check_plays(partial_path(output))
    assert part == decoded_times(odd)[: len(part)] and len(part) == len(first.pts)
    assert 0 < len(copied(partial_path(output), "audio")) < len(copied(odd, "audio"))

    upscale_video(odd, output, store, "bicubic", QUICK)
    assert written and first.number not in written
    assert output.read_bytes() == upscaled.read_bytes(), "the same as without a kill"
    assert not partial_path(output).exists()


@pytest.mark.parametrize(
    ("moment", "exists"),
    [
        ("muxing", 0),
        ("after writing the receipt", 0),
        ("after moving the output", 1),
        ("after writing the record", 1),
    ],
)
def test_a_kill_while_the_output_is_moved_costs_only_muxing(moment, exists, odd, upscaled, tmp_path, written):
    output, store = tmp_path / "out.mkv", tmp_path / "store"
    kill(moment, odd, output, store)
    assert output.exists() == exists
    assert (store / RECORD).exists() == (moment == "after writing the record")
    if not exists:
        output.write_bytes(b"another program's")
        with pytest.raises(UserError, match="free place"):
            upscale_video(odd, output, store, "bicubic", QUICK)
        assert output.read_bytes() == b"another program's"
        output.unlink()
    assert OutputFile(store, output).is_ours() == exists
    upscale_video(odd, output, store, "bicubic", QUICK)
    assert not written and output.read_bytes() == upscaled.read_bytes()
    assert [one.name for one in tmp_path.iterdir() if ".part" in one.name] == []


def test_a_full_disk_is_an_error_and_costs_only_muxing(odd, upscaled, tmp_path, written, monkeypatch):
    output, store = tmp_path / "out.mkv", tmp_path / "store"
    mux_video, unlimited = module.mux_video, resource.getrlimit(resource.RLIMIT_FSIZE)

    def mux_on_a_full_disk(*given, **named):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, unlimited[1]))
        try:
            return mux_video(*given, **named)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

    with monkeypatch.context() as patch:
        patch.setattr(module, "mux_video", mux_on_a_full_disk)
        with pytest.raises(UserError, match=r"out\.mkv cannot be written.*Free some disk space"):
            upscale_video(odd, output, store, "bicubic", QUICK)
    assert [one.name for one in tmp_path.iterdir()] == ["store"] and written
    written.clear()
    upscale_video(odd, output, store, "bicubic", QUICK)
    assert not written and output.read_bytes() == upscaled.read_bytes()


@pytest.mark.parametrize(
    ("codec", "preset", "suffix", "pixels", "made"),
    [
        ("x264", "ultrafast", ".mp4", "yuv422p10le", "yuv422p10le"),
        ("x265", "ultrafast", ".mkv", "yuv420p", "yuv420p"),
        ("svtav1", "12", ".mp4", "yuv420p10le", "yuv420p10le"),
        ("x265", "ultrafast", ".mp4", "yuv444p10le", "yuv444p10le"),
    ],
)
def test_every_encoder_keeps_frames_times_and_pixel_format(codec, preset, suffix, pixels, made, tmp_path):
    source = make_odd_video(tmp_path / "in.mp4", 30, pixels=pixels)
    settings = VideoUpscaleSettings(codec=codec, preset=preset, segment_s=0.5)
    output = tmp_path / f"out{suffix}"
    record = upscale_video(source, output, tmp_path / "store", "bicubic", settings)
    assert check_plays(output) == decoded_times(source) and record["pixel_format"] == made
    with av.open(str(output)) as video:
        assert video.streams.video[0].codec_context.pix_fmt == made
        assert (
            video.streams.video[0].sample_aspect_ratio
            == av.open(str(source)).streams.video[0].sample_aspect_ratio
        )
    sound, ours = copied(source, "audio"), copied(output, "audio")
    assert [one[1] for one in ours] == [one[1] for one in sound]
    # Matroska counts in milliseconds.
    assert max(abs(one[0] - other[0]) for one, other in zip(ours, sound, strict=True)) <= MS


def test_odd_sides_become_even(tmp_path):
    source = make_odd_video(tmp_path / "in.mkv", 8, size=(95, 159), options={"bf": "0"}, pixels="yuv444p")
    odd = tmp_path / "odd.mkv"
    with av.open(str(source)) as before, av.open(str(odd), "w") as after:
        stream = after.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 159, 95, "yuv420p"
        stream.codec_context.time_base = MS
        for frame in before.decode(video=0):
            after.mux(stream.encode(frame.reformat(format="yuv420p")))
        after.mux(stream.encode())
    record = upscale_video(odd, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    assert (record["width"], record["height"], record["frames"]) == (318, 190, 8)
    with pytest.raises(UserError, match="even sides"):
        upscale_video(odd, tmp_path / "x3.mkv", tmp_path / "store3", "bicubic", QUICK, scale=3)


def test_interlaced_videos_are_rejected_or_deinterlaced(tmp_path):
    fields = interlaced_video(tmp_path / "in.mkv")
    with pytest.raises(UserError, match="interlaced.*--deinterlace"):
        upscale_video(fields, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    settings = VideoUpscaleSettings(preset="ultrafast", deinterlace=True)
    upscale_video(fields, tmp_path / "out.mkv", tmp_path / "store", "bicubic", settings)
    assert check_plays(tmp_path / "out.mkv") == decoded_times(fields)

    def combs(path: Path, scale: int) -> float:
        with av.open(str(path)) as video:
            frames = [one.to_ndarray(format="gray")[::scale].astype(int) for one in video.decode(video=0)]
        return float(np.mean([np.abs(np.diff(one, axis=0)).mean() for one in frames[1:-1]]))

    assert combs(fields, 1) > 8 and combs(tmp_path / "out.mkv", 2) < 1


@pytest.mark.parametrize("options", [{"x264-params": "tff=1"}, {"x264-params": "bff=1"}])
def test_whole_frames_that_are_marked_as_interlaced_can_be_taken_as_they_are(options, tmp_path):
    plain = make_video(tmp_path / "plain.mkv", frames=24, options={"qp": "0", "preset": "ultrafast"})
    marked = make_video(tmp_path / "in.mkv", frames=24, options=options)
    with pytest.raises(
        UserError, match="but its frames look whole: .* Add --progressive .*or add --deinterlace"
    ):
        upscale_video(marked, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    for name, given in (("out", {"progressive": True}), ("soft", {"deinterlace": True})):
        settings = VideoUpscaleSettings(preset="ultrafast", crf=1, **given)
        upscale_video(marked, tmp_path / f"{name}.mkv", tmp_path / name, "bicubic", settings)
        assert check_plays(tmp_path / f"{name}.mkv") == decoded_times(marked)
    assert difference(tmp_path / "out.mkv", plain) < difference(tmp_path / "soft.mkv", plain)
    with pytest.raises(UserError, match="--deinterlace and --progressive are given"):
        VideoUpscaleSettings(deinterlace=True, progressive=True).check()


def difference(path: Path, plain: Path) -> float:
    """Return by how much the luma of a video that was upscaled twice differs from that of the plain one."""
    with av.open(str(path)) as video, av.open(str(plain)) as before:
        pairs = zip(video.decode(video=0), before.decode(video=0), strict=True)
        return float(
            np.mean(
                [
                    np.abs(
                        one.reformat(320, 180).to_ndarray(format="gray").astype(int)
                        - other.to_ndarray(format="gray")
                    ).mean()
                    for one, other in pairs
                ]
            )
        )


@pytest.mark.parametrize(
    ("suffix", "settings", "words"),
    [
        (".mp4", QUICK, r"\.mp4 does not support stream 2 \(subtitle, srt\).*--leave-out 2"),
        (".webm", QUICK, "webm does not support x264"),
        (".avi", QUICK, "ending in .mkv"),
        (".mkv", VideoUpscaleSettings(crf=52), "0 to 51"),
        (".mkv", VideoUpscaleSettings(codec="svtav1", preset="slow"), "--preset"),
        (".mkv", VideoUpscaleSettings(leave_out=(0,)), "the video stream to upscale"),
    ],
)
def test_unsupported_settings_are_errors_before_the_work_begins(suffix, settings, words, odd, tmp_path):
    with pytest.raises(UserError, match=words):
        upscale_video(odd, tmp_path / f"out{suffix}", tmp_path / "store", "bicubic", settings)
    assert not list(tmp_path.rglob("*.packets")) and not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", "0"), ("mpeg4", "0"), ("mpeg4", "2")])
def test_other_avi_keeps_all_frames_in_order(codec, b_frames, tmp_path):
    source = make_video(tmp_path / "in.avi", frames=75, codec=codec, options={"bf": b_frames, "g": "48"})
    record = upscale_video(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    assert record["frames"] == 75
    with av.open(str(tmp_path / "out.mkv")) as video:
        halves = [one.to_ndarray(format="rgb24")[::2, ::2] for one in video.decode(video=0)]
    assert [counter(one) for one in halves] == list(range(75))


def test_a_frame_rate_above_the_encoders_maximum_is_an_error(tmp_path):
    fast = make_video(tmp_path / "in.mkv", frames=10, fps=300)
    with pytest.raises(UserError, match="svtav1 encodes up to 240 frames per second, but .* has 300"):
        settings = VideoUpscaleSettings(codec="svtav1", preset="13")
        upscale_video(fast, tmp_path / "out.mkv", tmp_path / "store", "bicubic", settings)


def test_five_bits_of_red_become_eight(tmp_path):
    source = make_video(tmp_path / "in.mov", frames=2, codec="qtrle", pixels="rgb555be", options={"g": "1"})
    record = upscale_video(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    assert (record["frames"], record["pixel_format"]) == (2, "yuv444p")


def test_encrypted_videos_are_rejected(tmp_path):
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0" * 32, "encryption_kid": "1" * 32}
    locked = make_odd_video(tmp_path / "in.mp4", 5, container=key)
    with pytest.raises(UserError, match="encrypted"):
        upscale_video(locked, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_the_last_frame_keeps_its_duration(suffix, tmp_path):
    source = tmp_path / "in.mp4"
    plain = make_video(tmp_path / "plain.mp4", frames=4, options={"bf": "0"})
    with av.open(str(plain)) as even, av.open(str(source), "w") as video:
        stream = video.add_stream_from_template(even.streams.video[0])
        packets = [one for one in even.demux(video=0) if one.size]
        packets[-1].duration *= 50
        for packet in packets:
            packet.stream = stream
            video.mux(packet)

    def length_s(path: Path) -> float:
        with av.open(str(path)) as video:
            return video.duration / av.time_base

    output = tmp_path / f"out{suffix}"
    upscale_video(source, output, tmp_path / "store", "bicubic", QUICK)
    assert length_s(source) > 2 and abs(length_s(output) - length_s(source)) <= 0.002


def test_motion_jpeg_with_exif_keeps_its_rotation(tmp_path):
    """PyAV returns no side data of such a frame, because it does not know EXIF."""
    image, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6  # orientation: a quarter to the right
    Image.fromarray(numbered(3)[:64, :96]).save(image, "JPEG", exif=exif)
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as video:
        stream = video.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for number in range(3):
            packet = av.Packet(image.getvalue())
            packet.pts = packet.dts = number * 40
            packet.time_base, packet.stream, packet.is_keyframe = MS, stream, True
            video.mux(packet)
    output = tmp_path / "out.mkv"
    upscale_video(source, output, tmp_path / "store", "bicubic", QUICK)
    with av.open(str(source)) as before, av.open(str(output)) as after:
        assert next(after.decode(video=0)).rotation == next(before.decode(video=0)).rotation == -90
    assert len(check_plays(output)) == 3
