"""AVI stores no presentation times: frames that come out of the decoder in another order are put in order."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import PictureType as FrameType  # words: ok
from clocks import make_clip
from videos import counter, make_video, numbered, packed_video

from data.records import SourceEntry
from data.sources.video import VideoSource
from data.video.demux import read_frame_table
from data.video.frame_order import restore_order
from data.video.sampling_settings import FrameSamplingSettings

DENSE = FrameSamplingSettings(min_spacing_s=0.05, typical_spacing_s=0.06, max_spacing_s=0.07)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.avi", "libx264", {"bf": "0"}),
        ("mpeg4.avi", "mpeg4", {"bf": "0"}),
        ("mpeg4-b-frames.avi", "mpeg4", {"bf": "2"}),
        ("mjpeg.avi", "mjpeg", {"g": "1"}),
        ("h264-b-frames.mkv", "libx264", {"bf": "3"}),
        ("h264-b-frames.mp4", "libx264", {"bf": "3"}),
        ("h264-b-frames.ts", "libx264", {"bf": "3"}),
    ],
)
def test_videos_with_correct_presentation_times_keep_them(name, codec, options, tmp_path):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(tmp_path / name, frames=75, codec=codec, options=options, pixels=pixels)
    table = read_frame_table(path)
    assert restore_order(path, table) is table


def test_h264_in_avi_is_put_in_order_even_if_its_b_frames_begin_late(tmp_path):
    path = tmp_path / "video.avi"
    with av.open(str(path), "w") as video:
        stream = video.add_stream(
            "libx264", rate=25, options={"bf": "3", "preset": "ultrafast", "b_strategy": "0"}
        )
        stream.height, stream.width, stream.pix_fmt = 180, 320, "yuv420p"
        for number in range(180):
            frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.pict_type = FrameType.P if number < 150 else FrameType.NONE
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    table = restore_order(path, read_frame_table(path))
    assert np.array_equal(table.pts, np.arange(180))
    check_crops(path, table, range(180))


@pytest.mark.parametrize("kind", ["h264", "open-gop", "packed"])
def test_crops_of_avi_have_the_right_frames(kind, tmp_path):
    path = tmp_path / "video.avi"
    if kind == "packed":
        packed_video(path)
    elif kind == "h264":
        make_video(path, frames=75, options={"bf": "3", "g": "12"})
    else:
        make_video(path, frames=75, options={"x264-params": "bframes=3:keyint=12:open-gop=1:scenecut=0"})
    table = restore_order(path, read_frame_table(path))
    assert np.array_equal(table.pts, np.arange(75))
    check_crops(path, table, range(75))


@pytest.mark.parametrize("kind", ["h264", "packed"])
def test_frames_that_are_repeated_by_empty_chunks_keep_their_times(kind, tmp_path):
    """FFmpeg writes an empty chunk for each time without a frame, as capture programs do for dropped frames."""
    plain = tmp_path / "dense.avi"
    path = tmp_path / "video.avi"
    make_video(plain, frames=75, options={"bf": "3", "g": "25"}) if kind == "h264" else packed_video(plain)
    with av.open(str(plain)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0], opaque=True)
        for number, packet in enumerate(one for one in given.demux(video=0) if one.size):
            packet.pts = packet.dts = number + 10 * (number >= 50)
            packet.stream = stream
            made.mux(packet)
    table = restore_order(path, read_frame_table(path))
    assert len(table.pts) == 75 and list(table.pts[:45]) == list(range(45)) and table.pts[-1] == 84
    check_crops(path, table, range(75))


def test_a_damaged_packet_moves_no_other_frame(tmp_path):
    path = make_clip(tmp_path / "video.avi", options={"bf": "2", "g": "25"})
    with av.open(str(path)) as video:
        places = [(one.pos, one.size) for one in video.demux(video=0) if one.size]
    content = bytearray(path.read_bytes())
    place, size = places[30]
    content[place + 8 : place + 8 + size] = b"\0" * size
    path.write_bytes(content)
    table = restore_order(path, read_frame_table(path))
    # The frames of the last group, after the damage, have exactly their own times.
    assert len(table.pts) < 75 and list(table.pts[-25:]) == list(range(50, 75))


def check_crops(path, table, numbers):
    """Check that the entries of a video show the frames of the times in their names."""
    by_time = {round(table.seconds(time), 3): number for number, time in zip(numbers, table.pts, strict=True)}
    source = VideoSource(path, DENSE)
    entries = list(source.scan(threads=2))
    assert len(entries) > 20 and all(isinstance(one, SourceEntry) for one in entries)
    for entry, image in source.read(reversed(entries)):
        minutes, seconds = entry.id.partition("@")[2].rsplit(":", 1)
        assert counter(image) == by_time[round(int(minutes[-2:]) * 60 + float(seconds), 3)]
