"""Crops of videos whose clock restarts, wraps or begins with pre-roll: all parts are indexed, with their own frames."""

import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from clocks import join, make_clip, remux, share_times, shown_numbers
from edit_lists import EMPTY, write_edits
from videos import counter, make_video, numbered

from data.errors import UserError
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources.video import VideoSource
from data.video.demux import VideoFault, read_frame_table
from data.video.sampling_settings import FrameSamplingSettings
from data.video.timeline import Timeline
from pipeline.index import index_source, read_index_record

DENSE = FrameSamplingSettings(min_spacing_s=0.05, typical_spacing_s=0.06, max_spacing_s=0.07)


def time_s(entry: SourceEntry) -> float:
    """Return the time in an entry's name."""
    hours, minutes, seconds = entry.id.rpartition("@")[2].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def crop_numbers(path) -> tuple[list[int], list[Rejection]]:
    """Return the numbers in the frames that a video's entries give, in order, and the rejections."""
    source = VideoSource(path, DENSE)
    found = list(source.scan(threads=2))
    entries = [one for one in found if isinstance(one, SourceEntry)]
    assert [time_s(one) for one in entries] == sorted(time_s(one) for one in entries)
    # A source of its own, as in another process, and in reverse, so that every run seeks.
    images = {entry.id: image for entry, image in VideoSource(path, DENSE).read(entries[::-1])}
    return [counter(images[entry.id]) for entry in entries], [
        one for one in found if isinstance(one, Rejection)
    ]


@pytest.mark.parametrize("kind", [".ts", ".vob"])
def test_all_parts_of_joined_files_are_indexed(kind, tmp_path):
    parts = [make_clip(tmp_path / f"{first}{kind}", 50, first) for first in (0, 50, 100)]
    path = join(tmp_path / f"joined{kind}", *parts)
    table = read_frame_table(path)
    assert len(table.pts) == 150 and table.timeline.joints == 2 and not table.truncation
    numbers, rejections = crop_numbers(path)
    # The demuxer takes the last packet before a joint of transport streams for damaged: its counters jump there.
    assert len(rejections) <= (6 if kind == ".ts" else 0)
    assert numbers == sorted(numbers)
    assert all(sum(first <= number < first + 50 for number in numbers) >= 20 for first in (0, 50, 100))


def test_the_index_says_how_many_restarts_were_bridged(tmp_path):
    path = join(
        tmp_path / "joined.vob", *(make_clip(tmp_path / f"{first}.vob", 30, first) for first in (0, 30))
    )
    index_source(VideoSource(path, DENSE), "joined", tmp_path / "index", min_side_px=64, max_bad_fraction=0.1)
    assert read_index_record(tmp_path / "index")["notes"] == [
        "joined.vob: its clock restarts once: bridged, all streams alike"
    ]


def test_one_wrong_time_is_no_restart(tmp_path):
    """A decoding time that alone is wrong, as damage makes it, moves nothing else."""
    plain, path = make_clip(tmp_path / "plain.ts", options={"bf": "0", "g": "25"}), tmp_path / "odd.ts"
    content = bytearray(plain.read_bytes())
    table = read_frame_table(plain)
    place = int(table.keyframe_pts[1])
    stamp = bytes(
        [
            0x21 | place >> 29 & 0x0E,
            place >> 22 & 0xFF,
            place >> 14 & 0xFE | 1,
            place >> 7 & 0xFF,
            place << 1 & 0xFE | 1,
        ]
    )
    at = content.index(stamp)
    content[at + 1] ^= 0x40  # an hour and more
    path.write_bytes(content)
    assert read_frame_table(path).timeline.joints == 0


def test_an_image_that_stands_still_while_audio_plays_is_no_restart(tmp_path):
    path = tmp_path / "still.ts"
    make_clip(path, 400, options={"bf": "0", "g": "400"}, still=(20, 380))
    table = read_frame_table(path)
    assert len(table.pts) == 40 and table.timeline.joints == 0


@pytest.mark.parametrize("kind", [".mp4", ".mov", ".mkv", ".flv", ".ogv", ".wmv", ".mxf"])
def test_joined_files_of_which_only_the_first_is_read_are_refused_and_can_be_cut(kind, tmp_path):
    options = {"options": {"bf": "0"}} if kind == ".wmv" else {}
    names = ["plain-1", "plain-2"]
    parts = [
        make_clip(tmp_path / f"{n}{kind}", 25, with_audio=kind not in (".wmv", ".mxf"), **options)
        for n in names
    ]
    path = join(tmp_path / f"joined{kind}", *parts)
    with pytest.raises(VideoFault, match="joined byte by byte") as caught:
        read_frame_table(path)
    assert caught.value.reason is RejectionReason.UNSUPPORTED
    command = caught.value.hint.split(": ", 1)[1].replace("IN", path.name)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    for number in (1, 2):
        assert len(read_frame_table(tmp_path / f"{number}{kind}").pts) == 25


@pytest.mark.parametrize("frames", [25, 600])
def test_a_joined_stream_of_another_program_is_refused_and_can_be_cut(frames, tmp_path):
    """FFmpeg lists the second video as a further stream if it is near the beginning, and otherwise not at all."""
    first = make_clip(tmp_path / "first.ts", frames)
    second = remux(make_clip(tmp_path / "plain.ts", 25), tmp_path / "second.ts", first_id=0x200)
    path = join(tmp_path / "joined.ts", first, second)
    with pytest.raises(VideoFault, match="joined byte by byte") as caught:
        read_frame_table(path)
    command = caught.value.hint.split(": ", 1)[1].replace("IN", path.name)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert len(read_frame_table(tmp_path / "1.ts").pts) == frames
    assert len(read_frame_table(tmp_path / "2.ts").pts) == 25


def test_two_programs_beside_each_other_are_no_joined_files(tmp_path):
    path = tmp_path / "video.ts"
    with av.open(str(path), "w") as video:
        streams = [video.add_stream("libx264", rate=25, options={"bf": "0", "g": "10"}) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 180, 320, "yuv420p"
        for number in range(50):
            for stream in streams:
                image = np.ascontiguousarray(numbered(number))
                frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                video.mux(stream.encode(frame))
        for stream in streams:
            video.mux(stream.encode())
    assert len(read_frame_table(path).pts) == 50


@pytest.mark.parametrize("after_s", [0.6, 1.9, 2.4])
def test_a_trimmed_mp4_gives_all_frames_of_its_edit_list(after_s, tmp_path):
    """The keyframe that is only pre-roll is decoded; the frames that play are those of the edit list."""
    plain = make_clip(tmp_path / "plain.mp4", options={"bf": "2", "g": "50"})
    path = remux(plain, tmp_path / "trimmed.mp4", Fraction(-after_s).limit_denominator(100))
    shown = [number for number, _ in shown_numbers(path)]
    assert shown == list(range(shown[0], 75)) and shown[0] in (round(after_s * 25), round(after_s * 25) + 1)
    table = read_frame_table(path)
    assert len(table.pts) == len(shown) and table.pts[0] >= 0
    numbers, rejections = crop_numbers(path)
    assert numbers[0] <= shown[0] + 2 and numbers[-1] >= 73 and not rejections


def test_a_trimmed_video_whose_only_keyframe_is_preroll_is_indexed(tmp_path):
    plain = make_clip(tmp_path / "plain.mp4", options={"bf": "2", "g": "250"})
    path = remux(plain, tmp_path / "trimmed.mp4", Fraction(-48, 25))
    assert len(read_frame_table(path).pts) == 27
    numbers, rejections = crop_numbers(path)
    assert len(numbers) >= 12 and not rejections and numbers[0] >= 48


@pytest.mark.parametrize(
    ("edits", "numbers"),
    [
        ([(500, EMPTY), (3000, 2)], [*range(75)]),
        ([(1000, 12), (1000, 52)], [*range(10, 35), *range(50, 75)]),
        ([(1000, 52), (1000, 12)], [*range(50, 75), *range(10, 35)]),
        ([(1000, 12), (1000, 12)], [*range(10, 35), *range(10, 35)]),
    ],
    ids=["late", "two parts", "in reverse", "repeated"],
)
@pytest.mark.parametrize(
    "options", [{"bf": "2", "g": "20"}, {"x264-params": "bframes=2:keyint=20:open-gop=1"}]
)
def test_each_part_of_an_edit_list_is_indexed(edits, numbers, options, tmp_path):
    plain = make_clip(tmp_path / "plain.mp4", 100, options=options)
    frame_units = 12800 // 25
    edits = [(units, start if start == EMPTY else start * frame_units) for units, start in edits]
    path = write_edits(plain, tmp_path / "edited.mp4", edits)
    table = read_frame_table(path)
    shown = [number for number, _ in shown_numbers(path)]
    assert shown == numbers + shown[len(numbers) :] and len(table.pts) == len(shown)
    source = VideoSource(path, DENSE)
    entries = [one for one in source.scan(threads=2) if isinstance(one, SourceEntry)]
    assert len(entries) >= len(numbers) // 2 - 4
    by_time = {round(table.seconds(time), 3): number for time, number in zip(table.pts, shown, strict=True)}
    for entry, image in VideoSource(path, DENSE).read(entries[::-1]):
        assert counter(image) == by_time[round(time_s(entry), 3)]


def test_of_frames_that_share_a_time_the_first_is_indexed(tmp_path):
    plain = make_clip(tmp_path / "plain.mkv", options={"bf": "0", "g": "25"})
    path = share_times(plain, tmp_path / "video.mkv", range(1, 75, 2))
    numbers, rejections = crop_numbers(path)
    # Decoding begins at a keyframe, here number 25, and not at the frame before it.
    assert len(numbers) > 30 and not rejections and {one for one in numbers if one % 2} <= {25}


def test_a_wrapped_clock_changes_no_crop(tmp_path):
    plain = make_clip(tmp_path / "plain.ts")
    path = remux(plain, tmp_path / "wraps.ts", Fraction((1 << 33) - 180000, 90000), mpegts_copyts="1")
    assert read_frame_table(path).start_shift_s > 1
    numbers, rejections = crop_numbers(path)
    assert len(numbers) > 30 and not rejections


def test_a_timeline_is_read_as_it_was_written():
    timeline = Timeline((0, 700), (Fraction(1, 3), Fraction(-5)), (1, 0, 2))
    assert Timeline.parse(str(timeline)) == timeline and not timeline.is_stored


def test_the_locators_of_ordinary_videos_are_as_before(tmp_path):
    path = make_video(tmp_path / "video.mkv", frames=48)
    entries = [one for one in VideoSource(path, DENSE).scan() if isinstance(one, SourceEntry)]
    assert all("#" not in one.locator for one in entries)


def test_a_joined_video_that_changed_is_an_error(tmp_path):
    parts = [make_clip(tmp_path / f"{first}.ts", 50, first) for first in (0, 50)]
    path = join(tmp_path / "joined.ts", *parts)
    entries = [one for one in VideoSource(path, DENSE).scan() if isinstance(one, SourceEntry)]
    path.write_bytes(parts[0].read_bytes())
    with pytest.raises(UserError, match="is not the video that was indexed"):
        list(VideoSource(path, DENSE).read(entries[-2:]))
