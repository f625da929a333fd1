from fractions import Fraction

import av
import pytest
from av.video.frame import PictureType as FrameType  # words: ok
from videos import make_video, numbered, packed_video

from data.errors import UserError
from data.sources.video import VideoSource
from data.video.demux import VideoFault
from data.video.frame_order import check_frame_order
from data.video.sampling_settings import FrameSamplingSettings


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
def test_videos_with_correct_presentation_times_pass(name, codec, options, tmp_path):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    check_frame_order(make_video(tmp_path / name, frames=75, codec=codec, options=options, pixels=pixels))


def test_h264_in_avi_is_rejected_even_if_its_b_frames_begin_late(tmp_path):
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
    with pytest.raises(VideoFault, match="stores no presentation times.* at 6.[0-9]* s") as caught:
        check_frame_order(path)
    assert "libx264" in caught.value.hint and "Unpack" not in caught.value.hint


@pytest.mark.parametrize(
    ("make", "hint"),
    [(make_video, "Encode it again"), (packed_video, "Unpack its.*bsf:v")],
)
def test_the_video_source_rejects_them(make, hint, tmp_path):
    source = VideoSource(make(tmp_path / "video.avi", frames=75), FrameSamplingSettings())
    with pytest.raises(
        UserError, match=f"video.avi cannot be used: AVI stores no presentation times.*{hint}"
    ):
        list(source.scan())
