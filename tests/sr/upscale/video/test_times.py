"""Videos whose stored times are odd come out complete, in order, from zero on, and in sync with their audio."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clocks import (
    audio_packets,
    check_sequence,
    cut_before_image,
    join,
    make_clip,
    remux,
    share_times,
    shown_numbers,
    strip_times,
)
from PIL import Image
from videos import counter, packed_video

from data.records import Rejection
from data.sources.video import VideoSource
from data.video.sampling_settings import FrameSamplingSettings
from sr.upscale.video.preview import preview_video
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

FAST = VideoUpscaleSettings(preset="ultrafast", crf=10, segment_s=1)
WRAP_S = Fraction(1 << 33, 90000)


def upscale(path: Path, suffix: str, folder: Path) -> tuple[Path, dict]:
    """Re-encode a video at scale 1."""
    output = folder / f"out{suffix}"
    return output, upscale_video(path, output, folder / f"work{suffix}", "bicubic", FAST, scale=1)


def offset_s(path: Path) -> Fraction:
    """Return how much later than its audio a video begins."""
    return shown_numbers(path)[0][1] - audio_packets(path)[0][0]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("kind", [".ts", ".vob"])
def test_joined_files_go_on_where_the_clock_restarts(kind, suffix, tmp_path):
    parts = [make_clip(tmp_path / f"{first}{kind}", 50, first) for first in (0, 50, 100)]
    output, record = upscale(join(tmp_path / f"joined{kind}", *parts), suffix, tmp_path)
    assert record["frames"] == 150 and not record["rejections"]
    assert record["times"] == ["its clock restarts 2 times: bridged, all streams alike"]
    times = check_sequence(output, list(range(150)), max_gap_s=0.12)
    before, after = [one for part in parts for one in audio_packets(part)], audio_packets(output)
    # AAC packets lose the header that transport streams put before each.
    assert len(after) == len(before)
    assert all(packet.endswith(short) for (_, packet), (_, short) in zip(before, after, strict=True))
    # The audio of each part is as far from its frames as it was.
    place = 0
    for number, part in enumerate(parts):
        stored = audio_packets(part)
        shift_s = times[number * 50] - shown_numbers(part)[0][1]
        for (time_s, _), (stored_s, _) in list(zip(after[place:], stored, strict=False))[1:]:
            assert abs(time_s - stored_s - shift_s) < 0.003
        place += len(stored)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("at_s", [WRAP_S - 2, WRAP_S - 3, WRAP_S - Fraction(1, 2)])
def test_a_transport_stream_whose_clock_wraps_begins_at_zero(at_s, suffix, tmp_path):
    plain = make_clip(tmp_path / "plain.ts")
    path = remux(plain, tmp_path / "wraps.ts", at_s, mpegts_copyts="1")
    assert shown_numbers(path)[0][1] < 0
    output, record = upscale(path, suffix, tmp_path)
    assert record["frames"] == 75 and not record["rejections"] and "before time zero" in record["times"][0]
    check_sequence(output, list(range(75)))
    assert audio_packets(output)[0][0] >= 0
    assert abs(offset_s(output) - offset_s(plain)) < 0.003


@pytest.mark.parametrize(
    ("first", "second"), [(0, 1000), (1000, 0), (WRAP_S - 1, 0)], ids=["forward", "back", "after a wrap"]
)
def test_a_clock_that_jumps_far_is_bridged(first, second, tmp_path):
    plain = [make_clip(tmp_path / f"{number}.ts", 50, number) for number in (0, 50)]
    parts = [
        remux(part, tmp_path / f"{part.stem}-late.ts", Fraction(shift), mpegts_copyts="1")
        for part, shift in zip(plain, (first, second), strict=True)
    ]
    output, record = upscale(join(tmp_path / "joined.ts", *parts), ".mkv", tmp_path)
    assert record["frames"] == 100 and not record["rejections"]
    check_sequence(output, list(range(100)), max_gap_s=0.12)
    assert len(audio_packets(output)) == sum(len(audio_packets(part)) for part in plain)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_h264_with_b_frames_in_avi_is_put_in_order(suffix, tmp_path):
    path = make_clip(tmp_path / "video.avi", options={"bf": "3", "g": "25"})
    output, record = upscale(path, suffix, tmp_path)
    assert record["frames"] == 75 and not record["rejections"] and "put in the order" in record["times"][0]
    times = check_sequence(output, list(range(75)))
    assert times[0] == 0 and times[-1] == pytest.approx(74 / 25, abs=0.001)
    assert audio_packets(output)[0][0] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_packed_b_frames_are_put_in_order(suffix, tmp_path):
    output, record = upscale(packed_video(tmp_path / "video.avi"), suffix, tmp_path)
    assert record["frames"] == 75 and not record["rejections"]
    check_sequence(output, list(range(75)))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("timed", ["one in twelve", "none"])
def test_frames_without_times_get_them_from_their_order(timed, suffix, tmp_path):
    plain = make_clip(tmp_path / "plain.ts")
    missing = range(75) if timed == "none" else [number for number in range(75) if number % 12]
    path = strip_times(plain, tmp_path / "video.ts", missing)
    output, record = upscale(path, suffix, tmp_path)
    assert record["frames"] == 75 and not record["rejections"]
    assert f"{len(missing)} of its frames have no time" in record["times"][0]
    check_sequence(output, list(range(75)))
    assert abs(offset_s(output) - offset_s(plain)) < 0.05


def test_leading_frames_without_times_are_left_out_and_counted(tmp_path):
    """A cut at an open group: the frames after its keyframe refer to what was cut off."""
    options = {"x264-params": "bframes=2:b-adapt=0:keyint=12:open-gop=1:scenecut=0:repeat-headers=1"}
    plain = make_clip(tmp_path / "plain.ts", options=options)
    with av.open(str(plain)) as video:
        keys = [n for n, one in enumerate(one for one in video.demux(video=0) if one.size) if one.is_keyframe]
    cut = cut_before_image(plain, tmp_path / "cut.ts", keys[2])
    path = strip_times(cut, tmp_path / "video.ts", (1, 2))
    output, record = upscale(path, ".mkv", tmp_path)
    found = [number for number, _ in shown_numbers(output)]
    assert found == list(range(found[0], 75)) and len(found) >= 75 - keys[2] - 2
    assert record["times"] == ["2 of its frames have no time: left out"]
    details = [one for one in VideoSource(path, FrameSamplingSettings()).scan() if isinstance(one, Rejection)]
    assert [one.detail for one in details] == ["2 frames have no presentation time; they are left out"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("numbers", [range(1, 75, 2), (30, 31)], ids=["every second", "two in a row"])
def test_frames_that_share_a_time_are_all_kept(numbers, suffix, tmp_path):
    plain = make_clip(tmp_path / "plain.mkv", options={"bf": "0", "g": "25"})
    path = share_times(plain, tmp_path / "video.mkv", numbers)
    output, record = upscale(path, suffix, tmp_path)
    assert record["frames"] == 75 and not record["rejections"]
    assert f"{len(numbers)} of its frames have the time of the frame before" in record["times"][0]
    times = check_sequence(output, list(range(75)))
    assert all(abs(time - Fraction(number, 25)) < 0.03 for number, time in enumerate(times))


def test_an_ordinary_video_keeps_its_times(tmp_path):
    _, record = upscale(make_clip(tmp_path / "video.mkv", 10), ".mkv", tmp_path)
    assert record["times"] == []


def test_previews_show_the_frames_of_restarted_and_counted_clocks(tmp_path):
    joined = join(tmp_path / "joined.ts", *(make_clip(tmp_path / f"{n}.ts", 50, n) for n in (0, 50)))
    counted = make_clip(tmp_path / "counted.avi")
    assert len(preview_video(joined, tmp_path / "joined", "bicubic", 4, FAST, 1)) == 4
    names = preview_video(counted, tmp_path / "counted", "bicubic", 3, FAST, 1)
    assert names == ["000000.480s.png", "000001.480s.png", "000002.440s.png"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("options", [{"bf": "2", "g": "250"}, {"bf": "2", "g": "50"}])
def test_a_trimmed_mp4_is_upscaled_from_its_edit_list_on(options, suffix, tmp_path):
    plain = make_clip(tmp_path / "plain.mp4", options=options)
    path = remux(plain, tmp_path / "trimmed.mp4", Fraction(-48, 25))
    output, record = upscale(path, suffix, tmp_path)
    assert record["frames"] == 27 and not record["rejections"] and not record["times"]
    times = check_sequence(output, list(range(48, 75)))
    assert times[0] == 0
    # What is only decoded before the first sample that plays is left out; the rest keeps its times.
    stored = {content: time for time, content in audio_packets(path)}
    copied = audio_packets(output)
    assert -0.08 < copied[0][0] <= 0 and len(copied) < len(stored)
    assert all(abs(time - stored[content]) < 0.002 for time, content in copied)


def test_a_preview_of_a_short_transport_stream_with_one_keyframe_works(tmp_path):
    path = make_clip(tmp_path / "video.ts", 25, options={"bf": "2", "g": "250"})
    assert len(preview_video(path, tmp_path / "preview", "bicubic", 3, FAST, 1)) == 3
    with_images = [counter(np.asarray(Image.open(one))[:, 320:]) for one in sorted(tmp_path.rglob("*.png"))]
    assert with_images == [4, 12, 20]
